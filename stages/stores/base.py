"""What an object store must be able to do: the contract that S3 and the directory both pass.

Names always include the prefix. Retries belong to the implementation; callers get either success, or
``ConfigurationError``, or one of the ``StoreError`` tree. Beyond those named below, every method may raise

- ``StoreUnreachable``: no answer, or not in time, or only with 5xx, after the retries;
- ``StoreForbidden``: a wrong key, or a right is missing; says which;
- ``BucketMissing``: no such bucket or directory;
- ``ConfigurationError``: a name or a setting that cannot work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self, runtime_checkable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: name (with its prefix), size in bytes, time of last change (UTC), and what pins it.

    Pin with what ``head``, ``put`` or ``complete`` returned: some stores list another ETag than they read.
    """

    name: str
    size: int
    modified: datetime
    etag: str = ""
    version: str = ""

    def is_same(self, other: ObjectInfo) -> bool:
        """Whether both are the same bytes, as far as the store reports: by version or ETag, else by size and time."""
        if self.size != other.size:
            return False
        if self.version and other.version:
            return self.version == other.version
        if self.etag and other.etag:
            return self.etag == other.etag
        return self.modified == other.modified


class StoreSettings(Protocol):
    """How to reach a store: what every function of the library takes. Others may open another store."""

    @property
    def prefix(self) -> str:
        """What every archive's name begins with, for example ``backups/``."""

    @property
    def where(self) -> str:
        """The store as messages name it."""

    @property
    def place(self) -> str:
        """A text that is the same for all settings that lead to the same store."""

    @property
    def smallest_part(self) -> int:
        """Bytes that a part of an upload must have at least, but for the last."""

    def open(self) -> ObjectStore:
        """The store, to be entered."""


class Upload(Protocol):
    """An upload in parts. Nothing is visible before ``complete`` began."""

    async def put_part(self, number: int, data: bytearray) -> None:
        """Store part ``number`` (from 1); any order, several at once. All parts but the last have ``part_size`` bytes.

        The buffer belongs to the upload until this returns or raises. May be retried inside; sending a number again
        replaces it. Raises ``StoreFull`` when no space is left.
        """

    async def complete(self, size: int) -> ObjectInfo:
        """Make the object visible and check that the store holds ``size`` bytes.

        Raises ``ObjectExists`` when the name was taken meanwhile (where the store reports it), ``StoreError`` when the
        store holds another size or refuses the parts, ``InternalError`` when the parts do not add up to ``size``.
        Call ``abort`` after any exception, cancellation too.
        """

    async def abort(self) -> None:
        """Forget every part, and the object as well if ``complete`` began but did not return.

        Safe to call twice, and after a ``complete`` that returned, when it does nothing. Call it shielded.
        """


@runtime_checkable
class Odd(Protocol):
    """A store that is known to lack something that a backup can do without."""

    @property
    def odd(self) -> tuple[str, ...]:
        """What the last ``check`` found, a sentence for each."""


class ObjectStore(Protocol):
    """A place for archives. An async context manager: entering connects, leaving frees every connection."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def prefix(self) -> str:
        """What every archive's name begins with, for example ``backups/``."""

    async def create(self, name: str, *, part_size: int) -> Upload:
        """Begin an upload of ``part_size`` bytes a part. Raises ``ObjectExists`` when the name is taken."""

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """Store a small object in one request, all or nothing. Raises ``ObjectExists`` when the name is taken."""

    def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from byte ``start`` to before ``end`` (the object's end when None), in chunks of 1 MiB at most.

        Raises ``ObjectMissing``, and with ``pin`` ``ObjectChanged`` unless it is still the same object. An ``end``
        past the object's end is cut; a ``start`` there gives nothing. One attempt, no resuming: the source stage
        resumes. A body that ends early or breaks raises ``StoreUnreachable`` from the iterator.
        """

    async def head(self, name: str) -> ObjectInfo:
        """The object's size and pin. Raises ``ObjectMissing``."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose name begins with ``prefix``, in name order."""

    async def replace_start(self, name: str, data: bytearray, *, skip: int, pin: ObjectInfo) -> ObjectInfo:
        """Put ``data`` in the place of an object's first ``skip`` bytes; the store copies what stands behind them.

        Whatever ends this in the middle, there is the old object or the new one, whole. Raises ``ObjectMissing``, and
        ``ObjectChanged`` unless it is still the object of ``pin`` (where a store knows no conditions, as far as can
        be seen), ``StoreFull``, ``StoreError`` when the store holds another size.
        """

    async def delete(self, name: str, *, pin: ObjectInfo | None = None) -> None:
        """Remove an object. Raises ``ObjectMissing``, and with ``pin`` ``ObjectChanged`` unless it is that object."""

    async def presign(self, name: str, expires: timedelta) -> str:
        """A URL that anybody may GET for that long. Raises ``ConfigurationError`` where there is no such thing."""

    async def abort_stale(self, older_than: timedelta) -> int:
        """Abort our unfinished uploads (under the prefix) that began longer ago; how many there were."""

    async def check(self) -> tuple[str, ...]:
        """Try each right that a backup and a restore need, and clean up; the names of those missing (none: all there).

        Raises what makes every right fail: ``StoreUnreachable``, a wrong key's ``StoreForbidden``, ``BucketMissing``.
        """
