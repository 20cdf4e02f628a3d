"""One archive, copied from the first store to another, as it is: what is copied is never decrypted.

download ─ sha256 ─ upload            then, read back:   download ─ sha256
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...formats.v2.head import Head
from ...stages.archive.digests import Digests, ignore
from ...stages.archive.download import ArchiveSource, read_head, read_range
from ...stages.archive.upload import PART, ArchiveSink
from ...stages.errors import ArchiveError, ObjectMissing, StoreError
from ...stages.stores.parts import MAX_PARTS
from ...stages.stores.resuming import Resuming
from ..archives.copied import CopyState
from ..engine import Pipeline
from .records import Record, mark_of, write_record

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..archives.copied import State
    from ..engine import Edge
    from ..job import Job
    from .settings import Copy

_OTHER = "Another archive has this name there, or the one in the first store was changed in more than its key slots."
_OTHER_HINT = (
    "Verify both, the copy by --from-copy. Delete the wrong one (delete --from-copy removes the copy's); the next run "
    "copies again."
)
_SLOTS = "The key slots of the one in the first store were changed; all else is the same."
_SLOTS_HINT = (
    "If rewrap changed them: kleidia-backup copies sync --new-slots. Else somebody wrote to the first store: verify "
    "the copy by --from-copy, and keep it."
)
#: Bytes that a part is a multiple of.
_STEP = 1024 * 1024


def part_size_for(size: int, smallest: int) -> int:
    """Bytes of a part, such that an archive of ``size`` bytes has not too many."""
    least = -(-size // (MAX_PARTS - 1))
    return max(PART, smallest, -(-least // _STEP) * _STEP)


class OneCopy:
    """Makes one archive's copy, or finds that what is there is one.

    ``new_slots``: somebody says that key slots were changed on purpose. Nobody can tell by the bytes: whoever may write
    to the first store could destroy the slots of every copy otherwise.
    """

    def __init__(
        self, job: Job, first: ObjectStore, listed: ObjectInfo, store: ObjectStore, copy: Copy, *, new_slots: bool
    ) -> None:
        self._job, self._first, self._listed, self._store, self._copy = job, first, listed, store, copy
        self._new_slots = new_slots
        self._base = listed.name[len(first.prefix) :]
        self._name = store.prefix + self._base

    async def run(self) -> CopyState:
        """Copy, compare and record. Raises the ``ArchiveError`` and ``StoreError`` trees.

        What is there under that name and has another content is not overwritten, unless only the key slots differ and
        they were changed on purpose.
        """
        info, preamble = await read_head(self._first, self._listed.name)
        size = preamble.size
        try:
            there = await self._store.head(self._name)
        except ObjectMissing:
            there = None
        if there is None:
            digests = await self._send(info, size)
            return await self._made(digests, size, await self._store.head(self._name))
        digests = await self._read(self._first, info, size)
        try:
            _, old = await read_head(self._store, self._name)
        except ArchiveError:
            return self._state("differs", there, _OTHER, _OTHER_HINT)
        found = await self._read(self._store, there, old.size)
        if found.whole == digests.whole:
            return await self._record(digests, "read", info.size)
        facts = isinstance(old, Head) and isinstance(preamble, Head) and old.facts_digest == preamble.facts_digest
        if not facts or found.body != digests.body:
            return self._state("differs", there, _OTHER, _OTHER_HINT)
        if not self._new_slots:
            return self._state("differs", there, _SLOTS, _SLOTS_HINT)
        self._job.log("key slots changed: replacing the copy's", archive=self._base)
        head = bytearray(await read_range(self._first, info, 0, size))
        made = await self._store.replace_start(self._name, head, skip=old.size, pin=there)
        return await self._made(digests, size, made, replaced=True)

    async def _send(self, info: ObjectInfo, head: int) -> Digests:
        digests, part_size = Digests(head), part_size_for(info.size, self._copy.store.smallest_part)
        sink = ArchiveSink(Resuming(self._store), self._name, preamble=b"", part_size=part_size)
        pipeline = Pipeline()
        chunks = pipeline.source(ArchiveSource(self._first, info, start=0)).through(digests)
        pipeline.sink(sink, chunks)
        await self._run(pipeline, chunks, info.size)
        return digests

    async def _read(self, store: ObjectStore, info: ObjectInfo, head: int) -> Digests:
        digests, pipeline = Digests(head), Pipeline()
        chunks = pipeline.source(ArchiveSource(store, info, start=0)).through(digests)
        pipeline.sink(ignore, chunks)
        await self._run(pipeline, chunks, info.size)
        return digests

    async def _run(self, pipeline: Pipeline, chunks: Edge[bytes], size: int) -> None:
        self._job.begin("copy", archive_total=size)
        await self._job.run(pipeline, lambda: {"archive_bytes": chunks.bytes})

    async def _made(self, digests: Digests, head: int, made: ObjectInfo, *, replaced: bool = False) -> CopyState:
        """Compare what was just stored. What is not the archive is removed again, but not one that was good before."""
        if not self._copy.read_back:
            return await self._record(digests, "size", made.size)
        found = await self._read(self._store, made, head)
        if found.whole != digests.whole:
            other = (
                f"{self._copy.store.where} gives other bytes of {self._name} than it was given: SHA-256 {found.whole}, "
                f"not {digests.whole}."
            )
            if replaced:  # a store that reads wrong for a moment does not cost the archive
                raise StoreError(f"{other} It stays there.", hint="Test that store, and verify this copy.")
            with suppress(StoreError):  # what is locked stays
                await self._store.delete(self._name, pin=made)
            raise StoreError(
                f"{other} It was removed there, unless it is locked.",
                hint="Test that store; the next run copies it again.",
            )
        return await self._record(digests, "read", made.size)

    async def _record(self, digests: Digests, verified: str, size: int) -> CopyState:
        if digests.bytes != size:
            raise StoreError(
                f"{self._copy.store.where} has {size} bytes of {self._name}, not {digests.bytes}.",
                hint="Delete it there; the next run copies it again.",
            )
        now = datetime.now(UTC)
        record = Record(self._base, size, digests.whole, digests.body, verified, now.isoformat())
        listed = [info async for info in self._store.list(self._name) if info.name == self._name]
        if not listed:
            raise StoreError(
                f"{self._copy.store.where} took {self._name} and does not list it.", hint="Use another store."
            )
        await write_record(self._store, record, mark_of(self._listed, listed[0]))
        return self._state("ok", listed[0])

    def _state(self, state: State, there: ObjectInfo, error: str = "", hint: str = "") -> CopyState:
        return CopyState(self._base, self._copy.name, state, there.size, there.modified, error, hint)
