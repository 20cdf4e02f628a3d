"""Writes the manual page, docs/kleidia-backup.1, of the declarations that ``--help`` is made of: see `CONTRIBUTING.md`.

The wheel installs it, so that ``man kleidia-backup`` shows it. A test says when it is not what the command says.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

from argparse_manpage.manpage import Manpage

from kleidia_backup.cli import build_parser

PAGE = Path(__file__).parent / "kleidia-backup.1"
#: Of the version that the page is of.
_DATE = "2026-11-29"


def page() -> str:
    """The page, in roff. Its lines are as Python 3.11 breaks those of usage."""
    with patch.dict(os.environ, {"COLUMNS": "80"}):
        parser = build_parser()
        epilog, parser.epilog = parser.epilog or "", None
        name = (parser.description or "").partition(",")[0]
        described = {
            "description": name[:1].lower() + name[1:],
            "date": _DATE,
            "project_name": "kleidia-backup",
            "version": version("kleidia-backup"),
            "manual_title": "User Commands",
        }
        text = str(Manpage(parser, _data=described))
    text = text.replace(_DATE.replace("-", r"\-"), _DATE, 1)  # it is read as a date
    text = re.sub(r"(?m)^usage: (.*(?:\n +.*)*)", _unbroken, text)
    return text.rstrip() + "\n.SH EXIT STATUS\n" + _statuses(epilog)


def _unbroken(usage: re.Match[str]) -> str:
    """Lines that are broken already."""
    return ".nf\n" + usage[1].replace("\n" + " " * len("usage: "), "\n") + "\n.fi"


def _statuses(epilog: str) -> str:
    """The lines of ``--help`` about the exit status, each as an item."""
    found = re.findall(r"(?m)^ +(\d+)  (.+)$", epilog)
    return "".join(f".TP\n.B {number}\n{meaning.replace('-', chr(92) + '-')}\n" for number, meaning in found)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
