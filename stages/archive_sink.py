"""The end of a backup: ciphertext to one object, its first part uploaded last.

The header stands in front of the ciphertext and holds its checksum, which is known only at the end. Its length is
known at the start, so the first part is kept in memory with room for it, and uploaded when everything else is there.
All parts but the last have one size, as some stores require.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from .errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..pipeline.engine import Inlet
    from .stores.base import ObjectInfo, ObjectStore, Upload

#: S3 takes this many parts at most.
MAX_PARTS = 10_000
#: S3 takes no smaller part, but for the last one; it says so only at the end.
SMALLEST_S3_PART = 5 * 1024 * 1024
#: The usual part. With it 10,000 parts hold 78 GiB, and the format seals 64; memory is four parts.
PART = 8 * 1024 * 1024
#: Seconds that aborting an upload may take.
ABORT_SECONDS = 30.0

_MIB = 1024 * 1024


class ArchiveSink:
    """Uploads ciphertext under ``name`` behind a preamble of ``preamble_size`` bytes.

    ``preamble`` is called once, when the input ended. Nothing is visible before the end of the input; on failure or
    cancellation nothing is left. ``info`` is the object once the stage returned.
    """

    name = "upload"

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        *,
        preamble_size: int,
        preamble: Callable[[], bytes],
        part_size: int = PART,
        uploads: int = 2,
    ) -> None:
        self._store = store
        self._object = name
        self._preamble_size = preamble_size
        self._preamble = preamble
        self._part_size = part_size
        self._limit = anyio.Semaphore(uploads)
        #: The first part, one being filled, and those in flight.
        self.working_set = part_size * (2 + uploads)
        self._upload: Upload | None = None
        self.info: ObjectInfo | None = None
        self.parts = 0

    async def __call__(self, chunks: Inlet[bytes]) -> None:
        """Upload. Raises the ``StoreError`` tree, ``ObjectExists`` included."""
        try:
            async with anyio.create_task_group() as group:
                size, first, last = await self._fill(chunks, group)
            await self._finish(size, first, last)
        except BaseException:
            await self._abort()
            raise

    async def _fill(self, chunks: Inlet[bytes], group: anyio.abc.TaskGroup) -> tuple[int, bytearray, bytearray | None]:
        """Cut the input into parts and upload all but the first and the last; these and the total size return."""
        size = self._preamble_size
        first: bytearray | None = None
        part = bytearray(self._preamble_size)
        async for chunk in chunks:
            size += len(chunk)
            rest = memoryview(chunk)
            while len(part) + len(rest) > self._part_size:
                room = self._part_size - len(part)
                part += rest[:room]
                rest = rest[room:]
                if first is None:
                    first = part
                    self._upload = await self._store.create(self._object, part_size=self._part_size)
                else:
                    await self._start(group, part)
                part = bytearray()
            part += rest
        return (size, part, None) if first is None else (size, first, part)

    async def _start(self, group: anyio.abc.TaskGroup, part: bytearray) -> None:
        self.parts = max(self.parts, 1) + 1
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

    async def _finish(self, size: int, first: bytearray, last: bytearray | None) -> None:
        first[: self._preamble_size] = self._preamble()
        if self._upload is None or last is None:
            self.parts = 1
            self.info = await self._store.put(self._object, first)
            return
        self.parts = max(self.parts, 1) + 1
        await self._upload.put_part(self.parts, last)
        await self._upload.put_part(1, first)
        self.info = await self._upload.complete(size)

    async def _abort(self) -> None:
        if self._upload is None or self.info is not None:
            return
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + ABORT_SECONDS):
            # What went wrong first is what the caller must see; the next backup aborts what is left.
            with suppress(StoreError):
                await self._upload.abort()
