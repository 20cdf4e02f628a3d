"""The database of the control tables: a pool of connections, whose failures are mapped to our errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ...stages.errors import DatabaseError, DatabaseForbidden, DatabaseUnreachable
from ...stages.pg.server.connect import first_reason, is_connection_failure, login_error
from .migrate import TEXT, migrate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ...stages.pg.server.settings import PostgresSettings

    Row = TypeVar("Row", bound=DataclassInstance)

Connection: TypeAlias = "psycopg.AsyncConnection[Any]"

#: Seconds in which the database gives a connection and answers what is asked over it.
ANSWER = 20.0
#: Seconds after which a pool gives up to reconnect, and leaves it to the next question, which tries at once. Until then
#: it waits twice as long after each attempt: after minutes of outage it would not notice for minutes that it is over.
RECONNECT = 5.0
_CONNECTIONS = 10
#: Milliseconds after which a connection is lost whose other end takes nothing any more, as libpq writes it.
_LOST = {"tcp_user_timeout": "30000"}


def lively(settings: PostgresSettings) -> str:
    """The connection string for a pool that lives for months: a peer that vanished is noticed. Never log it."""
    return make_conninfo("", **(_LOST | conninfo_to_dict(settings.full_conninfo()) | TEXT))


def row_of(kind: type[Row]) -> Callable[[psycopg.AsyncCursor[Any]], Callable[[Sequence[Any]], Row]]:
    """A row factory for a dataclass; columns that it does not have are left out.

    A newer replica adds them at its start, while this one still runs.
    """
    known = {each.name for each in fields(kind)}

    def of(cursor: psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], Row]:
        names = [column.name for column in cursor.description or ()]
        return lambda values: kind(**{name: value for name, value in zip(names, values, strict=True) if name in known})

    return of


class Control:
    """The control database. Entering it migrates its tables (safe in parallel) and opens the pool.

    It has at most ``connections``; without ``migrates`` it takes the tables as they are. Raises what ``connection``
    raises, and ``ConfigurationError`` for tables of a newer version.
    """

    def __init__(self, settings: PostgresSettings, *, connections: int = _CONNECTIONS, migrates: bool = True) -> None:
        self.settings = settings
        self._migrates = migrates
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            lively(settings),
            kwargs={"autocommit": True, "fallback_application_name": "kleidia-backup service"},
            min_size=1,
            max_size=connections,
            timeout=ANSWER / 2,
            reconnect_timeout=RECONNECT,
            open=False,
            check=AsyncConnectionPool.check_connection,
            name="control",
        )

    async def __aenter__(self) -> Self:
        async with self._mapped():
            if self._migrates:
                await migrate(self.settings)
            await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one or a few statements, each its own transaction unless ``transaction()`` is entered.

        Raises ``DatabaseUnreachable`` when there is none or it is lost or does not answer in ``ANSWER`` seconds,
        ``DatabaseForbidden`` when a right is missing, ``DatabaseError`` for anything else.
        """
        async with self._mapped(), asyncio.timeout(ANSWER), self._pool.connection() as connection:
            yield connection

    async def check(self, seconds: float) -> None:
        """Check that the database answers in ``seconds``. Raises what ``connection`` raises."""
        # In a task that is not waited for: psycopg takes its time to give up a query without an answer.
        asking = asyncio.create_task(self._ask(), name="is the control database there")
        await asyncio.wait({asking}, timeout=seconds)
        if asking.done():
            return asking.result()
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        asking.cancel()
        async with self._mapped():
            raise TimeoutError

    async def _ask(self) -> None:
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def _mapped(self) -> AsyncIterator[None]:
        where = self.settings.where()
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as exc:
            raise DatabaseForbidden(
                f"The control database refused a statement ({where}): {exc.diag.message_primary}.",
                hint="Grant the role CREATE on the database once, or make it the owner of the schema kleidia_backup.",
            ) from exc
        except (PoolTimeout, TimeoutError) as exc:
            raise DatabaseUnreachable(
                f"The control database does not answer ({where}).", hint="Check that it runs and can be reached."
            ) from exc
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            if is_connection_failure(str(exc)):
                raise login_error(self.settings, str(exc)) from None
            reason = self.settings.shown(first_reason(str(exc)))
            raise DatabaseUnreachable(
                f"The connection to the control database was lost ({where}): {reason}.",
                hint="Check the server's log; then try again.",
            ) from exc
        except psycopg.Error as exc:
            what = exc.diag.message_primary or type(exc).__name__
            raise DatabaseError(
                f"The control database answered with an error ({where}): {what}.",
                hint="Check the server's log.",
            ) from exc
