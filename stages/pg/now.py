"""A database as it is now: its schema by pg_dump and the rows of each table, of one snapshot."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from psycopg import sql

from ...pipeline.engine import in_thread
from ..errors import DumpFailed
from ..load.meter import transaction
from .dumps.run import DumpRun
from .outline import Outline
from .server.connect import Connection, connect, one
from .server.preflight import check_backup, tables_without_rows
from .server.questions import answered
from .server.script import script
from .server.settings import CONTROL_SCHEMA, Table

if TYPE_CHECKING:
    from ...formats.sql.pieces import Unfit
    from .server.settings import PostgresSettings

_TABLES = script(__file__, "now_tables")


class _Outline(Outline):
    """Of a dump, whose faults are pg_dump's."""

    def _refused(self, unfit: Unfit) -> DumpFailed:  # type: ignore[override]  # no archive is damaged
        return DumpFailed(
            f"The dump holds {unfit}, which cannot be restored in one transaction.",
            hint="Check that pg_dump is PostgreSQL's own; then please report this.",
        )


@dataclass(frozen=True, slots=True)
class Now:
    """What there is. ``rows`` is None for what has no rows of its own, and where a backup leaves them out."""

    outline: Outline
    rows: dict[Table, int | None]


async def look_now(settings: PostgresSettings, *, include_audit: bool, limit: float) -> Now:
    """Count the rows and dump the schema, as of one moment; nothing is written.

    ``include_audit`` and the preserved tables are as in a backup: rows that no archive would have are not counted.
    ``limit`` is the seconds within which each question has to be answered: counting reads whole tables.

    Raises what ``check_backup`` raises, ``DatabaseError`` and its kind, and ``DumpFailed``.
    """
    tool, facts = await check_backup(settings, include_audit=include_audit)
    session = ExitStack()
    try:
        snapshot, rows = await answered(_count, session, settings, include_audit, limit=limit)
        outline = _Outline()
        options = (
            "--schema-only",
            "--clean",
            "--if-exists",
            f"--exclude-schema={CONTROL_SCHEMA}",
            f"--snapshot={snapshot}",
        )
        run = DumpRun(settings, tool, options, settings.lock_milliseconds, facts.standby)

        def take(chunk: bytes) -> tuple[bytes, ...]:
            outline.feed(chunk)
            return ()

        async def send(_: bytes) -> None:
            """Nothing is handed on."""

        await run.run(take, send)
        await in_thread(outline.finish)
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(session.close)
    return Now(outline, rows)


def _count(session: ExitStack, settings: PostgresSettings, include_audit: bool) -> tuple[str, dict[Table, int | None]]:
    with ExitStack() as stack:
        connection = stack.enter_context(connect(settings))
        stack.callback(connection.close)  # without a COMMIT, for which a server that hangs would let us wait
        without = frozenset(tables_without_rows(connection, settings, include_audit))
        stack.enter_context(transaction("shared"))  # until the connection is closed
        _begin(connection, settings)
        snapshot = str(one(connection, "SELECT pg_export_snapshot()")[0])
        rows: dict[Table, int | None] = {}
        found = connection.execute(_TABLES.encode(), {"control": CONTROL_SCHEMA}).fetchall()
        for schema, name, has_rows, condition in found:
            table, rows_of = Table(schema, name), None
            if has_rows and table not in without:
                # An extension's condition is a WHERE of its own, with which pg_dump reads heirs too.
                only, own = sql.SQL("" if condition else "ONLY "), sql.SQL(condition)
                count = sql.SQL("SELECT count(*) FROM {}{} {}").format(only, sql.Identifier(schema, name), own)
                rows_of = int(one(connection, count)[0])
            rows[table] = rows_of
        session.push(stack.pop_all())
        return snapshot, rows


def _begin(connection: Connection, settings: PostgresSettings) -> None:
    version = connection.info.server_version
    connection.execute("SET search_path = ''")  # what is asked now means the server's own functions
    connection.execute("SET statement_timeout = 0")
    connection.execute(f"SET lock_timeout = {settings.lock_milliseconds}")
    connection.execute("SET row_security = off")  # an error is better than the number of the rows that one may see
    connection.execute("SET idle_in_transaction_session_timeout = 0")
    if version >= 140000:
        connection.execute("SET idle_session_timeout = 0")
    if version >= 170000:
        connection.execute("SET transaction_timeout = 0")
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
