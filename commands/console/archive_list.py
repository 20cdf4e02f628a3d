"""The list of archives, for people: what is known of none is named below the table, and never filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ...pipeline.reports import words
from .tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.archives.listing import ArchiveInfo, Page
    from ...pipeline.retention.uploads import LeftUpload

#: What may be recorded of an archive, and how it is shown.
_KNOWN: dict[str, Callable[[Any], str]] = {
    "duration": words.seconds,
    "verified": words.moment,
    "proven": words.moment,
    "pinned": lambda pinned: "yes" if pinned else "no",
    "copies": lambda copies: ", ".join(f"{words.printable(each.copy)}: {each.state}" for each in copies),
}
_UNKNOWN = "?"


def shown(page: Page, *, narrowed: bool = False) -> Iterator[RenderableType]:
    """A line for each archive of a page, and whether there are more. ``narrowed``: others were not asked for."""
    found = page.archives
    if not found:
        if page.total:
            yield "There are no archives that are as old as that."
        else:
            yield "No archive is of that type and age." if narrowed else "There are no archives."
        return
    locked = any(each.held or each.locked_until for each in found)
    columns = [name for name in _KNOWN if any(getattr(each.known, name) is not None for each in found)]
    made = table("archive", "size", "created", "type", *columns, *(["locked until"] if locked else []))
    for each in found:
        made.add_row(
            Text(words.printable(each.name)),
            words.size(each.size),
            _UNKNOWN if each.created_at is None else words.moment(each.created_at),
            each.backup_type or _UNKNOWN,
            *(_cell(name, getattr(each.known, name)) for name in columns),
            *([_lock(each)] if locked else []),
        )
    yield made
    if unknown := [name for name in _KNOWN if name not in columns]:
        yield f"Not known here: {', '.join(unknown)}."
    if page.next is not None:
        more = f"{page.total - page.next:,} of {page.total:,}"
        yield f"These are not all: {more} follow, and --offset {page.next} shows them."


def unfinished(found: Sequence[LeftUpload]) -> Iterator[RenderableType]:
    """A line for each upload that is not finished."""
    if not found:
        yield "There are no unfinished uploads."
        return
    made = table("unfinished upload of", "size so far", "begun", "a backup aborts it after", "id")
    for each in found:
        made.add_row(
            Text(words.printable(each.name)),
            _UNKNOWN if each.size is None else words.size(each.size),
            words.moment(each.began),
            "never: it is not ours" if each.aborted_after is None else words.moment(each.aborted_after),
            Text(words.printable(each.id)),
        )
    yield made
    yield "One of a job that runs is among them."


def _lock(archive: ArchiveInfo) -> str:
    """Until when the store's lock keeps it."""
    until = words.moment(archive.locked_until) if archive.locked_until else ""
    return ", ".join(text for text in (until, "legal hold" if archive.held else "") if text)


def _cell(name: str, value: Any) -> str:
    return _UNKNOWN if value is None else _KNOWN[name](value)
