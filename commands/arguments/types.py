"""What the arguments of the command line may be. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ...stages.words import unicode_of

#: Digits that any number here has at most: what counts things fits 64 bits.
_DIGITS = 18


def positive(text: str) -> int:
    """A whole number, 1 at least."""
    if (found := _whole(text)) is None or found < 1:
        raise argparse.ArgumentTypeError("it must be a whole number, 1 at least")
    return found


def number(text: str) -> int:
    """A whole number, 0 or more."""
    if (found := _whole(text)) is None:
        raise argparse.ArgumentTypeError("it must be a whole number, 0 or more")
    return found


def _whole(text: str) -> int | None:
    """A number of digits alone; None for any other text, and for more digits than a number here has."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def most(text: str) -> int:
    """A whole number from 1 to 1000."""
    if (number := positive(text)) > 1000:
        raise argparse.ArgumentTypeError("it must be 1000 at most")
    return number


#: The help of an option that takes what ``since`` takes.
SINCE = "only those made since then: 2026-01-31, 2026-01-31T12:00:00Z, or an age such as 12h or 7d"


def since(text: str) -> datetime:
    """A day or a time, in UTC unless it says another zone; or hours or days before now."""
    try:
        if match := re.fullmatch(r"([0-9]{1,6})([hd])", text):
            return datetime.now(UTC) - timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1))
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("it must be a day, a time of ISO 8601, or an age such as 12h or 7d") from None


def port(text: str) -> int:
    """A port, or 0 for any free one."""
    if (found := _whole(text)) is None or found > 65535:
        raise argparse.ArgumentTypeError("it must be a port, 0 (any free one) to 65535")
    return found


def archive(text: str) -> str:
    """The name of an archive that there is, or ``latest``."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    if (name := unicode_of(text)) is None:
        raise argparse.ArgumentTypeError("it is not UTF-8, as the name of every archive is")
    return name


def new_archive(text: str) -> str:
    """The name of an archive that is to be made."""
    name = unicode_of(text)
    if name is None or not name.endswith(".enc") or not name.isprintable():
        raise argparse.ArgumentTypeError("it must end with .enc, or `list` would not show it, and be printable")
    return name


def file(text: str) -> Path:
    """A file, and no stream."""
    if text in {"", "-"}:
        raise argparse.ArgumentTypeError("it must be a file, for this goes to no terminal or pipe")
    return Path(text)
