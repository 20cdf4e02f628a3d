"""What several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

from .types import archive, since


def add_password(parser: argparse.ArgumentParser) -> None:
    """Where the encryption password comes from, if not from the configuration."""
    password = parser.add_mutually_exclusive_group()
    password.add_argument("--password-file", type=Path, metavar="FILE", help="a file with the encryption password")
    password.add_argument("--ask-password", action="store_true", help="ask for it, whatever is configured")


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """Private keys."""
    parser.add_argument(
        "--key-file",
        type=Path,
        action="append",
        metavar="FILE",
        help="a file with a private key that opens the archive (format V2); may be given again",
    )


def add_as_of(*parsers: argparse.ArgumentParser) -> None:
    """The time of which archives are shown and read."""
    for parser in parsers:
        parser.add_argument(
            "--as-of",
            type=since,
            metavar="TIME",
            help="the store as it was then, with what was deleted or replaced since, where the bucket keeps versions",
        )


def add_name(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """The archive, or several, or none."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs=nargs,
        type=archive,
        help="the archive's name as `list` shows it (the prefix may be left out), or `latest` for the newest",
    )
