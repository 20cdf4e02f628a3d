"""The commands ``pin`` and ``unpin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.archives import actions as archives
from ...pipeline.archives.opening import full_name
from ...pipeline.reports import words
from ..records.history import Entry
from ..records.who import user

if TYPE_CHECKING:
    from ..invocation import Invocation


def pin(invocation: Invocation) -> int:
    """Keep an archive, whatever retention's rules say and whoever deletes."""
    store, given = invocation.store, invocation.arguments
    made = invocation.job(
        lambda _: archives.pin(given.name, store, reason=given.reason or "", by=user()),
        entries=lambda made: [Entry("archive.pinned", made.archive, details=made.reason)],
    )
    values = {"name": made.archive, "pinned": True}
    values |= {name: getattr(made, name) for name in ("reason", "by", "at", "held")}
    since = "" if made.at is None else f", since {words.moment(made.at)}"
    held = ", and on legal hold in the store" if made.held else ""
    why = f": {words.printable(made.reason)}" if made.reason else ""
    return invocation.terminal.result(values, [f"{words.printable(made.archive)} is pinned{since}{held}{why}."])


def unpin(invocation: Invocation) -> int:
    """Leave an archive to retention's rules again."""
    store, given = invocation.store, invocation.arguments
    name = full_name(store, given.name)
    removed = invocation.job(
        lambda _: archives.unpin(given.name, store),
        entries=lambda removed: [Entry("archive.unpinned", name)] if removed else [],
    )
    said = f"{words.printable(name)} is pinned no more." if removed else f"{words.printable(name)} was not pinned."
    return invocation.terminal.result({"name": name, "pinned": False, "changed": removed}, [said])
