"""The dry run of a restore of some tables: what would be done, and what stands in the way.

The archive's schema goes into a scratch database, which is dropped at the end; the database itself is asked, read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...stages.pg.server.questions import answered
from ...stages.pg.tables.outlook import look_ahead, needed
from ...stages.words import DATABASE
from ..job import Job, Logger, within
from ..reports.tables import TablePlan, TablesPlan
from .planned import opened, planned, rows_in

if TYPE_CHECKING:
    from ...stages.pg.tables.outlook import Key, Outlook
    from ..archives.reading import OpenArchive
    from ..reports.jobs import OnProgress
    from .planned import Planned
    from .request import TablesRequest


async def plan_tables(request: TablesRequest, on_progress: OnProgress = None, log: Logger | None = None) -> TablesPlan:
    """Say what ``run_restore_tables`` would do, and what would stop it; the database is as before.

    Raises as that for what leaves nothing to plan: a table that the archive does not have, a role without CREATEDB.
    What would make the restore fail later is among the ``blockers``.
    """
    job = Job(on_progress, log)

    async def work() -> TablesPlan:
        async with opened(job, request) as archive:
            async with planned(job, request, archive) as found:
                limit, plan = found.database.query_timeout, found.plan
                with job.asking(DATABASE):
                    need = await answered(needed, found.scratch, plan.definition.relations, limit=limit)
                    outlook = await answered(look_ahead, found.database, plan, need, limit=limit)
            return _report(job, archive, found, outlook, need.keys)

    return await within(request.timeout, work, job)


def _report(job: Job, archive: OpenArchive, found: Planned, outlook: Outlook, keys: tuple[Key, ...]) -> TablesPlan:
    plan, stored = found.plan, rows_in(archive, found.facts)
    return TablesPlan(
        name=archive.info.name,
        header=archive.header,
        size=archive.info.size,
        how=plan.how,
        tables=tuple(
            TablePlan(str(name), str(now), stored.get(name, 0), *outlook.rows.get(now, (None, True)))
            for name, now in plan.names.items()
        ),
        keys=tuple(f"{key.name} of {key.table}: {key.definition}" for key in (*outlook.keys, *keys)),
        remade=()
        if plan.keep
        else (*map(str, plan.live.dependents.views), *(f"function {each}" for each in outlook.functions)),
        dropped=tuple(str(each.table) for each in plan.dropped if each.table not in plan.definition.tables),
        blockers=tuple(_blockers(outlook)),
        warnings=(*found.warnings, *_warnings(found)),
        archive_bytes=sum(found.read),
        seconds=job.finish(),
        load=job.meter.load(),
    )


def _blockers(outlook: Outlook) -> Iterator[str]:
    """What would make the restore fail, in sentences."""
    if outlook.busy:
        yield f"Another job works on the database: {', '.join(outlook.busy)}. Wait until it ended."
    for text in outlook.in_the_way:
        yield f"It would be dropped and made anew, and is depended on: {text}. Drop that first, or make a copy (--as)."
    for name in outlook.taken:
        yield f"Something else is called {name}. Drop or rename it."
    for text in outlook.missing:
        yield f"The database does not have what it needs: {text}. Make it first."
    for name in (*outlook.foreign, *(key.table for key in outlook.keys if not key.ours)):
        yield f"The role does not own {name}. Restore as its owner, or as a superuser."
    for name in outlook.closed:
        yield f"The role may make nothing in the schema {name}. Grant it CREATE there."


def _warnings(found: Planned) -> Iterator[str]:
    yield from found.plan.parted
    if found.plan.keep:
        for view in found.plan.live.dependents.filled:
            yield f"The {view} would show the rows from before, until it is refreshed."
