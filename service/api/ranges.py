"""Parts of a file that a request asks for (RFC 9110, section 14): one range, as those who resume a download send it."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Unsatisfiable(Exception):
    """The file has no such bytes."""


def asked(given: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None for the whole: nothing was asked for, or nothing known.

    Several ranges at once are not known, so all is sent, as the standard allows. Raises ``Unsatisfiable``.
    """
    found = _RANGE.fullmatch(given.strip()) if given else None
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:  # the last bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end
