"""All of the audit log as CSV, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime

from ..audit import MAX_PAGE, Audit, AuditEntry

_COLUMNS = tuple(each.name for each in fields(AuditEntry))
#: What a spreadsheet takes for a formula where it begins a cell; much of an entry is the text of strangers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def all_entries(audit: Audit) -> list[AuditEntry]:
    """Every entry of the target, oldest first. Raises what ``Control.connection`` raises."""
    found: list[AuditEntry] = []
    while True:
        page = await audit.page(MAX_PAGE, before=found[-1].id if found else None)
        found += page
        if len(page) < MAX_PAGE:
            return found[::-1]


def as_csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """A line of names, then one an entry (RFC 4180, without line ends); what looks like a formula gets a quote."""
    yield _line(_COLUMNS)
    for entry in entries:
        yield _line([_cell(getattr(entry, name)) for name in _COLUMNS])


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
