"""Short psycopg connections, whose failures are mapped to our errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from psycopg.rows import TupleRow, tuple_row

from ...errors import ConfigurationError, DatabaseError, DatabaseForbidden, DatabaseUnreachable
from ...load.meter import meter
from .conninfo import shown_name
from .questions import Line, line

if TYPE_CHECKING:
    from psycopg.abc import PQGen, PQGenConn

    from .settings import PostgresSettings

T = TypeVar("T")

Connection = psycopg.Connection[TupleRow]

#: Messages of libpq and the server for a refused login: SQLSTATE class 28, which libpq does not hand out.
_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist|not permitted to log in"
    r"|permission denied for database|requires a valid client certificate",
    re.IGNORECASE,
)
_NO_DATABASE = re.compile(r'database "(.*)" does not exist')


# text of libpq: it hands out no SQLSTATE of a connection that did not come about.
def login_error(settings: PostgresSettings, text: str) -> DatabaseError:
    """The error for a failed connection, from the message of libpq (or of a tool that uses it)."""
    reason = settings.shown(first_reason(text))
    if missing := _NO_DATABASE.search(text):
        return DatabaseUnreachable(
            f'There is no database "{shown_name(missing.group(1))}" on that server ({settings.where()}).',
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


# text of libpq: the reason stands behind the address, in English for we ask it so.
def first_reason(text: str) -> str:
    """The part of libpq's message that says why, on one line without a final stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next(
        (line for line in lines if "failed:" in line or "FATAL" in line), lines[0] if lines else "no reason given"
    )
    _, found, reason = line.partition("failed: ")
    reason = re.sub(r"^(FATAL|ERROR):\s*", "", reason if found else line)
    return reason.rstrip(".")


# text of libpq: neither a tool's exit status nor psycopg's class distinguishes this from a lost connection.
def is_connection_failure(text: str) -> bool:
    """Whether a tool's stderr reports a failed connection."""
    return ("connection to server" in text and "failed:" in text) or "could not translate host name" in text


class _Connection(psycopg.Connection[TupleRow]):
    """Reports the start of each query to its ``Line``, which may cut the connection even while it is being made."""

    line: Line | None = None

    @classmethod
    def _connect_gen(cls, *args: Any, **options: Any) -> PQGenConn[Self]:
        """Psycopg resumes this ten times a second while it connects: it ends when the ``Line`` was cut."""
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
        begun = monotonic()
        try:
            return super().wait(gen, *args, **options)
        finally:
            if self.autocommit:  # a question is a transaction then; the longer ones are counted where they are begun
                meter().transaction(monotonic() - begun)


def open_connection(settings: PostgresSettings, *, timeout: int | None = None, name: str = "") -> Connection:
    """A connection that its caller closes; blocking. ``timeout`` is in seconds; ``name`` is the application's name.

    Raises ``DatabaseUnreachable``, ``DatabaseForbidden`` when the login is refused, or ``ConfigurationError``.
    """
    options = {"application_name": name} if name else {"fallback_application_name": "kleidia-backup"}
    try:
        return _Connection.connect(
            settings.full_conninfo(connect_timeout=timeout, **options),
            autocommit=True,
            row_factory=tuple_row,
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as exc:
        raise login_error(settings, str(exc)) from None
    except (psycopg.Error, ValueError):  # libpq's own variables are looked at nowhere else; the text quotes them
        raise ConfigurationError(
            f"The connection to PostgreSQL cannot be tried ({settings.where()}): a value of it cannot be used.",
            hint="Check conninfo in [database], and libpq's own variables, such as PGHOST.",
        ) from None


@contextmanager
def connect(settings: PostgresSettings, *, timeout: int | None = None) -> Iterator[Connection]:
    """A connection for a few questions; blocking, so call it in a thread. ``timeout`` is in seconds, for connecting.

    At the end it is closed, and nothing else: an open transaction is not committed, and no command has to end.

    Raises ``ConfigurationError`` when it cannot be tried, ``DatabaseUnreachable`` when it does not come about, is
    lost, or was cut by ``answered``, ``DatabaseForbidden`` when the login is refused or a right is missing,
    ``DatabaseError`` for anything else that the server refuses.
    """
    connection = open_connection(settings, timeout=timeout)
    assert isinstance(connection, _Connection)
    asking = connection.line = line.get()
    try:
        with closing(connection):  # psycopg's own end would commit first, and leave it open where that fails
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
        if exc.sqlstate and exc.sqlstate[:2] != "08" and exc.sqlstate[:3] != "57P":
            raise _answer(settings, exc) from exc  # psycopg's class says operational of locks, limits and states too
        raise DatabaseUnreachable(
            f"The connection to PostgreSQL was lost ({settings.where()}): {settings.shown(first_reason(str(exc)))}.",
            hint="Check the server's log; then try again.",
        ) from exc
    except psycopg.Error as exc:
        raise _answer(settings, exc) from exc


def _answer(settings: PostgresSettings, exc: psycopg.Error) -> DatabaseError:
    return DatabaseError(
        f"PostgreSQL answered with an error ({settings.where()}): {exc.diag.message_primary or exc}.",
        hint="Check the server's log.",
    )


def one(connection: Connection, query: Any, parameters: tuple[object, ...] = ()) -> TupleRow:
    """The only row of a query's answer."""
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row
