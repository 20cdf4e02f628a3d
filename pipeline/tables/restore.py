"""Some tables of an archive, brought back alone, or as a copy beside what is there.

    download ─ read ─ the schema, into a scratch database ─ pg_dump: what the tables are
    download ─ read ─ the rows of these tables, into one transaction of the target

Of an archive of format V2 no other rows are read, and no secrets; V1 is read whole, each time, after the verification.
COMMIT is written only when every reading was authenticated to its last byte: ``run()`` returns only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint_if_cancelled

from ...stages.pg.server.lock import hold_database
from ...stages.pg.tables.rows import copied
from ...stages.pg.tables.session import open_tables
from ...stages.words import DATABASE
from ..before import back_up
from ..engine import Pipeline, drain
from ..job import JOB_TIMEOUT, Job, Logger, within
from ..parts.keys import NO_KEYS, Keys
from ..reports.tables import RestoredTable, TablesReport
from .planned import opened, planned
from .request import TablesRequest

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.pg.tables.session import TablesSession
    from ...stages.stores.base import StoreSettings
    from ..archives.reading import OpenArchive
    from ..engine import Snapshot
    from ..parts.request import BackupRequest
    from ..reports.jobs import BackupReport, OnProgress
    from .planned import Planned


async def restore_tables(
    name: str,
    tables: Sequence[str],
    *,
    store: StoreSettings,
    database: PostgresSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    copy: str = "",
    search_path: tuple[str, ...] = (),
    system: str = "",
    from_other_system: bool = False,
    backup_first: BackupRequest | None = None,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> TablesReport:
    """Bring some tables of an archive back into ``database``, in one transaction, and leave all else as it is.

    ``tables`` are names with a schema, or without where one table alone has the name. Each comes back with its
    partitions and children, its sequences and their values, indexes, constraints, triggers, comments and grants. One
    that is what the archive has, but for its rows, keeps its place, and what depends on it stays. Another one is made
    anew, which needs that no view or other object depends on it. Foreign keys of other tables are made again, NOT VALID
    with a warning where rows no longer fit. ``copy`` is the name of a copy of one table: then nothing that is there is
    touched; it has no foreign keys to other tables.

    What a table is is found in a scratch database on the same server, which is dropped at the end: the role needs
    CREATEDB. After a kill it may stay; the next such restore drops it. ``search_path``, ``system`` and
    ``from_other_system`` are explained at ``restore``; so is ``backup_first``, which backs up the database alone, and
    nothing before a copy, which overwrites nothing.

    Raises the tree in ``kleidia_backup.stages.errors``: ``ConfigurationError`` for a table that the archive does not
    have (with the nearest names), ``DatabaseForbidden`` without CREATEDB, ``RestoreFailed`` for one that needs what the
    target does not have, or that others depend on. Cancellation passes through, but one that arrives during the COMMIT
    waits for it. Otherwise the database is as before.
    """
    request = TablesRequest(
        name=name,
        store=store,
        password=password,
        keys=keys,
        database=database,
        tables=tuple(tables),
        copy=copy,
        search_path=search_path,
        system=system,
        from_other_system=from_other_system,
        backup_first=backup_first,
        timeout=timeout,
    )
    return await run_restore_tables(request, on_progress, log)


async def run_restore_tables(
    request: TablesRequest, on_progress: OnProgress = None, log: Logger | None = None
) -> TablesReport:
    """As ``restore_tables``, for what is asked in one piece."""
    job = Job(on_progress, log)

    async def work() -> TablesReport:
        async with opened(job, request) as archive, AsyncExitStack() as lock:
            await _hold(job, request, lock)
            async with planned(job, request, archive) as found:
                pass  # what it has to say of the scratch database is needed no more
            before = None
            if request.backup_first is not None and not request.copy:
                await lock.aclose()  # a backup takes it; a table that is altered meanwhile is noticed
                before = await back_up(request.backup_first, request.database, None, on_progress, log)
                await _hold(job, request, lock)
            return await _apply(job, request, archive, found, before)

    return await within(request.timeout, work, job)


async def _hold(job: Job, request: TablesRequest, lock: AsyncExitStack) -> None:
    """No other job works on the database until ``lock`` is left. Raises ``Busy``."""
    assert request.database is not None
    with job.asking(DATABASE):
        await lock.enter_async_context(hold_database(request.database, "restore"))


async def _apply(
    job: Job, request: TablesRequest, archive: OpenArchive, found: Planned, before: BackupReport | None
) -> TablesReport:
    async with open_tables(found.database, found.plan, request.search_path) as session:
        snapshot = await _read_rows(job, archive, found, session)
        await checkpoint_if_cancelled()  # the last chance
        job.begin("commit")
        await session.commit()
    plan = found.plan
    return TablesReport(
        name=archive.info.name,
        header=archive.header,
        size=archive.info.size,
        how=plan.how,
        tables=tuple(
            RestoredTable(name=str(name), restored_as=str(now), rows=session.stored.get(now, 0))
            for name, now in plan.names.items()
        ),
        backup=before.name if before else None,
        archive_bytes=sum(found.read),
        warnings=(
            *(f"The backup before it: {warning}" for warning in (before.warnings if before else ())),
            *found.warnings,
            *session.report.warnings,
        ),
        seconds=job.finish(),
        load=job.meter.load(),
        stages=snapshot.stages,
    )


async def _read_rows(job: Job, archive: OpenArchive, found: Planned, session: TablesSession) -> Snapshot:
    """The rows of the tables, into the transaction."""
    names = session.plan.names
    pipeline = Pipeline()
    reading = archive.wire_rows(pipeline, found.known, lambda copy: copied(copy.encode()) in names)
    pipeline.sink(session, reading.sql, name="postgresql")
    pipeline.sink(drain, reading.secrets, name="secrets")
    job.begin("restore")
    snapshot = await job.run(pipeline, reading.progress)
    found.read.append(reading.ciphertext.bytes)
    return snapshot
