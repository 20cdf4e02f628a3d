"""Everything that is done with archives besides backup and restore."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ...formats.errors import NotAnArchive
from ...stages.archive.download import ArchiveSource, read_head
from ...stages.extract.file import FileSink, refuse_existing
from ...stages.stores.names import SUFFIX, is_directly_under
from ..engine import Pipeline, in_thread
from ..job import JOB_TIMEOUT, Job, within
from ..retention.pins import pin_in, refuse_pinned, unpin_in
from .opening import find_name

if TYPE_CHECKING:
    from ...formats.v1.header import Preamble
    from ...formats.v2.head import Head
    from ...stages.stores.base import ObjectInfo, ObjectStore, StoreSettings
    from ..reports.jobs import OnProgress
    from ..retention.pins import Pin

#: How long a presigned URL works (likewise).
URL_EXPIRES = timedelta(hours=1)


async def inspect(name: str, store: StoreSettings) -> tuple[ObjectInfo, Preamble | Head]:
    """Read what an archive says of itself in clear text, by one ranged request.

    Raises the ``ArchiveError`` and ``StoreError`` trees.
    """
    async with store.open() as target:
        return await inspect_in(target, name)


async def inspect_in(store: ObjectStore, name: str) -> tuple[ObjectInfo, Preamble | Head]:
    """The same in a store that is open. Raises as ``inspect``."""
    return await read_head(store, await find_name(store, name))


async def find(name: str, store: StoreSettings) -> ObjectInfo:
    """What ``delete`` would remove; raises what it would."""
    async with store.open() as target:
        found = await _find(name, target)
        await refuse_pinned(target, found.name)
        return found


async def delete(name: str, store: StoreSettings) -> None:
    """Remove what a listing shows, damaged or not.

    Raises ``Pinned``, ``NotAnArchive`` for a name that no archive has, and the ``StoreError`` tree.
    """
    async with store.open() as target:
        found = await _find(name, target)
        await refuse_pinned(target, found.name)
        await target.delete(found.name, pin=found)


async def pin(name: str, store: StoreSettings, *, reason: str = "", by: str = "") -> Pin:
    """Keep an archive, whatever retention says and whoever deletes; the pin that it has now, which may be an older one.

    Raises as ``find``.
    """
    async with store.open() as target:
        return await pin_in(target, (await _find(name, target)).name, reason=reason, by=by)


async def unpin(name: str, store: StoreSettings) -> bool:
    """Remove an archive's pin, also when the archive itself is gone; False when there was none.

    Raises ``ObjectMissing`` for ``latest`` where there is no archive, and the ``StoreError`` tree.
    """
    async with store.open() as target:
        return await unpin_in(target, await find_name(target, name))


async def _find(name: str, store: ObjectStore) -> ObjectInfo:
    full = await find_name(store, name)
    why = "" if full.endswith(SUFFIX) else f"its name does not end with {SUFFIX}"
    if not is_directly_under(full, store.prefix):
        why = why or "it lies in a folder below, which may be another installation's"
    if why:
        raise NotAnArchive(
            f"{full} is no kleidia-backup archive of this store: {why}.",
            hint="Only what `kleidia-backup list` shows is deleted.",
        )
    return await store.head(full)


async def presign(name: str, store: StoreSettings, *, expires: timedelta = URL_EXPIRES) -> str:
    """A URL with which anybody can download the (encrypted) archive for that long. Raises the ``StoreError`` tree."""
    async with store.open() as target:
        full = await find_name(target, name)
        await target.head(full)
        return await target.presign(full, expires)


async def download(
    name: str,
    path: Path,
    store: StoreSettings,
    *,
    on_progress: OnProgress = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> int:
    """Copy an archive into a file, which appears only when it is complete; returns its size in bytes.

    Raises ``ConfigurationError`` when the file exists or cannot be written, and the ``StoreError`` tree.
    """
    await in_thread(refuse_existing, path)
    job = Job(on_progress, None)

    async def work() -> int:
        async with store.open() as target:
            info = await target.head(await find_name(target, name))
            pipeline = Pipeline()
            chunks = pipeline.source(ArchiveSource(target, info, start=0))
            pipeline.sink(FileSink(path), chunks)
            job.begin("download", archive_total=info.size)
            await job.run(pipeline, lambda: {"archive_bytes": chunks.bytes})
            return info.size

    return await within(timeout, work, job)
