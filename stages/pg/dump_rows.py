"""The rows of some tables as a source of chunks: what the main pg_dump of several leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ...formats.v2.chunks import LONG, Chunk
from ...pipeline.engine import MAX_CHUNK, Outlet, in_thread
from ..errors import DatabaseError, DumpFailed
from ..words import DATABASE
from .dumps.reading import RowsChunks
from .dumps.run import DumpRun

if TYPE_CHECKING:
    from ..load.rate import TokenBucket
    from .dumps.together import Parallel
    from .server.settings import PostgresSettings, Table
    from .server.tools import Tool

#: Milliseconds that it waits for a lock: when that is not enough, one process does it all.
LOCK = 5000


class DumpTables:
    """Source stage: the rows of some tables, by a pg_dump of its own.

    Only its COPY statements are used: what prepares a session, and the values of sequences, the main one has too.
    """

    name = "pg_dump rows"
    server = DATABASE
    #: Bytes: a chunk in parts and joined, what the cutter holds of it, and rows that are gathered.
    working_set = 4 * MAX_CHUNK + 2 * LONG

    def __init__(
        self,
        settings: PostgresSettings,
        tool: Tool,
        parallel: Parallel,
        tables: tuple[Table, ...],
        *,
        standby: bool,
        rate: TokenBucket | None = None,
    ) -> None:
        self._parallel = parallel
        self._tables = tables
        wait = min(settings.lock_milliseconds or LOCK, LOCK)
        options = (
            f"--snapshot={parallel.shares.snapshot}",
            "--data-only",
            "--strict-names",
            *(f"--table={table}" for table in tables),
        )
        self._run = DumpRun(settings, tool, options, wait, standby, rate)

    async def __call__(self, out: Outlet[Chunk]) -> None:
        """Run pg_dump.

        Raises as ``PgDump``, and ``DumpFailed`` when it writes other things than rows of its tables; but nothing before
        all have begun, since the main one does without it.
        """
        with anyio.CancelScope() as scope:
            self._parallel.enter(scope)
            try:
                await self._dump(out)
            except DatabaseError as exc:
                if self._parallel.begun:
                    raise
                await self._parallel.give_up(exc)
            except BaseExceptionGroup as group:  # on trio: an error, and a cancellation beside it
                _, others = group.split(DatabaseError)
                if self._parallel.failure is None or others is None:
                    raise
                raise others from None

    async def _dump(self, out: Outlet[Chunk]) -> None:
        cutter = RowsChunks()
        begins: list[Chunk | None] = [None]  # says that it writes, whatever comes of it: it has its snapshot and locks

        def take(data: bytes) -> list[Chunk | None]:
            made = [*begins, *(chunk for chunk in cutter.feed(data) if chunk.kind == "rows")]
            begins.clear()
            return made

        async def send(chunk: Chunk | None) -> None:
            if chunk is None:
                await self._parallel.ready()
            else:
                await out.send(chunk)

        await self._run.run(take, send)
        # What it warns of is how to restore data alone (foreign keys in a circle), which nobody does.
        await in_thread(lambda: list(cutter.finish()))  # the end of its script
        if cutter.copies != len(self._tables):
            raise DumpFailed(
                f"pg_dump wrote the rows of {cutter.copies} tables, and was asked for {len(self._tables)}.",
                hint="Check that pg_dump is PostgreSQL's own; then please report this. jobs = 1 does without it.",
            )
