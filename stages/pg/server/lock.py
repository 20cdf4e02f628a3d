"""One at a time: jobs on the same database see each other through an advisory lock.

The lock belongs to a session of its own and ends with it, so a holder that died blocks no other job. Backups share it;
a restore excludes every other job. It needs a direct connection: behind a pooler in transaction mode it locks nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from time import sleep
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import psycopg

from ....pipeline.engine import in_thread
from ...errors import Busy
from .connect import Connection, connect, one
from .questions import answered, line

if TYPE_CHECKING:
    from .settings import PostgresSettings

Work: TypeAlias = Literal["backup", "restore"]

#: The two numbers of our advisory lock: "KLDA" in ASCII, and the first of its kind.
LOCK = (0x4B4C4441, 1)

#: Seconds for the server to say that the lock is given back; else it goes with the session.
_FAREWELL = 0.5
#: Attempts, and seconds between two: whoever has the lock may be just ending, and a busy server notices late that a
#: session was closed.
_ATTEMPTS, _PAUSE = 21, 0.05

#: That of a restore's own session: while its transaction lives, another restore is refused even if the first is lost.
TRANSACTION_LOCK = (LOCK[0], 2)

_HOLDERS = """
    SELECT l.objid, a.application_name, to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid IN (%s, %s) AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.pid <> pg_backend_pid()
"""

_RESTORING = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s
    AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@asynccontextmanager
async def hold_database(settings: PostgresSettings, work: Work) -> AsyncIterator[None]:
    """Hold the database for a job. Raises ``Busy``, naming who holds it since when, and what ``connect`` raises."""
    session = ExitStack()
    try:
        connection = await answered(_acquire, session, settings, work, limit=settings.query_timeout)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await answered(_release, connection, limit=_FAREWELL)
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(session.close)


def _acquire(session: ExitStack, settings: PostgresSettings, work: Work) -> Connection:
    with ExitStack() as stack:
        connection = stack.enter_context(connect(settings))
        connection.execute("SELECT set_config('application_name', %s, false)", (_name(work),))
        if connection.info.server_version >= 140000:
            connection.execute("SET idle_session_timeout = 0")
        if not within_a_second(lambda: _locked(connection, work)):
            raise busy(settings, connection)
        session.push(stack.pop_all())
        return connection


def within_a_second(attempt: Callable[[], bool]) -> bool:
    """Whether an attempt succeeds, of some in a second. Raises what it raises."""
    for _ in range(_ATTEMPTS - 1):
        if attempt():
            return True
        sleep(_PAUSE)
    return attempt()


def _locked(connection: Connection, work: Work) -> bool:
    function = "pg_try_advisory_lock" if work == "restore" else "pg_try_advisory_lock_shared"
    if not one(connection, f"SELECT {function}(%s, %s)", LOCK)[0]:
        return False
    if not one(connection, _RESTORING, TRANSACTION_LOCK)[0]:
        return True
    connection.execute("SELECT pg_advisory_unlock_all()")
    return False


def _release(connection: Connection) -> None:
    """Give the lock back and hear of it: a server notices late that a session is closed. Raises nothing."""
    with suppress(psycopg.Error):
        if (cut := line.get()) is not None:
            cut.hold(connection.fileno())
        connection.execute("SELECT pg_advisory_unlock_all()")


def _name(work: Work) -> str:
    """What others are shown: application_name, 63 bytes at most."""
    return f"kleidia-backup {work} {socket.gethostname()[:30]}:{os.getpid()}"


def holders(connection: Connection) -> list[str]:
    """The jobs on this database, each with the time it began. Raises what ``connect`` maps."""
    rows = connection.execute(_HOLDERS, (*LOCK, TRANSACTION_LOCK[1])).fetchall()
    first = min((number for number, *_ in rows), default=0)  # a restore holds both
    return [
        f"{name or 'another session'} since {since or 'some time'}" for number, name, since in rows if number == first
    ]


def staying(connection: Connection) -> list[str]:
    """Those of them that do not end within a second. Raises what ``connect`` maps."""
    found: list[str] = []

    def none() -> bool:
        found[:] = holders(connection)
        return not found

    within_a_second(none)
    return found


def busy(settings: PostgresSettings, connection: Connection) -> Busy:
    """The error that names who holds the database. Raises what ``connect`` maps."""
    who = ", ".join(holders(connection)) or "a job that has just ended"
    return Busy(
        f"Another job works on this database ({settings.where()}): {who}.",
        hint="Wait until it ended, then start again.",
    )
