"""Cases that are not right yet, with the reason. Each is run, and fails the suite when it comes right."""

from __future__ import annotations

import pytest

KNOWN: dict[str, str] = {}


def marks(name: str, *, thorough: bool) -> list[pytest.MarkDecorator]:
    """The marks of the case of this name, with its room before it."""
    known = [pytest.mark.xfail(reason=KNOWN[name])] if name in KNOWN else []
    return [*known, *([pytest.mark.thorough] if thorough else [])]
