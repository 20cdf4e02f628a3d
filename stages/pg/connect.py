"""Questions to the server: one short psycopg connection each, its failures mapped to ours."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from psycopg.rows import TupleRow, tuple_row

from ..errors import DatabaseError, DatabaseForbidden, DatabaseUnreachable
from .questions import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import PQGen, PQGenConn

    from .questions import Line
    from .settings import PostgresSettings

T = TypeVar("T")

Connection = psycopg.Connection[TupleRow]

#: What libpq and the server say when the login is refused: SQLSTATE class 28, which libpq does not hand out.
_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist|not permitted to log in"
    r"|permission denied for database|requires a valid client certificate",
    re.IGNORECASE,
)
_NO_DATABASE = re.compile(r'database "(.*)" does not exist')


def login_error(settings: PostgresSettings, text: str) -> DatabaseError:
    """The error for a connection that did not come about, from what libpq (or a tool using it) said."""
    reason = first_reason(text)
    if missing := _NO_DATABASE.search(text):
        return DatabaseUnreachable(
            f'There is no database "{missing.group(1)}" on that server ({settings.where()}).',
            hint="Create it, or correct the name in the connection string.",
        )
    if _LOGIN.search(text):
        return DatabaseForbidden(
            f"PostgreSQL refused the login ({settings.where()}): {reason}.",
            hint="Check the user and the password (connection string, PGPASSWORD or passfile), and pg_hba.conf.",
        )
    return DatabaseUnreachable(
        f"PostgreSQL cannot be reached ({settings.where()}): {reason}.",
        hint="Check host, port and network, and that the server runs.",
    )


def first_reason(text: str) -> str:
    """The part of libpq's message that says why, on one line without a final stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next(
        (line for line in lines if "failed:" in line or "FATAL" in line), lines[0] if lines else "no reason given"
    )
    _, found, reason = line.partition("failed: ")
    reason = re.sub(r"^(FATAL|ERROR):\s*", "", reason if found else line)
    return reason.rstrip(".")


def is_connection_failure(text: str) -> bool:
    """Whether a tool's stderr says that its connection did not come about."""
    return ("connection to server" in text and "failed:" in text) or "could not translate host name" in text


class _Connection(psycopg.Connection[TupleRow]):
    """Tells whoever may cut it when a question begins; not even connecting outlives a cut."""

    line: Line | None = None

    @classmethod
    def _connect_gen(cls, *args: Any, **options: Any) -> PQGenConn[Self]:
        """What psycopg resumes ten times a second while it connects: here it ends when nobody waits any more."""
        asking = line.get()
        connecting = super()._connect_gen(*args, **options)
        try:
            step = next(connecting)
            while asking is None or not asking.is_cut:
                step = connecting.send((yield step))
        except StopIteration as done:
            connection: Self = done.value
            return connection
        connecting.close()
        raise psycopg.OperationalError("connecting failed: nobody waits for it any more")

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        if self.line is not None:
            self.line.asks()
        return super().wait(gen, *args, **options)


@contextmanager
def connect(settings: PostgresSettings, *, timeout: int | None = None) -> Iterator[Connection]:
    """A connection for a few questions; blocking, so call it in a thread. ``timeout`` is in seconds, for connecting.

    Raises ``DatabaseUnreachable`` when it does not come about, is lost, or was cut by ``answered``,
    ``DatabaseForbidden`` when the login is refused or a right is missing, ``DatabaseError`` for anything else that
    the server refuses.
    """
    try:
        connection = _Connection.connect(
            settings.full_conninfo(connect_timeout=timeout),
            autocommit=True,
            row_factory=tuple_row,
            fallback_application_name="kleidia-backup",
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as exc:
        raise login_error(settings, str(exc)) from None
    asking = connection.line = line.get()
    try:
        with connection:
            if asking is not None:
                asking.hold(connection.fileno())
            try:
                yield connection
            finally:
                if asking is not None:
                    asking.release()
    except psycopg.errors.InsufficientPrivilege as exc:
        raise DatabaseForbidden(
            f"PostgreSQL refused a question ({settings.where()}): {exc.diag.message_primary}.",
            hint="Grant the right that is missing.",
        ) from exc
    except psycopg.errors.QueryCanceled as exc:
        raise DatabaseError(
            f"PostgreSQL ended a question ({settings.where()}): {exc.diag.message_primary}.",
            hint="Look what keeps the server busy; query_timeout in the settings, and the role's statement_timeout on "
            "the server, say how long a question may take.",
        ) from exc
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        if asking is not None and asking.late:
            raise DatabaseUnreachable(
                f"PostgreSQL took the connection, and a question was not answered within {settings.query_timeout:g} s "
                f"({settings.where()}).",
                hint="Look whether the server hangs, or what holds the locks that a question waits for; query_timeout "
                "in the settings says how long to wait.",
            ) from exc
        raise DatabaseUnreachable(
            f"The connection to PostgreSQL was lost ({settings.where()}): {first_reason(str(exc))}.",
            hint="Check the server's log; then try again.",
        ) from exc
    except psycopg.Error as exc:
        raise DatabaseError(
            f"PostgreSQL answered with an error ({settings.where()}): {exc.diag.message_primary or exc}.",
            hint="Check the server's log.",
        ) from exc


def one(connection: Connection, query: Any, parameters: tuple[object, ...] = ()) -> TupleRow:
    """The only row of a query's answer."""
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row
