"""How each archive's copies are, by what the stores list: nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...stages.stores.names import SUFFIX, is_directly_under, is_probe
from ...stages.stores.resuming import Resumable
from ..archives.copied import CopyState
from ..retention.pins import pinned_in
from .records import mark_of, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...stages.stores.base import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Sides:
    """The archives of the first store and of a copy by their names without the prefix, and how those of the first are.

    ``states`` has those of ``first``, in its order; ``known`` names what is recorded in the copy, ``pinned``
    what is pinned there.
    """

    first: Mapping[str, ObjectInfo]
    there: Mapping[str, ObjectInfo]
    states: Mapping[str, CopyState]
    known: frozenset[str]
    pinned: frozenset[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """The archives of a store by their names without the prefix, and which of them are pinned there."""

    archives: Mapping[str, ObjectInfo]
    pinned: frozenset[str]


async def listed_in(store: ObjectStore) -> Listed:
    """What a listing shows. Raises the ``StoreError`` tree."""
    prefix = store.prefix
    found = {
        info.name[len(prefix) :]: info async for info in store.list(prefix) if is_directly_under(info.name, prefix)
    }
    archives = {name: info for name, info in found.items() if name.endswith(SUFFIX) and not is_probe(name, "")}
    return Listed(archives, frozenset(pinned_in(found) & archives.keys()))


async def look(first: Mapping[str, ObjectInfo], store: ObjectStore, copy: str) -> Sides:
    """How the archives of ``first`` are in a copy's store. Raises the ``StoreError`` tree."""
    listed, marks = await listed_in(store), await recorded(store)
    there = listed.archives
    unfinished: Iterable[str] = await store.unfinished() if isinstance(store, Resumable) else ()
    begun = {name[len(store.prefix) :] for name in unfinished}
    states = {
        name: _state(name, info, there.get(name), marks.get(name, set()), begun, copy) for name, info in first.items()
    }
    return Sides(first, there, states, frozenset(marks), listed.pinned)


def _state(
    name: str, info: ObjectInfo, found: ObjectInfo | None, marks: set[str], begun: set[str], copy: str
) -> CopyState:
    if found is None:
        return CopyState(name, copy, "copying" if name in begun else "missing")
    same = mark_of(info, found) in marks
    return CopyState(name, copy, "ok" if same else "differs", found.size, found.modified)
