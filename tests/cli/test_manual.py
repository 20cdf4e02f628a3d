"""The manual page: it is what the command says of itself, and roff reads it without a warning."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from kleidia_backup.cli import build_parser
from kleidia_backup.commands.console.exit_codes import EXIT_CODES

#: What writes the page; it is a module of the checkout.
MANUAL: Any = import_module("docs.manual")


def test_it_names_every_command_option_and_exit_status() -> None:
    """And says of each what ``--help`` says."""
    text = _plain(MANUAL.PAGE.read_text(encoding="utf-8"))
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        part = text.partition(f"COMMAND 'kleidia-backup {name}'")[2].partition(".SH COMMAND ")[0]
        assert part, name
        for action in command._actions:
            if action.help and not isinstance(action, argparse._HelpAction):
                assert all(option in part for option in action.option_strings), (name, action.dest)
                said = " ".join(command._get_formatter()._expand_help(action).split())
                assert said in " ".join(part.split()), (name, action.dest)
    for number, meaning in EXIT_CODES.items():
        assert f".B {number}\n{meaning}\n" in text


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each version of Python breaks lines of usage as it likes")
def test_it_is_what_is_made_of_the_declarations() -> None:
    """``python -m docs.manual`` writes it."""
    assert MANUAL.PAGE.read_text(encoding="utf-8") == MANUAL.page()


@pytest.mark.parametrize(
    "command", ["mandoc -Tlint -Wwarning", "man --warnings=w -E UTF-8 -Tutf8 -Z -l"], ids=["mandoc", "man"]
)
def test_roff_reads_it_without_a_warning(command: str) -> None:
    """By both programs that show such pages, where they are installed: .ci/run does."""
    program, *options = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *options, str(MANUAL.PAGE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert program == "man" or not done.stdout


def _plain(text: str) -> str:
    """Without what roff reads as a font or as an escape."""
    for escape in ("\\fB", "\\fR", "\\fI", "\\,", "\\/"):
        text = text.replace(escape, "")
    return text.replace("\\-", "-").replace("\\\\", "\\")
