"""A snapshot that several pg_dumps share, and how the tables are divided among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import anyio

from ....pipeline.engine import in_thread
from ...load.meter import transaction
from ..server.connect import connect, one
from ..server.preflight import tables_without_rows
from ..server.questions import answered
from ..server.script import script
from ..server.settings import CONTROL_SCHEMA, Table

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

#: Tables that are divided at most: each of them is an argument of two pg_dumps.
MOST_TABLES = 1000

_LARGE = script(__file__, "large_tables")


@dataclass(frozen=True, slots=True)
class Shares:
    """The snapshot's name, and the tables of each pg_dump but the main one, which takes everything else."""

    snapshot: str
    tables: tuple[tuple[Table, ...], ...]
    _session: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    async def release(self) -> None:
        """End the session that holds the snapshot: who has it by now keeps it. May be called twice."""
        with anyio.CancelScope(shield=True):
            await in_thread(self._session.close)


@asynccontextmanager
async def shared_snapshot(settings: PostgresSettings, *, include_audit: bool) -> AsyncIterator[Shares]:
    """Export a snapshot, and divide the tables as they are in it. It can be shared until this is left.

    Raises what ``connect`` raises, also where the server exports none.
    """
    session = ExitStack()
    try:
        yield await answered(_export, session, settings, include_audit, limit=settings.query_timeout)
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(session.close)


def _export(session: ExitStack, settings: PostgresSettings, include_audit: bool) -> Shares:
    with ExitStack() as stack:
        connection = stack.enter_context(connect(settings))
        stack.callback(connection.close)  # without a COMMIT, for which a server that hangs would let us wait
        without = frozenset(tables_without_rows(connection, settings, include_audit))
        version = connection.info.server_version
        connection.execute("SET search_path = ''")  # what is asked now means the server's own functions
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        if version >= 140000:
            connection.execute("SET idle_session_timeout = 0")
        if version >= 170000:
            connection.execute("SET transaction_timeout = 0")
        stack.enter_context(transaction())  # until the connection is closed
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = str(one(connection, "SELECT pg_export_snapshot()")[0])
        values = {"control": CONTROL_SCHEMA, "large": settings.large_table, "most": MOST_TABLES}
        rows = connection.execute(_LARGE.encode(), values).fetchall()
        large = [(table, row[2]) for row in rows if (table := Table(row[0], row[1])) not in without]
        count, size = rows[0][3:] if rows else (0, 0)
        rest = size - sum(pages for _, pages in large)
        shares = divide(large, settings.jobs, rest=rest, alone=count <= len(large) + len(without))
        session.push(stack.pop_all())
        return Shares(snapshot, shares, session)


def divide(
    large: Iterable[tuple[Table, int]], jobs: int, *, rest: int = 0, alone: bool = False
) -> tuple[tuple[Table, ...], ...]:
    """The tables of each pg_dump but the main one, which has ``rest`` bytes besides: the largest to who has least.

    ``alone`` says that the main one may have no table besides: then it keeps the smallest, since rows of others are put
    behind its first.
    """
    ordered: Sequence[tuple[Table, int]] = sorted(large, key=lambda each: each[1], reverse=True)
    if alone:
        ordered, kept = ordered[:-1], ordered[-1:]
        rest += sum(size for _, size in kept)
    loads = [(rest if job == 0 else 0, -job) for job in range(jobs)]  # of two that have as much, not the main one
    heapify(loads)
    tables: list[list[Table]] = [[] for _ in range(jobs)]
    for table, size in ordered:
        load, job = loads[0]
        tables[-job].append(table)
        heapreplace(loads, (load + size, job))
    return tuple(tuple(each) for each in tables[1:] if each)
