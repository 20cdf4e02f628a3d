"""Objects that nobody may delete for a time: what a store tells of them, where it has such a thing.

A store that can do so offers ``Locking`` beside ``ObjectStore``; the functions here answer for every store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from ...pipeline.engine import task_group
from ..errors import ObjectMissing, StoreError, StoreForbidden, StoreUnreachable

if TYPE_CHECKING:
    from .base import ObjectStore

#: How an object is locked: in ``governance`` a right of its own lifts the lock, in ``compliance`` nothing does.
LockMode: TypeAlias = Literal["none", "governance", "compliance"]
#: Objects that are asked about at once.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Lock:
    """What keeps an object: ``mode`` until the time ``until``, and a legal hold as long as ``held``."""

    mode: LockMode = "none"
    until: datetime | None = None
    held: bool = False

    @property
    def holds(self) -> bool:
        """Whether it cannot be deleted now."""
        return self.held or (self.until is not None and self.until > datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a place does with objects that are deleted or replaced; None is unknown: the key may not ask.

    ``versions`` is whether it keeps those versions, ``locks`` whether it can lock objects, ``default_mode`` and
    ``default_days`` how it locks each by itself, ``lock_mode`` and ``lock_days`` how we lock archives.
    Of our key: ``deletes_versions``, and ``lifts_locks`` that it deletes
    what is locked in governance mode, as a thief of the key could.
    """

    versions: bool | None = None
    locks: bool | None = None
    default_mode: LockMode = "none"
    default_days: int = 0
    lock_mode: LockMode = "none"
    lock_days: int = 0
    deletes_versions: bool | None = None
    lifts_locks: bool | None = None


@runtime_checkable
class Locking(Protocol):
    """What a store can do besides whose objects can be locked. Errors as in ``base``."""

    async def can_lock(self) -> bool:
        """Whether this place can lock objects; False where the key may not ask."""

    async def lock_of(self, name: str) -> Lock:
        """What keeps an object, as far as the key may know. Raises ``ObjectMissing``."""

    async def hold(self, name: str, on: bool) -> None:
        """Put an object on legal hold, or take it off. Raises ``ObjectMissing``, and ``StoreError`` where it cannot."""

    async def allowed(self) -> Allowed:
        """Find out by small probes of our own, which are removed again, as far as that is allowed."""


async def hold(store: ObjectStore, name: str, on: bool) -> bool:
    """Put an object on legal hold, or take it off, where the store has such a thing; whether it has.

    Raises ``ObjectMissing``, and the rest of the ``StoreError`` tree.
    """
    if not isinstance(store, Locking) or not await store.can_lock():
        return False
    await store.hold(name, on)
    return True


async def locks_of(store: ObjectStore, names: Iterable[str]) -> Mapping[str, Lock]:
    """What keeps each of these objects: one request for each, and nothing where the place locks none.

    Objects that are gone meanwhile, or that the key may not ask about, are left out. Raises the ``StoreError`` tree.
    """
    found: dict[str, Lock] = {}
    failures: list[StoreError] = []
    if not isinstance(store, Locking):
        return found
    try:
        if not await store.can_lock():
            return found
    except StoreUnreachable:  # some stores fail at what they do not know; a listing does not have to
        return found
    left = iter(names)

    async def ask() -> None:
        for name in left:
            try:
                found[name] = await store.lock_of(name)
            except (ObjectMissing, StoreForbidden):
                continue
            except StoreError as exc:
                failures.append(exc)
            if failures:
                return

    async with task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(ask)
    if failures:
        raise failures[0]
    return found
