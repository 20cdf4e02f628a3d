"""The PostgreSQL database as a part of a backup, and what is asked of it at other times."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from ...formats.v2.recorded import Recorded
from ...stages.errors import ConfigurationError, DatabaseError, ToolError
from ...stages.load.rate import TokenBucket
from ...stages.pg.dump import PgDump, PgDumpChunks
from ...stages.pg.dump_rows import DumpTables
from ...stages.pg.dumps.snapshot import shared_snapshot
from ...stages.pg.dumps.together import Parallel, one_process
from ...stages.pg.findings.find import find, findings_in
from ...stages.pg.inventory.dependent_roles import roles_in
from ...stages.pg.server.connect import connect
from ...stages.pg.server.lock import hold_database
from ...stages.pg.server.outcome import transaction_status
from ...stages.pg.server.preflight import (
    DatabaseFacts,
    ask_rights,
    check_backup,
    check_dump_tool,
    tables_without_rows,
)
from ...stages.pg.server.questions import answered
from ...stages.words import DATABASE
from .part import NOTHING, BackupPart, Rights, Transaction

if TYPE_CHECKING:
    from ...stages.pg.findings.finding import Finding
    from ...stages.pg.server.settings import PostgresSettings, Table


#: Seconds whose share of ``max_rate`` may be read at once.
BURST = 0.1


class DatabaseBackup(BackupPart[Any]):
    """By pg_dump: its text, or its chunks (``cut``), which several jobs need.

    ``findings`` are what is known beforehand of what the dump leaves out.
    """

    used = True
    asks = DATABASE
    source: PgDump | PgDumpChunks
    findings: tuple[Finding, ...]

    def __init__(self, settings: PostgresSettings, *, include_audit: bool, cut: bool) -> None:
        self._settings = settings
        self._include_audit = include_audit
        self._dump = PgDumpChunks if cut else PgDump
        self._record = cut
        self._warnings: list[str] = []

    async def check(self, stack: AsyncExitStack) -> None:
        """As in ``BackupPart``; no other job works on the database until ``stack`` is left."""
        tool, facts = await check_backup(self._settings, include_audit=self._include_audit)
        await stack.enter_async_context(hold_database(self._settings, "backup"))
        self.estimate = facts.size
        asked = await answered(self._ask, facts, limit=self._settings.query_timeout)
        self.findings, self.recorded, without_rows = asked
        parallel = await self._share(stack) if self._settings.jobs > 1 else None
        most = self._settings.max_rate
        rate = TokenBucket(most, most * BURST) if most else None  # one for all of them
        self.source = self._dump(
            self._settings,
            include_audit=self._include_audit,
            checked=(tool, facts),
            without_rows=without_rows,
            parallel=parallel,
            rate=rate,
        )
        if parallel is not None:
            self.others = [
                DumpTables(self._settings, tool, parallel, tables, standby=facts.standby, rate=rate)
                for tables in parallel.shares.tables
            ]

    def _ask(self, facts: DatabaseFacts) -> tuple[tuple[Finding, ...], Recorded, tuple[Table, ...]]:
        """What the dump leaves out, what stands around it, and the tables without rows, by one connection; blocks."""
        with connect(self._settings) as connection:
            without_rows = tables_without_rows(connection, self._settings, self._include_audit)
            recorded = Recorded(roles=roles_in(connection, self._settings)) if self._record else NOTHING
            found = findings_in(connection, self._settings, facts, include_audit=self._include_audit)
        return found, recorded, without_rows

    async def _share(self, stack: AsyncExitStack) -> Parallel | None:
        """A snapshot for several pg_dumps; None when there is none, or nothing to divide."""
        try:
            shared = shared_snapshot(self._settings, include_audit=self._include_audit)
            shares = await stack.enter_async_context(shared)
        except DatabaseError as exc:
            self._warnings.append(one_process(self._settings, exc))
            return None
        if not shares.tables:
            await shares.release()
            return None
        return Parallel(shares)

    def report(self) -> dict[str, Any]:
        """As in ``BackupPart``."""
        return {
            "without_rows": tuple(map(str, self.source.report.without_rows)),
            "left_out": tuple(each.object for each in self.findings if each.lost),
        }

    def warnings(self) -> list[str]:
        """As in ``BackupPart``."""
        return [*map(str, self.findings), *self._warnings, *self.source.report.warnings]


async def rights(settings: PostgresSettings) -> Rights:
    """What the role may do, and what a backup would leave out. Raises ``DatabaseError``."""
    found = await ask_rights(settings)
    facts = found.facts
    detail = f"PostgreSQL {facts.server}, database {facts.database}, role {facts.role}"
    if facts.standby:
        detail += ", a standby"
    lacks, hint = found.backup, found.hint
    try:
        detail += f", {await check_dump_tool(settings, facts.server_version)}"
    except ToolError as exc:
        lacks, hint = (*lacks, f"a pg_dump that can: {exc.message}"), exc.hint
    warnings = tuple(map(str, await find(settings, facts)))
    return Rights(backup=lacks, restore=found.restore, detail=detail, hint=hint, warnings=warnings)


async def became(settings: PostgresSettings, transaction: Transaction) -> str:
    """What the server says became of a transaction: ``committed``, ``aborted``, or why it does not know.

    Raises ``ConfigurationError`` when the settings lead to another database, and ``DatabaseError``.
    """
    number, database = transaction
    if settings.identity() != database:
        raise ConfigurationError(
            f"The unfinished restore went to another database: {database}, not {settings.identity()}.",
            hint="Name it by --into-database, or configure it; or leave everything as it is by "
            "`kleidia-backup restore --dismiss`.",
            remedies=("dismiss",),
        )
    return await answered(transaction_status, settings, number, limit=settings.query_timeout)
