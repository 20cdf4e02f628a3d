"""Numbers of things and names of servers in sentences; text and times from outside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, tzinfo

#: What the servers that a job waits for are called.
STORE, DATABASE, VAULT = "the store", "PostgreSQL", "the vault"
#: In what rates are told: the seconds, and their name.
_UNITS = ((1, "a second"), (60, "a minute"), (3600, "an hour"))


def count(number: int, noun: str) -> str:
    """A number of things: ``1 secret``, ``1,234 secrets``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def one_or_more(number: int, one: str, more: str) -> str:
    """The word for one thing, or that for any other number of them: ``was`` or ``were``."""
    return one if number == 1 else more


def listed(parts: Sequence[str]) -> str:
    """Some things, one after the other: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def span(seconds: float) -> str:
    """A time for people, rounded: ``2 h``, ``2.5 h``, ``90 min``, ``3 d``, ``40 s``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            number = seconds / size
            digits = 0 if number >= 10 or abs(number - round(number)) < 0.05 else 1
            return f"{number:,.{digits}f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def per_time(rate: float) -> str:
    """A rate, told in requests a second, for people: ``100 requests a second``, ``3 requests a minute``."""
    seconds, unit = next((each for each in _UNITS if rate * each[0] >= 1), _UNITS[-1])
    number = rate * seconds
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")
    return f"{text} {one_or_more(int(text == '1'), 'request', 'requests')} {unit}"


def is_unicode(text: str, errors: str = "strict") -> bool:
    """Whether UTF-8 can hold a text: JSON and Python keep halves of pairs. ``errors`` is that of ``str.encode``."""
    try:
        text.encode(errors=errors)
    except UnicodeEncodeError:
        return False
    return True


def unicode_of(text: str) -> str | None:
    """What an argument or a variable says in UTF-8, whatever the locale is; None where its bytes are not UTF-8.

    Python keeps bytes that the locale's encoding lacks as halves of pairs, which nothing can send or write.
    """
    try:
        return text if text.isascii() else os.fsencode(text).decode()
    except UnicodeDecodeError:
        return None
    except UnicodeEncodeError:  # it comes from a file, and the locale lacks its characters; or it is half a pair
        return None if any("\ud800" <= sign <= "\udfff" for sign in text) else text


def in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """A moment in a time zone; in its own where the calendar ends: the first and the last day are in no other zone."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment
