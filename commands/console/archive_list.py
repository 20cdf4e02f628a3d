"""The list of archives, for people: what is known of none is named below the table, and never filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ...pipeline.reports import words
from .tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.archives.listing import ArchiveInfo

#: What may be recorded of an archive, and how it is shown.
_KNOWN: dict[str, Callable[[Any], str]] = {
    "duration": words.seconds,
    "verified": words.moment,
    "proven": words.moment,
    "pinned": lambda pinned: "yes" if pinned else "no",
    "copies": lambda copies: ", ".join(f"{words.printable(each.copy)}: {each.state}" for each in copies),
}
_UNKNOWN = "?"


def shown(found: Sequence[ArchiveInfo], *, narrowed: bool = False) -> Iterator[RenderableType]:
    """A line for each archive. ``narrowed``: there may be others, which were not asked for."""
    if not found:
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


def _lock(archive: ArchiveInfo) -> str:
    """Until when the store's lock keeps it."""
    until = words.moment(archive.locked_until) if archive.locked_until else ""
    return ", ".join(text for text in (until, "legal hold" if archive.held else "") if text)


def _cell(name: str, value: Any) -> str:
    return _UNKNOWN if value is None else _KNOWN[name](value)
