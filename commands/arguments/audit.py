"""Arguments of ``audit``. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
import re


def add_audit(command: argparse.ArgumentParser) -> None:
    """What is done with the log."""
    command.add_argument(
        "action",
        nargs="?",
        choices=("verify",),
        help="verify: check that no entry was changed, removed or added since it was written",
    )
    command.add_argument(
        "--noted",
        type=_end,
        metavar="PLACE:CODE",
        help="with verify: an end that an earlier verification printed, and that has to be there still",
    )
    command.add_argument("--csv", action="store_true", help="print all entries as CSV, oldest first")


def check_audit(parsed: argparse.Namespace) -> str:
    """What is wrong with what ``audit`` was asked for; nothing if all is well."""
    if parsed.csv and parsed.action:
        return "audit verify and audit --csv are two things."
    return "audit --noted needs verify." if parsed.noted and not parsed.action else ""


def _end(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("it must be a place and a code, as `audit verify` prints its end")
    return text
