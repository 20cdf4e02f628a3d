"""A backup: the DAG, and the function that runs it.

    pg_dump ──┐
              ├─ assemble ─ gzip ─ seal ─ sha256 ─ upload          (format V1)
    vault ────┘

    pg_dump ──────── zstd ──┐
                            ├─ tar ─ seal ─ sha256 ─ upload        (format V2)
    vault ─ group ── zstd ──┘

For format V2 the text of pg_dump is cut into chunks where it is read.
With several jobs there are more pg_dumps, whose rows are put between: pg_dump rows ─ merge, before zstd.
The SQL comes first in the payload, so that a restore meets what fails most often before it touches a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..formats.codecs.zstd import LEVEL
from ..formats.secret import MAX_ITEM
from ..stages.archive.cut import MAX_CUT
from ..stages.words import STORE
from .archives.claims import free_name
from .archives.writing import Writer, beginning
from .engine import MAX_CHUNK, Edge, EdgeEvent, Pipeline, in_thread
from .incremental.look_back import find_earlier
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.choice import Sources, sources
from .parts.keys import NO_KEYS, Keys
from .parts.request import BackupRequest, Format
from .reports.jobs import BackupReport, OnProgress
from .retention.uploads import abort_left

if TYPE_CHECKING:
    from ..formats.facts import Facts
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.stores.base import ObjectStore, StoreSettings
    from ..stages.vault.kv.settings import VaultSettings

#: Threads of a backup with one pg_dump; each further one has one more.
THREADS = 8


async def backup(
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    include_audit: bool = True,
    name: str | None = None,
    allow_unreadable: bool = False,
    part_size: int | None = None,
    format: Format = "v1",  # noqa: A002 - what everybody calls it
    level: int = LEVEL,
    system: str = "",
    incremental: bool = False,
    allow_weak_password: bool = False,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> BackupReport:
    """Back up a database, a vault, or both, into one archive that appears only when it is complete.

    ``name`` is the archive's name without the store's prefix (made from type and time when None), ``part_size`` bytes
    per part of the upload (8 MiB when None), ``format`` that of the archive, ``level`` how hard zstd compresses it
    (1 to 19; format V2 only), ``timeout`` seconds for the whole job.
    ``system`` is the installation's id, at most 200 characters, which archives of format V2 keep in clear text.
    ``incremental``: secrets that did not change are taken from the newest archive that holds secrets instead of the
    vault, if it proves that (format V2 only; ``report.incremental`` says what came of it).
    ``keys`` are for format V2: recipients, who signs, and whether ``password`` opens the archive too.
    A password that could be guessed (``parts/passwords.py``) is refused unless ``allow_weak_password``.
    ``on_progress`` is called about four times a second. Nothing is logged unless ``log`` is given.

    Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through. Either way nothing is left behind.
    Serves the specification's sections Running Backups and Backup File Format.
    """
    request = BackupRequest(
        store=store,
        password=password,
        keys=keys,
        database=database,
        vault=vault,
        include_audit=include_audit,
        name=name,
        allow_unreadable=allow_unreadable,
        part_size=part_size,
        format=format,
        level=level,
        system=system,
        incremental=incremental,
        allow_weak_password=allow_weak_password,
        timeout=timeout,
    )
    return await run_backup(request, on_progress, log)


async def run_backup(request: BackupRequest, on_progress: OnProgress = None, log: Logger | None = None) -> BackupReport:
    """As ``backup``, for what is asked in one piece."""
    job = Job(on_progress, log)

    async def work() -> BackupReport:
        async with AsyncExitStack() as stack:
            with job.asking(STORE):
                target = await stack.enter_async_context(request.store.open())
                free = free_name(request.store, target, request.name, request.backup_type)
                name, now = await stack.enter_async_context(free)
            facts = request.facts(now)
            begun = await stack.enter_async_context(beginning(request, facts))
            parts = await in_thread(sources, request)  # what this imports takes a while, too
            await parts.each(job, lambda part: part.check(stack))
            if request.incremental:
                with job.asking(STORE):
                    await parts.vault.look_back(partial(find_earlier, target, request))
            with job.asking(STORE):
                aborted = await abort_left(target, request.timeout)
                if aborted:
                    job.log("aborted unfinished uploads", count=len(aborted))
            report = await _run(job, target, name, await begun(), facts, request, parts)
            return replace(report, aborted_uploads=aborted)

    return await within(request.timeout, work, job)


async def _run(
    job: Job,
    store: ObjectStore,
    name: str,
    writer: Writer,
    facts: Facts,
    request: BackupRequest,
    parts: Sources,
) -> BackupReport:
    """The DAG drawn at the top of this module, and what it did."""
    writer.record(parts.database.recorded.joined(parts.vault.recorded))
    upload = writer.sink(store, name, request.part_size)
    pipeline = Pipeline(threads=THREADS + len(parts.database.others))
    sql = pipeline.source(parts.database.source, name="pg_dump", max_item=writer.max_item, depth=writer.depth)
    rows = [pipeline.source(other, max_item=MAX_CUT, depth=1) for other in parts.database.others]
    dumps: list[Edge[Any]] = [sql, *rows]
    dumped = _All([edge.ended for edge in dumps]) if rows else sql.ended
    # What the vault's source read earlier would wait on its edge, and be old when it is written.
    largest = MAX_ITEM if parts.vault.used else MAX_CHUNK
    secrets = pipeline.source(parts.vault.source, when=dumped, name="vault", max_item=largest)
    archive = writer.wire(pipeline, sql, secrets, rows)
    pipeline.sink(upload, archive)

    def progress() -> dict[str, int]:
        read = sum(edge.bytes for edge in dumps)
        done = {"sql_bytes": read, "secrets": secrets.items, "archive_bytes": archive.bytes}
        return done | ({"sql_total": read} if dumped.is_set() else {})

    job.begin("backup", sql_total=parts.database.estimate)
    snapshot = await job.run(pipeline, progress)
    assert upload.info is not None
    return BackupReport(
        name=name,
        backup_type=facts.backup_type,
        created_at=facts.created_at,
        size=upload.info.size,
        checksum=writer.checksum,
        sql_bytes=writer.sql_bytes(sql),
        secrets=secrets.items,
        format=request.format,
        warnings=tuple(warning for part in parts for warning in part.warnings()),
        seconds=job.finish(),
        load=job.meter.load(),
        stages=snapshot.stages,
        **parts.fields(lambda part: part.report()),
    )


class _All:
    """Happens when all of some events have happened."""

    def __init__(self, events: Sequence[EdgeEvent]) -> None:
        self._events = events

    def is_set(self) -> bool:
        """Whether it happened."""
        return all(event.is_set() for event in self._events)

    async def wait(self) -> None:
        """Return when it happened."""
        for event in self._events:
            await event.wait()
