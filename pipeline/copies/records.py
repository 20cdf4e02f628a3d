"""What a copy's store says of each copy that was verified: a small object beside it, in a folder below the prefix.

Its name says which archive, and which bytes of it: a mark over what both stores list of it. So a listing tells without
reading anything whether both are what they were when they were compared. Anybody who can write to that store can write
such an object; it saves work, and proves nothing: an archive is authenticated when it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ...stages.errors import ObjectExists, ObjectMissing

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore

#: The folder below the prefix.
FOLDER = "copies/"
_NAME = re.compile(r"(?P<archive>[^/]+)\.(?P<mark>[0-9a-f]{32})\.json")


@dataclass(frozen=True, slots=True)
class Record:
    """A copy that was compared with its archive: SHA-256 of both, and of both without their heads (hex).

    ``verified`` says by what: ``read`` (read back and compared) or ``size`` (and the store's checks of each part).
    """

    archive: str
    size: int
    sha256: str
    body_sha256: str
    verified: str
    at: str


def mark_of(first: ObjectInfo, copy: ObjectInfo) -> str:
    """The mark over what both stores list of an archive."""
    return hashlib.sha256("\0".join((_pin(first), _pin(copy))).encode()).hexdigest()[:32]


def _pin(info: ObjectInfo) -> str:
    return f"{info.size}/{info.etag or info.modified.isoformat()}"


async def recorded(store: ObjectStore) -> dict[str, set[str]]:
    """The marks of each archive, by its name without the prefix. Raises the ``StoreError`` tree."""
    folder = store.prefix + FOLDER
    found: dict[str, set[str]] = {}
    async for info in store.list(folder):
        if match := _NAME.fullmatch(info.name, len(folder)):
            found.setdefault(match["archive"], set()).add(match["mark"])
    return found


async def write_record(store: ObjectStore, record: Record, mark: str) -> None:
    """Record a copy, and forget what was recorded of it before. Raises the ``StoreError`` tree."""
    name = f"{store.prefix}{FOLDER}{record.archive}.{mark}.json"
    await forget(store, record.archive, but=mark)
    try:
        await store.put(name, bytearray(json.dumps(asdict(record), indent=1).encode()))
    except ObjectExists:
        return  # another process compared the same two


async def forget(store: ObjectStore, archive: str, *, but: str = "") -> None:
    """Remove what is recorded of an archive. Raises the ``StoreError`` tree."""
    folder = store.prefix + FOLDER
    async for info in store.list(f"{folder}{archive}."):
        match = _NAME.fullmatch(info.name, len(folder))
        if match and match["archive"] == archive and match["mark"] != but:
            try:
                await store.delete(info.name)
            except ObjectMissing:
                continue
