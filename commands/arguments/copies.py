"""Arguments of ``copies``, and of what reads from a copy. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse


def add_copies(command: argparse.ArgumentParser) -> None:
    """What is done with the copies."""
    command.add_argument(
        "action", nargs="?", choices=("sync",), help="sync: copy what is missing or differs, and apply their retention"
    )
    command.add_argument(
        "--new-slots",
        action="store_true",
        help="with sync: copies get key slots that rewrap changed meanwhile",
    )
    command.add_argument("--dry-run", action="store_true", help="with sync: say what it would do; write nothing")


def add_from_copy(parser: argparse.ArgumentParser) -> None:
    """Another store than the first."""
    parser.add_argument(
        "--from-copy", metavar="N", help="use a copy instead of the first store: its number in [[copies]], or its name"
    )
