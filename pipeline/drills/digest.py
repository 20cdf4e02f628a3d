"""SHA-256 of an archive as the store has it, to the last byte: what a report names it by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...stages.archive.download import ArchiveSource
from ..engine import Inlet, Pipeline, in_thread

if TYPE_CHECKING:
    from ..archives.reading import OpenArchive
    from ..job import Job


async def object_digest(job: Job, archive: OpenArchive) -> str:
    """In hex, of the version that was opened. Raises the ``StoreError`` tree."""
    digest = hashlib.sha256()

    async def feed(chunks: Inlet[bytes]) -> None:
        async for chunk in chunks:
            await in_thread(digest.update, chunk)

    pipeline = Pipeline()
    chunks = pipeline.source(ArchiveSource(archive.store, archive.info, start=0))
    pipeline.sink(feed, chunks, name="sha256")
    job.begin("verify", archive_total=archive.info.size)
    await job.run(pipeline, lambda: {"archive_bytes": chunks.bytes})
    return digest.hexdigest()
