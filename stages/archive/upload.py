"""The end of a backup: ciphertext to one object.

In format V1 the header stands in front of the ciphertext and holds its checksum, which is known only at the end. Its
length is known at the start, so the first part is kept in memory with room for it, and uploaded when everything else is
there. Format V2 knows its head at the start, and its parts are uploaded in order. All parts but the last have one size,
as some stores require.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from ..errors import StoreError
from ..stores.parts import MAX_PARTS
from ..words import STORE

if TYPE_CHECKING:
    from typing import Protocol

    from ...pipeline.engine import Inlet
    from ..stores.base import ObjectInfo, Upload

    class Takes(Protocol):
        """What is needed of a store."""

        async def create(self, name: str, *, part_size: int) -> Upload:
            """As in ``base.ObjectStore``."""

        async def put(self, name: str, data: bytearray) -> ObjectInfo:
            """As in ``base.ObjectStore``."""


#: The usual part. With it 10,000 parts hold 78 GiB, and the format seals 64; memory is four parts.
PART = 8 * 1024 * 1024
#: Seconds that aborting an upload may take.
ABORT_SECONDS = 30.0

_MIB = 1024 * 1024


class ArchiveSink:
    """Uploads ciphertext under ``name`` behind a preamble.

    ``late``, when given, is called once, when the input ended, for a preamble of the same length that takes its place.
    Nothing is visible before the end of the input; on failure or
    cancellation nothing is left. ``info`` is the object once the stage returned.
    """

    name = "upload"
    server = STORE

    def __init__(
        self,
        store: Takes,
        name: str,
        *,
        preamble: bytes,
        late: Callable[[], bytes] | None = None,
        part_size: int = PART,
        uploads: int = 2,
    ) -> None:
        self._store = store
        self._object = name
        self._preamble = preamble
        self._late = late
        self._part_size = part_size
        self._limit = anyio.Semaphore(uploads)
        #: One part being filled, those in flight, and the first one where it is kept back.
        self.working_set = part_size * (1 + uploads + bool(late))
        self._upload: Upload | None = None
        self._first: bytearray | None = None  # kept back for what comes late
        self._part = bytearray(part_size)  # being filled; the system gives memory for what is written of it
        self._filled = 0
        self.info: ObjectInfo | None = None
        self.parts = 0

    async def __call__(self, chunks: Inlet[bytes]) -> None:
        """Upload. Raises the ``StoreError`` tree, ``ObjectExists`` included."""
        try:
            async with anyio.create_task_group() as group:
                size = await self._fill(chunks, group)
            await self._finish(size)
        except BaseException:
            await self._abort()
            raise

    async def _fill(self, chunks: Inlet[bytes], group: anyio.abc.TaskGroup) -> int:
        """Cut everything into parts, and upload those that are full; the total size returns."""
        await self._add(group, self._preamble)
        size = len(self._preamble)
        async for chunk in chunks:
            size += len(chunk)
            await self._add(group, chunk)
        return size

    async def _add(self, group: anyio.abc.TaskGroup, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            if self._filled == self._part_size:
                await self._full(group)
            taken = rest[: self._part_size - self._filled]
            self._part[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rest = rest[len(taken) :]

    async def _full(self, group: anyio.abc.TaskGroup) -> None:
        """Upload the part that is full, or keep the first one back; more is to come."""
        if self._upload is None:
            self._upload = await self._store.create(self._object, part_size=self._part_size)
        if self._late and self._first is None:
            self._first, self.parts = self._part, 1
        else:
            await self._start(group, self._part)
        self._part, self._filled = bytearray(self._part_size), 0

    async def _start(self, group: anyio.abc.TaskGroup, part: bytearray) -> None:
        self.parts += 1
        if self.parts >= MAX_PARTS:
            raise StoreError(
                f"The archive grew past {MAX_PARTS} parts of {self._part_size // _MIB} MiB.",
                hint="Set a larger part_size in the [store] section of the configuration.",
            )
        # A slot first: what waits for one must not hold a part besides the one being filled.
        await self._limit.acquire()
        group.start_soon(self._put, self.parts, part)

    async def _put(self, number: int, part: bytearray) -> None:
        assert self._upload is not None
        try:
            await self._upload.put_part(number, part)
        finally:
            self._limit.release()

    async def _finish(self, size: int) -> None:
        del self._part[self._filled :]
        if self._late:
            preamble = self._late()
            (self._part if self._first is None else self._first)[: len(preamble)] = preamble
        self.parts += 1
        if self._upload is None:
            self.info = await self._store.put(self._object, self._part)
            return
        await self._upload.put_part(self.parts, self._part)
        if self._first is not None:
            await self._upload.put_part(1, self._first)
        self.info = await self._upload.complete(size)

    async def _abort(self) -> None:
        if self._upload is None or self.info is not None:
            return
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + ABORT_SECONDS):
            # What went wrong first is what the caller must see; the next backup aborts what is left.
            with suppress(StoreError):
                await self._upload.abort()
