"""pg_dump as a source of SQL text, or of its chunks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ...formats.v2.chunks import LONG, Chunk
from ...pipeline.engine import MAX_CHUNK, Outlet, in_thread
from ..errors import DatabaseError
from ..words import DATABASE
from .dumps.reading import DumpChunks, DumpReader, DumpText
from .dumps.run import DumpRun
from .dumps.together import one_process
from .server.connect import connect
from .server.dump_errors import dump_warnings
from .server.preflight import DatabaseFacts, check_backup, tables_without_rows
from .server.questions import answered
from .server.settings import CONTROL_SCHEMA, PostgresSettings, Table

if TYPE_CHECKING:
    from ..load.rate import TokenBucket
    from .dumps.together import Parallel
    from .server.tools import Tool

T = TypeVar("T")


@dataclass
class DumpReport:
    """The tables whose rows were left out, and what pg_dump warned of."""

    without_rows: tuple[Table, ...] = ()
    warnings: list[str] = field(default_factory=list)


class _PgDump(Generic[T]):
    """What the sources below have in common.

    Preserved tables come without their rows, as do those of the audit log unless ``include_audit``. Give ``checked``
    (from ``check_backup``) and ``without_rows`` (from ``tables_without_rows``) when these were asked for already. With
    ``parallel`` the rows of some tables are left to others (see ``DumpTables``), unless these cannot begin. ``rate``
    counts the bytes that are read, as in ``DumpRun``. The stage
    returns only after pg_dump exited with 0; when it fails or is cancelled, pg_dump is killed and reaped.
    """

    name = "pg_dump"
    server = DATABASE

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        include_audit: bool = True,
        checked: tuple[Tool, DatabaseFacts] | None = None,
        without_rows: tuple[Table, ...] | None = None,
        parallel: Parallel | None = None,
        rate: TokenBucket | None = None,
    ) -> None:
        self.settings = settings
        self.rate = rate
        self.include_audit = include_audit
        self.checked = checked
        self.without_rows = without_rows
        self.parallel = parallel
        self.report = DumpReport()

    def _reader(self) -> DumpReader[T]:
        """What makes of a dump what is sent."""
        raise NotImplementedError

    async def __call__(self, out: Outlet[T]) -> None:
        """Run pg_dump.

        Raises ``DumpFailed`` when it fails or writes what no restore would take, ``DatabaseUnreachable`` or
        ``DatabaseForbidden`` when it cannot connect, and what ``check_backup`` raises.
        """
        tool, facts = self.checked or await check_backup(self.settings, include_audit=self.include_audit)
        if self.without_rows is None:
            self.without_rows = await answered(self._without_rows, limit=self.settings.query_timeout)
        self.report.without_rows = self.without_rows
        if self.parallel is None or not await self._with_others(self.parallel, tool, facts, out):
            await self._dump(self._run(tool, facts), out)

    async def _with_others(self, parallel: Parallel, tool: Tool, facts: DatabaseFacts, out: Outlet[T]) -> bool:
        """Dump what the others do not; False when nothing was sent, since they or this one cannot begin."""
        elsewhere = (f"--exclude-table-data={table}" for table in parallel.tables)
        try:
            run = self._run(tool, facts, f"--snapshot={parallel.shares.snapshot}", *elsewhere)
            await self._dump(run, out, parallel)
        except DatabaseError as exc:
            if parallel.begun:
                raise
            await parallel.give_up(exc)
            self.report.warnings.append(one_process(self.settings, parallel.failure or exc))
            return False
        return True

    async def _dump(self, run: DumpRun, out: Outlet[T], parallel: Parallel | None = None) -> None:
        reader = self._reader()
        begins: list[T | None] = [None]  # says that it writes, whatever comes of it: it has its snapshot and its locks

        def take(data: bytes) -> list[T | None]:
            made = [*begins, *reader.feed(data)]
            begins.clear()
            return made

        async def send(item: T | None) -> None:
            if parallel is not None and not parallel.begun:
                await parallel.begin()
            if item is not None:
                await out.send(item)

        said = await run.run(take, send)
        for item in await in_thread(lambda: list(reader.finish())):
            await out.send(item)
        self.report.warnings += dump_warnings(said)

    def _without_rows(self) -> tuple[Table, ...]:
        with connect(self.settings) as connection:
            return tables_without_rows(connection, self.settings, self.include_audit)

    def _run(self, tool: Tool, facts: DatabaseFacts, *options: str) -> DumpRun:
        left_out = (f"--exclude-table-data={table}" for table in self.report.without_rows)
        always = ("--clean", "--if-exists", f"--exclude-schema={CONTROL_SCHEMA}")
        return DumpRun(
            self.settings,
            tool,
            (*always, *left_out, *options),
            self.settings.lock_milliseconds,
            facts.standby,
            self.rate,
        )


class PgDump(_PgDump[bytes]):
    """Source stage: the database as SQL text, as ``session`` restores it."""

    #: Bytes: a chunk in parts and joined, and what the check holds of it.
    working_set = 4 * MAX_CHUNK

    def _reader(self) -> DumpText:
        return DumpText()


class PgDumpChunks(_PgDump[Chunk]):
    """Source stage: the same in chunks of format V2, cut where it is read. Also raises ``PayloadError``."""

    #: Bytes: a chunk in parts and joined, what the cutter holds of it, rows or a statement, and the chunk made of them.
    working_set = 4 * MAX_CHUNK + 2 * LONG

    def _reader(self) -> DumpChunks:
        return DumpChunks()
