"""Tests that run for both formats of archives: the format is the fixture's, and ``backup`` here writes it.

``archive_format`` is V1 unless a test is marked ``both_formats`` or ``v2_thorough``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kleidia_backup import BackupReport
from kleidia_backup import backup as _backup
from kleidia_backup.pipeline.parts.request import Format

FORMATS: tuple[Format, ...] = ("v1", "v2")
#: For tests whose subject depends on the format.
both_formats = pytest.mark.parametrize("archive_format", FORMATS, indirect=True)
#: For tests whose subject hardly does.
v2_thorough = pytest.mark.parametrize(
    "archive_format", ["v1", pytest.param("v2", marks=pytest.mark.thorough)], indirect=True
)

_now: list[Format] = ["v1"]


def current() -> Format:
    """The format of the archives that are made now."""
    return _now[-1]


@contextmanager
def writing(chosen: Format) -> Iterator[Format]:
    """From now on archives are of this format."""
    _now.append(chosen)
    try:
        yield chosen
    finally:
        _now.pop()


async def backup(**options: Any) -> BackupReport:
    """As the product's, in the format of the test."""
    return await _backup(**{"format": current()} | options)
