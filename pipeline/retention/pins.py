"""Pins: an archive that has one is kept, whatever retention's rules say, and is not deleted.

A pin is a small object beside the archive, ``NAME.pin``. So everybody who can read the store knows it, with a service
or without one. It ends mistakes, not attacks: who may delete objects can delete a pin as well. Where the store can lock
objects, the archive is put on legal hold too, which does not go by itself.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...stages.archive.download import read_range
from ...stages.errors import ObjectExists, ObjectMissing, Pinned, StoreError, StoreUnreachable
from ...stages.stores.locks import hold, locks_of
from ...stages.stores.names import is_directly_under
from ..reports.words import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ...stages.stores.base import ObjectStore

#: What a pin's name has behind its archive's.
ENDING = ".pin"
#: Longest reason, in characters, and largest pin that is read, in bytes.
LONGEST_REASON, _LARGEST = 1000, 64 * 1024


@dataclass(frozen=True, slots=True)
class Pin:
    """An archive is kept: why, by whom, and since when; what a damaged pin does not say is empty.

    ``held``: the pin has put it on legal hold.
    """

    archive: str
    reason: str = ""
    by: str = ""
    at: datetime | None = None
    held: bool = False


def pinned_in(names: Iterable[str]) -> set[str]:
    """The archives that have a pin, by the names of all objects of a listing."""
    return {name.removesuffix(ENDING) for name in names if name.endswith(f".enc{ENDING}")}


async def pinned_archives(store: ObjectStore) -> set[str]:
    """The archives directly under the prefix that have a pin, by one listing. Raises the ``StoreError`` tree."""
    names = [info.name async for info in store.list(store.prefix)]
    return pinned_in(name for name in names if is_directly_under(name, store.prefix))


async def is_pinned(store: ObjectStore, archive: str) -> bool:
    """Whether an archive has a pin, by one request. Raises the ``StoreError`` tree."""
    try:
        await store.head(archive + ENDING)
    except ObjectMissing:
        return False
    return True


async def read_pin(store: ObjectStore, archive: str) -> Pin | None:
    """An archive's pin; None without one. Raises the ``StoreError`` tree."""
    try:
        info = await store.head(archive + ENDING)
        data = await read_range(store, info, 0, _LARGEST)
    except ObjectMissing:
        return None
    return _parsed(archive, data)


async def pin_in(store: ObjectStore, archive: str, *, reason: str = "", by: str = "") -> Pin:
    """Pin an archive, by its full name. One that is pinned keeps the pin it has, which is returned.

    A key that may not put it on legal hold pins it all the same. Raises ``ObjectMissing`` without such an archive, and
    the ``StoreError`` tree.
    """
    await store.head(archive)
    if (there := await read_pin(store, archive)) is not None:
        return there
    now = datetime.now(UTC).replace(microsecond=0)
    made = Pin(archive, reason[:LONGEST_REASON], by, now, held=await _hold(store, archive))
    try:
        await store.put(archive + ENDING, bytearray(_written(made)))
    except ObjectExists:
        return await read_pin(store, archive) or made
    try:
        await store.head(archive)
    except ObjectMissing:  # deleted meanwhile
        await unpin_in(store, archive)
        raise
    return made


async def unpin_in(store: ObjectStore, archive: str) -> bool:
    """Remove an archive's pin, and its hold; also when the archive is gone; False when there is no pin.

    Raises the ``StoreError`` tree.
    """
    pin = await read_pin(store, archive)
    if pin is not None and pin.held:
        with suppress(ObjectMissing):
            await hold(store, archive, on=False)
    try:
        await store.delete(archive + ENDING)
    except ObjectMissing:
        return False
    return True


async def _hold(store: ObjectStore, archive: str) -> bool:
    """Put an archive on legal hold where that can be; not one that somebody else has put on hold."""
    try:
        locks = await locks_of(store, [archive])
        if archive in locks and locks[archive].held:
            return False
        return await hold(store, archive, on=True)
    except StoreUnreachable:
        raise
    except StoreError:
        return False


async def refuse_pinned(store: ObjectStore, archive: str) -> None:
    """Raise ``Pinned`` when an archive has a pin; and the ``StoreError`` tree."""
    pin = await read_pin(store, archive)
    if pin is not None:
        why = f" ({printable(pin.reason)})" if pin.reason else ""
        raise Pinned(
            f"{archive} is pinned{why} and is not deleted.",
            hint="Remove the pin first: `kleidia-backup unpin`, or DELETE /api/backup/pins/ and its name.",
        )


async def pins_of(store: ObjectStore, archives: Collection[str]) -> list[Pin]:
    """The pins of these archives, which a listing has found. Raises the ``StoreError`` tree."""
    found = [await read_pin(store, each) for each in sorted(archives)]
    return [pin for pin in found if pin is not None]


def _written(pin: Pin) -> bytes:
    at = "" if pin.at is None else pin.at.isoformat()
    said = {"version": 1, "archive": pin.archive, "reason": pin.reason, "by": pin.by, "at": at, "held": pin.held}
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


def _parsed(archive: str, data: bytes) -> Pin:
    """What a pin says. One that says nothing pins all the same."""
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Pin(archive)
    held = said.get("held") is True
    texts = {name: str(said.get(name) or "")[:LONGEST_REASON] for name in ("reason", "by", "at")}
    try:
        at = datetime.fromisoformat(texts["at"])
    except ValueError:
        return Pin(archive, texts["reason"], texts["by"], held=held)
    return Pin(archive, texts["reason"], texts["by"], at.replace(tzinfo=at.tzinfo or UTC), held)
