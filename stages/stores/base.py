"""What an object store must be able to do: the contract that S3 and the directory both pass.

Retries belong to the implementation; callers see either success or one of the ``StoreError`` tree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: name (with its prefix), size in bytes, time of last change (UTC), and what pins it."""

    name: str
    size: int
    modified: datetime
    etag: str = ""
    version: str = ""


class Upload(Protocol):
    """An upload in parts. Nothing is visible before ``complete`` returned."""

    async def put_part(self, number: int, data: bytearray) -> None:
        """Store part ``number`` (from 1); any order, several at once. All parts but the last have ``part_size`` bytes.

        The buffer belongs to the upload until this returns. May be retried inside, so it is idempotent.
        """

    async def complete(self, size: int) -> ObjectInfo:
        """Make the object visible and check that the store holds ``size`` bytes.

        Raises ``ObjectExists`` when the name was taken meanwhile (where the store can tell).
        """

    async def abort(self) -> None:
        """Forget every part. Safe to call after a failed ``complete``, and twice."""


class ObjectStore(Protocol):
    """A place for archives. An async context manager: entering connects, leaving frees every connection."""

    async def __aenter__(self) -> ObjectStore: ...

    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def prefix(self) -> str:
        """What every archive's name begins with, for example ``backups/``."""

    async def create(self, name: str, *, part_size: int) -> Upload:
        """Begin an upload of ``part_size`` bytes a part. Raises ``ObjectExists`` when the name is taken."""

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """Store a small object in one request. Raises ``ObjectExists`` when the name is taken."""

    def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read bytes ``start`` up to but not including ``end`` (the object's end when None), in chunks of 1 MiB at most.

        With ``pin``, raises ``ObjectChanged`` unless it is still the same object. One attempt, no resuming: the
        source stage resumes. A body that ends early or breaks raises ``StoreUnreachable``.
        """

    async def head(self, name: str) -> ObjectInfo:
        """The object's size and pin. Raises ``ObjectMissing``."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose name begins with ``prefix``, in name order."""

    async def delete(self, name: str, *, pin: ObjectInfo | None = None) -> None:
        """Remove an object. Raises ``ObjectMissing``."""

    async def presign(self, name: str, expires: timedelta) -> str:
        """A URL that anybody may GET for that long. Raises ``ConfigurationError`` where there is no such thing."""

    async def abort_stale(self, older_than: timedelta) -> int:
        """Abort unfinished uploads of ours (under the prefix) that began longer ago; how many there were."""

    async def check(self) -> list[str]:
        """Try each right that a backup and a restore need, and clean up; the names of those missing (empty: all there)."""
