"""What is planned for some tables: by the archive's schema in a scratch database, and by what is there now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.pg.server.preflight import check_dump_tool, check_restore
from ...stages.pg.survey import SqlSurvey
from ...stages.pg.tables.rows import copied
from ...stages.pg.tables.schema import open_schema
from ...stages.pg.tables.scratch import scratch_database
from ...stages.words import DATABASE, STORE
from ..archives.opening import opened_archive
from ..engine import Pipeline, drain
from ..parts.tables import Wanted, meant

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings, Table
    from ...stages.pg.survey import SqlFacts
    from ...stages.pg.tables.schema import SchemaSession
    from ...stages.pg.tables.session import Plan
    from ..archives.reading import OpenArchive, Verified
    from ..job import Job
    from .request import TablesRequest


@dataclass(slots=True)
class Planned:
    """What is to be done; ``scratch`` leads to the archive's schema while it is there.

    ``known`` is what the archive's other readings have to know, ``read`` the bytes of ciphertext that were read.
    """

    database: PostgresSettings
    known: Verified | None
    facts: SqlFacts
    plan: Plan
    scratch: PostgresSettings
    read: list[int]
    warnings: list[str] = field(default_factory=list)


@asynccontextmanager
async def opened(job: Job, request: TablesRequest) -> AsyncIterator[OpenArchive]:
    """The archive, when it may be restored here, and has tables.

    Raises ``ConfigurationError``, and the ``ArchiveError`` and ``StoreError`` trees.
    """
    if request.database is None:
        raise ConfigurationError("There is no database to restore to.", hint="Configure [database].")
    async with AsyncExitStack() as stack:
        found = opened_archive(job, request.store, request.name, request.password, request.keys)
        archive = await stack.enter_async_context(found)
        archive.check_signer(request.keys)
        if not request.from_other_system:
            archive.check_system(request.system)
        if not archive.header.includes_db:
            raise ConfigurationError(
                f"The archive has no tables: it is of type {archive.header.backup_type}.",
                hint="Choose another archive.",
            )
        yield archive


@asynccontextmanager
async def planned(job: Job, request: TablesRequest, archive: OpenArchive) -> AsyncIterator[Planned]:
    """What is to be done. The scratch database is there until this is left; whether it was dropped is a warning.

    Raises as ``restore_tables``; nothing is written to the database itself.
    """
    database = request.database
    assert database is not None
    with job.asking(DATABASE):
        server = await check_restore(database)
        tool = await check_dump_tool(database, server.server_version)
    known = await archive.look_first(job)
    with job.asking(STORE):
        await archive.check_unchanged()
    read = [0 if known is None else archive.ciphertext_size]
    async with AsyncExitStack() as stack:
        scratch = await stack.enter_async_context(scratch_database(database))
        schema = await stack.enter_async_context(open_schema(scratch.settings, request.search_path))
        facts = await _read_schema(job, archive, known, schema, read)
        tables = meant(request.tables, facts.tables)
        wanted = Wanted(database, tables, request.copy_of(tables))
        with job.asking(DATABASE):
            plan = await wanted.plan(scratch.settings, schema, tool, archive.header, rows_in(archive, facts))
        found = Planned(database, known, facts, plan, scratch.settings, read, wanted.warnings)
        yield found
    found.warnings += scratch.warnings


def rows_in(archive: OpenArchive, facts: SqlFacts) -> dict[Table, int]:
    """How many rows the archive's COPY statements have of each table that has such a statement."""
    if archive.index is None:
        return facts.rows
    stored: dict[Table, int] = {}
    for line in archive.index.copies:
        if (table := copied(line.copy.encode())) is not None:
            stored[table] = stored.get(table, 0) + line.rows
    return stored


async def _read_schema(
    job: Job, archive: OpenArchive, known: Verified | None, schema: SchemaSession, read: list[int]
) -> SqlFacts:
    """Make in the scratch database what the archive's SQL makes; what it names."""
    pipeline, survey = Pipeline(), SqlSurvey()
    reading = archive.wire_schema(pipeline, known, survey)
    pipeline.sink(schema, reading.sql, name="scratch")
    pipeline.sink(drain, reading.secrets, name="secrets")
    job.begin("plan")
    await job.run(pipeline, reading.progress)
    read.append(reading.ciphertext.bytes)
    await schema.commit()
    return survey.facts
