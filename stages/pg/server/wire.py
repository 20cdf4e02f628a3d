"""One connection to PostgreSQL on which each message holds one statement: the server itself refuses a second one.

Blocking; called in a thread. What the server refuses is raised as ``StatementRefused``, fields and all. Rows that were
not asked for and notifications are thrown away as they come, so memory is bounded by the longest message.

libpq is never waited in: ``get_result`` of psycopg would hold up every other thread of the process.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

from .refusal import OURS, StatementRefused

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

T = TypeVar("T")

#: Only the catalog is looked in. Temporary objects would be found before it, if they were not named.
OWN_PATH = "SET search_path = pg_catalog, pg_temp;"

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)
_COPYING = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
_PASSED = (*_DONE, ExecStatus.SINGLE_TUPLE, ExecStatus.PIPELINE_ABORTED)
_SAVEPOINT = b"kleidia"
#: Milliseconds until the socket is read even if it is not readable: TLS may have read ahead.
_AGAIN = 1000


class Wire:
    """Sends statements and rows over a connection of psycopg's, below its cursors."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._connection = connection
        self._pg: PGconn = connection.pgconn

    @property
    def descriptor(self) -> int:
        """Of the socket. Raises ``psycopg.OperationalError`` when the connection is gone."""
        return self._connection.fileno()

    @property
    def alive(self) -> bool:
        """Whether the connection can be used, as far as is known without asking."""
        return not self._connection.closed and self._pg.status == ConnStatus.OK

    @property
    def in_transaction(self) -> bool:
        """Whether, by the server's last answer, a transaction is open and has not failed."""
        return self._pg.transaction_status == TransactionStatus.INTRANS

    @property
    def encoding(self) -> str:
        """``client_encoding`` as the server has reported it last."""
        return (self._pg.parameter_status(b"client_encoding") or b"").decode()

    @property
    def backslashes(self) -> bool:
        """Whether the server has reported that ``standard_conforming_strings`` is off."""
        return self._pg.parameter_status(b"standard_conforming_strings") == b"off"

    def script(self, text: str) -> None:
        """Execute statements of our own, as many as there are in the text."""
        whole = text.encode()
        mark = OURS if OURS.strip() in whole else b""  # where it begins may be far behind
        self._last(whole[:200] + mark, lambda: self._pg.send_query(whole))

    def run(self, statement: bytes) -> None:
        """Execute one statement of the archive, and throw away the rows of its answer."""

        def send() -> None:
            self._pg.send_query_params(statement, None)
            self._pg.set_single_row_mode()

        self._last(statement, send)

    def execute(self, statement: bytes, *values: str) -> list[tuple[str, ...]]:
        """Execute one of our queries, with values for ``$1`` and so on; the rows of its answer (null is empty)."""
        parameters = [value.encode() for value in values] or None
        result = self._last(statement, lambda: self._pg.send_query_params(statement, parameters))
        return [
            tuple((result.get_value(row, column) or b"").decode() for column in range(result.nfields))
            for row in range(result.ntuples)
        ]

    @contextmanager
    def own_path(self) -> Iterator[None]:
        """Names in our statements mean the catalog's objects, and names in the server's answers have their schema.

        What the archive has set, or what was asked for, comes back afterwards.
        """
        ((path,),) = self.execute(b"SELECT pg_catalog.current_setting('search_path')")
        self.script(OWN_PATH)
        yield
        self.execute(b"SELECT pg_catalog.set_config('search_path', $1, false)", path)

    def attempt(self, statement: bytes) -> StatementRefused | None:
        """Execute one statement behind a savepoint, in one message to the server and back; what it refused, if it did.

        Raises ``StatementRefused`` when the connection was lost.
        """
        pg = self._pg

        def ask() -> StatementRefused | None:
            pg.enter_pipeline_mode()
            try:
                for each in (b"SAVEPOINT " + _SAVEPOINT, statement, b"RELEASE SAVEPOINT " + _SAVEPOINT):
                    pg.send_query_params(each, None)
                pg.pipeline_sync()
                refused = None
                while (result := self._result()) is None or result.status != ExecStatus.PIPELINE_SYNC:
                    if result is None:
                        if pg.status != ConnStatus.OK:
                            raise StatementRefused(statement)
                    elif result.status not in _PASSED and refused is None:
                        refused = StatementRefused.of(result, statement)
            finally:
                if pg.status == ConnStatus.OK:
                    pg.exit_pipeline_mode()
            return refused

        refused = self._asked(ask)
        if refused is not None:
            if refused.lost:
                raise refused
            self.script(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT.decode()}; RELEASE SAVEPOINT {_SAVEPOINT.decode()}")
        return refused

    def begin_rows(self, statement: bytes) -> None:
        """Begin a COPY from us. It goes as a simple query: only then is the server ready again after an error."""
        result = self._last(statement, lambda: self._pg.send_query(statement), ends=ExecStatus.COPY_IN)
        if result.status != ExecStatus.COPY_IN:
            raise StatementRefused(statement, "0A000", "it takes no rows")

    def rows(self, data: bytes, statement: bytes) -> None:
        """Send rows of the COPY that was begun with ``statement``, and wait until they are sent."""
        pg = self._pg
        try:
            while not pg.put_copy_data(data):
                self._wait()
            while pg.flush():
                self._wait()
                pg.consume_input()
                pg.is_busy()  # what came is looked at, or it would pile up
        except psycopg.Error:
            raise self._ended(statement) from None

    def end_rows(self, statement: bytes) -> int:
        """End the rows; how many the server has stored, by its own count."""
        try:
            self._pg.put_copy_end()
        except psycopg.Error:
            raise self._ended(statement) from None
        result = self._last(statement, lambda: None)
        return int((result.command_status or b"").removeprefix(b"COPY ") or 0)

    def end_transaction(self, how: str) -> bool:
        """COMMIT or ROLLBACK; whether the server confirms just that. Raises ``StatementRefused``."""
        result = self._last(how.encode(), lambda: self._pg.send_query(how.encode()))
        return result.command_status == how.encode() and self._pg.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._connection.close()

    def _ended(self, statement: bytes) -> StatementRefused:
        """Why rows could not be sent: the server's last message, if there is one."""
        refused = StatementRefused(statement)
        try:
            while (result := self._result()) is not None and result.status not in _COPYING:
                if result.status == ExecStatus.FATAL_ERROR:
                    refused = StatementRefused.of(result, statement)
        except psycopg.Error:
            pass
        return refused

    def _last(self, statement: bytes, send: Callable[[], None], *, ends: ExecStatus | None = None) -> PGresult:
        """Send something and read the whole answer; its last result, or the first of the status that ``ends`` it.

        Raises ``StatementRefused`` for the first error, without a code when the connection is gone.
        """

        def ask() -> PGresult:
            send()
            last: PGresult | None = None
            refused: StatementRefused | None = None
            while (result := self._result()) is not None:
                last = result
                if result.status == ends:
                    return result
                if result.status in _COPYING:
                    self._connection.close()  # nothing else ends this state
                    raise StatementRefused(statement, "0A000", "it moves rows in a way that no dump does")
                if result.status not in _PASSED and refused is None:
                    refused = StatementRefused.of(result, statement)
            if refused is not None:
                raise refused
            if last is None or self._pg.status != ConnStatus.OK:
                raise StatementRefused(statement)
            return last

        return self._asked(ask)

    def _result(self) -> PGresult | None:
        """The next result."""
        pg = self._pg
        while pg.is_busy():
            self._wait()
            pg.consume_input()
            while pg.notifies():  # they come with COMMIT
                pass
        return pg.get_result()

    def _wait(self) -> None:
        """Wait until there is something to read, or room to write what is left."""
        poll = select.poll()
        poll.register(self._pg.socket, select.POLLIN | (select.POLLOUT if self._pg.flush() else 0))
        poll.poll(_AGAIN)

    @staticmethod
    def _asked(ask: Callable[[], T]) -> T:
        """An answer; a connection that is gone is a refusal without a code."""
        try:
            return ask()
        except psycopg.Error:
            raise StatementRefused(b"") from None
