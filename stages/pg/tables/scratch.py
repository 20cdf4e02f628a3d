"""A scratch database beside the target: made for one job, dropped at its end, whatever that end is.

One session holds its name from before it is made until after it is dropped. So one without such a session was left
behind by a process that was killed, and the next job drops it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
from psycopg import sql

from ....pipeline.engine import in_thread
from ...errors import DatabaseError, DatabaseForbidden, Right
from ..databases.another import LOCALE, MAY, statement
from ..server.connect import connect, one, open_connection
from ..server.outcome import end_backend
from ..server.questions import answered
from ..server.script import script

if TYPE_CHECKING:
    from ..server.connect import Connection
    from ..server.settings import PostgresSettings

#: How the names of ours begin; the rest is random.
PREFIX = "kleidia_scratch_"

#: Seconds to drop it in.
DROPPING = 60.0

#: Settings of the target, of the database or the role, that decide how pg_dump writes a default or a bound: it says the
#: same of the same table in both databases only where these are the same.
_WRITTEN = """
SELECT name, reset_val FROM pg_settings WHERE name IN ('TimeZone', 'bytea_output', 'quote_all_identifiers')
"""

#: Those of ours that nobody holds.
_LEFT = script(__file__, "left_behind")


@dataclass(slots=True)
class Scratch:
    """The database: its name, and settings that lead there. ``warnings`` are complete when it was left."""

    name: str
    settings: PostgresSettings
    warnings: list[str] = field(default_factory=list)


@asynccontextmanager
async def scratch_database(settings: PostgresSettings) -> AsyncIterator[Scratch]:
    """Make an empty database with the encoding and the locale of the target, on its server; drop it when left.

    One that cannot be dropped is a warning that names it. Raises ``DatabaseForbidden`` when the role may not make one,
    ``DatabaseError`` for what else the server refuses.
    """
    name = PREFIX + secrets.token_hex(8)
    scratch = Scratch(name, replace(settings, conninfo=settings.full_conninfo(dbname=name)))
    try:
        holder = await answered(_make, settings, name, limit=settings.query_timeout)
        try:
            yield scratch
        finally:
            with anyio.CancelScope(shield=True):
                await _drop(settings, scratch)
                await in_thread(holder.close)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _drop(settings, scratch)  # what was cut while it was made may be there all the same
        raise


def _make(settings: PostgresSettings, name: str) -> Connection:
    """Make it; gives the session that holds its name."""
    with connect(settings) as connection:
        role, may = one(connection, MAY)
        locale = one(connection, LOCALE)
        if may:
            for (left,) in connection.execute(_LEFT, (PREFIX,)).fetchall():
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(left)))
    if not may:
        raise DatabaseForbidden(
            f'The role "{role}" may not create databases, and this needs a scratch database ({settings.where()}).',
            hint="ALTER ROLE … CREATEDB gives it that right; or do it as a role that has it.",
            rights=(Right("CREATEDB", f'the role "{role}"', " for "),),
            effect="nothing",
        )
    holder = open_connection(settings, name=name)
    try:
        if holder.info.server_version >= 140000:
            holder.execute("SET idle_session_timeout = 0")
        with connect(settings) as connection:
            connection.execute("SELECT set_config('application_name', %s, false)", (_maker(name),))
            connection.execute("SET statement_timeout = 0")
            connection.execute(statement(name, *locale))
            for setting, value in connection.execute(_WRITTEN).fetchall():
                named = sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
                connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(*named))
    except BaseException:
        holder.close()
        raise
    return holder


async def _drop(settings: PostgresSettings, scratch: Scratch) -> None:
    """Drop it, also when it is still being made; a warning when that fails."""

    def drop() -> None:
        with connect(settings) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(scratch.name)))

    with anyio.move_on_after(DROPPING), suppress(DatabaseError):
        await end_backend(settings, _maker(scratch.name), "")
        await answered(drop, limit=DROPPING)
        return
    said = f"The scratch database {scratch.name} could not be dropped: DROP DATABASE {scratch.name};"
    if said not in scratch.warnings:
        scratch.warnings.append(said)


def _maker(name: str) -> str:
    return f"{name} made"
