"""A restore's session with PostgreSQL: a sink of SQL text, in one transaction that only ``commit`` ends."""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio

from ...pipeline.engine import MAX_CHUNK, Inlet, drain
from ..errors import Busy, DatabaseError, DatabaseUnreachable, RestoreFailed
from ..load.meter import meter
from ..words import DATABASE
from .execution.cleaning import Cleaning
from .execution.executor import Executor
from .inventory.restore_rights import rights_missing
from .preservation.preserve import Preservation, plan_preservation
from .preservation.scripts import SERVER_SAID, STRUCTURE, WARNINGS, WRITTEN
from .server import outcome
from .server.connect import connect, open_connection
from .server.lock import TRANSACTION_LOCK, busy, within_a_second
from .server.questions import answered, line
from .server.refusal import FORBIDDEN, StatementRefused, explain, without_values
from .server.settings import quote_identifier
from .server.wire import OWN_PATH, Wire
from .survey import SqlFacts

if TYPE_CHECKING:
    from ...formats.sql.pieces import Text
    from .server.settings import PostgresSettings, Table

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Seconds COMMIT may take. It is not interrupted by a cancellation, since its outcome must be known.
COMMIT_TIMEOUT = 300.0

#: Settings for the whole session, above those of the database and the role: how text is read and written, and limits.
#: Settings that not every version or build has are last.
_SESSION = """
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off;
SET lock_timeout = {lock};
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET client_min_messages = error;
SET extra_float_digits = 1;
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET array_nulls = on;
SET transform_null_equals = off;
SET quote_all_identifiers = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SELECT pg_catalog.set_config(name, value, false) FROM pg_catalog.pg_settings JOIN (
    VALUES ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('jit', 'off'),
           ('restrict_nonsystem_relation_kind', '')
) AS v(name, value) USING (name);
"""
_BEGUN = b"""
SELECT pg_catalog.txid_current()::text, pg_catalog.current_setting('session_replication_role'),
       pg_catalog.pg_try_advisory_lock($1::int, $2::int)::text, current_user::text,
       pg_catalog.current_setting('server_version_num')
"""
_ALONE = b"SELECT pg_catalog.pg_try_advisory_lock($1::int, $2::int)::text"
#: Settings that our own SQL relies on; the archive may have set others.
OURS = f"""
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET client_min_messages = error;
RESET SESSION AUTHORIZATION;
{OWN_PATH}
"""
#: Deferred triggers run now, not with COMMIT: the secrets are written in between.
_DEFERRED = "SET CONSTRAINTS ALL IMMEDIATE"


@dataclass
class SessionReport:
    """Whether the transaction was committed, or surely rolled back; warnings.

    ``replica`` says whether ``session_replication_role`` could be set; ``preserved`` the tables that kept their rows.
    """

    replica: bool = False
    committed: bool = False
    rolled_back: bool = False
    preserved: tuple[Table, ...] = ()
    warnings: list[str] = field(default_factory=list)


class RestoreSession:
    """Sink stage: executes SQL text, and returns when the server has executed all of it. Made by ``open_session``.

    When it asks for what follows the mark of the text's end (``edge.consumed``), the server has executed all of it, and
    the preserved tables are back.
    """

    name = "postgresql"
    server = DATABASE
    #: Bytes: a statement that is not whole yet, or rows, and the message they go in.
    working_set = 8 * MAX_CHUNK

    def __init__(
        self,
        settings: PostgresSettings,
        name: str,
        preservation: Preservation,
        facts: SqlFacts,
        search_path: tuple[str, ...],
    ) -> None:
        self.settings = settings
        self.report = SessionReport(preserved=preservation.keep)
        self._name = name  # application_name of our session
        self._preservation = preservation
        self._facts = facts
        self._search_path = search_path
        self._wire: Wire | None = None
        self._executor: Executor | None = None
        self._cleaning: Cleaning | None = None
        self._remembered: list[tuple[str, ...]] = []
        self._transaction = ""
        self._role = ""
        self._version = 0
        self._refused: StatementRefused | None = None
        self._meter = meter()
        self._opened = 0.0  # when the transaction began
        self._locking = 0.0  # when its first statement that locks tables against everybody may have run

    async def __call__(self, sql: Inlet[Text]) -> None:
        """Execute the SQL text inside the transaction, without committing it.

        Raises ``RestoreFailed`` when the server refuses a statement, when the text ends in the middle of something, or
        when it holds what would end the transaction; ``DatabaseUnreachable`` when the server was lost.
        """
        assert self._executor is not None
        self._locking = self._locking or monotonic()
        try:
            async for chunk in sql.until_end():  # the edge may stay open for long
                await self._ask(self._executor.feed, chunk)
            await self._ask(self._executor.finish)
            await self._ask(self._after)
        except (RestoreFailed, DatabaseUnreachable) as exc:
            await self._roll_back()
            if self.report.rolled_back:
                raise await self._with_rights(exc) from None
            raise outcome.uncertain(exc, self._transaction) from exc.__cause__
        await drain(sql)  # nothing but its end

    @property
    def transaction(self) -> str:
        """What ``txid_status`` knows it by."""
        return self._transaction

    async def commit(self) -> None:
        """Commit, and prove that it happened; shielded from cancellation, bounded by ``COMMIT_TIMEOUT`` seconds.

        Raises ``RestoreFailed`` when the transaction was rolled back, ``CommitUncertain`` when the connection was
        lost during the COMMIT and the server cannot be asked what became of it.
        """
        assert self._wire is not None
        wire = self._wire
        failure: DatabaseError | None = None
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(COMMIT_TIMEOUT):
                try:
                    self.report.committed = await self._ask(wire.end_transaction, "COMMIT")
                except DatabaseError as exc:
                    failure = exc
            if not self.report.committed:
                wire.close()
                await outcome.settle(self.settings, self._transaction, self._name, failure)
                self.report.warnings.append("The connection was lost during COMMIT; the server says it was committed.")
                self.report.committed = True
            self._measure()

    # Around the archive's text -------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Open the transaction, and remember what is preserved.

        Raises ``DatabaseUnreachable`` or ``DatabaseForbidden``, or ``Busy`` when another restore has one open.
        """
        alone = await answered(self._begin, limit=self.settings.query_timeout)
        if not alone:
            raise await answered(self._busy, limit=self.settings.query_timeout)
        if not self.report.replica:
            self.report.warnings.append(
                "session_replication_role could not be set (it takes a superuser, or GRANT SET ON PARAMETER): "
                "restored without it, in pg_dump's own order."
            )
        await self._ask(self._before)

    def _begin(self) -> bool:
        connection = open_connection(self.settings, name=self._name)
        self._wire = wire = Wire(connection)
        self._opened = monotonic()
        try:
            wire.script(_SESSION.format(lock=self.settings.lock_milliseconds))
            wire.script(f"BEGIN; {self._preservation.first()}")
            wire.attempt(b"SELECT pg_catalog.set_config('lc_messages', 'C', false)")
            wire.attempt(b"SELECT pg_catalog.set_config('session_replication_role', 'replica', false)")
            lock = [*map(str, TRANSACTION_LOCK)]
            ((transaction, replica, alone, role, version),) = wire.execute(_BEGUN, *lock)
            held = alone == "true" or within_a_second(lambda: wire.execute(_ALONE, *lock) == [("true",)])
        except StatementRefused as exc:
            raise explain(self.settings, exc) from None
        self._transaction, self._role, self._version = transaction, role, int(version) // 10000
        self.report.replica = replica == "replica"
        self._cleaning = Cleaning(wire, connection, self._facts, self._preservation.keep)
        self._executor = Executor(wire, transaction, self._preservation, self._cleaning, self._search_path)
        return held

    def _before(self) -> None:
        assert self._wire is not None
        assert self._cleaning is not None
        if self._preservation.keep:  # which are locked from here on
            self._locking = monotonic()
        self._cleaning.begin(self._preservation.keep)
        self._wire.script(self._preservation.before())
        self._remembered = self._memory()

    def _memory(self) -> list[tuple[str, ...]]:
        """What shows whether anybody but us has touched our temporary tables."""
        assert self._wire is not None
        with self._wire.own_path():
            found = self._wire.execute(STRUCTURE)
            tables = [name for name, _, kind, *_ in found if kind == "r"]
            return found + [row for table in tables for row in self._wire.execute(WRITTEN.format(table=table).encode())]

    def _after(self) -> None:
        assert self._wire is not None
        assert self._executor is not None
        assert self._cleaning is not None
        self._wire.script(OURS)
        if self._memory() != self._remembered:
            raise RestoreFailed(
                "The archive's SQL changed what the restore remembers of preserved tables and foreign keys.",
                hint="This archive's SQL does not come from pg_dump, or was edited.",
            )
        self.report.warnings += self._cleaning.warnings()
        self._wire.script(self._preservation.after(", ".join(map(quote_identifier, self._search_path))))
        self.report.warnings += [shown_warning(message) for (message,) in self._wire.execute(WARNINGS)]
        self.report.warnings += self._executor.make_checks()
        self._wire.script(OWN_PATH + self._preservation.last())
        self._wire.script(_DEFERRED)
        self.report.warnings += [
            f"The subscription {name} came back disabled: ALTER SUBSCRIPTION … ENABLE, then REFRESH PUBLICATION, when "
            "it is to receive again."
            for name in sorted(self._facts.subscriptions)
        ]
        self._executor.check_transaction()

    # How it is asked ------------------------------------------------------------------------------------------------

    async def _ask(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call something that speaks with the server, in a thread; a cancellation cuts the connection."""
        wire = self._wire
        assert wire is not None

        def ask() -> T:
            asking = line.get()
            assert asking is not None
            try:
                if not wire.alive:
                    raise StatementRefused(b"")
                asking.hold(wire.descriptor)
                try:
                    return function(*args)
                finally:
                    asking.release()
            except StatementRefused as exc:
                self._refused = exc
                error = explain(self.settings, exc, role=self._role, newer=self._newer())
                if exc.in_function and (firing := self._preservation.firing):
                    error.hint += f" The event trigger {', '.join(firing)} runs: this role cannot keep it from that."
                raise error from None

        return await answered(ask, limit=math.inf)

    async def _with_rights(self, failure: DatabaseError) -> DatabaseError:
        """The same failure; when a right was missing, with all that are, or the next would be found by the next try."""
        if self._refused is not None and self._refused.code == FORBIDDEN:
            names = tuple(str(table) for table in self.report.preserved)
            limit = self.settings.query_timeout
            with contextlib.suppress(DatabaseError):
                _, missing = await answered(rights_missing, self.settings, self._facts, names, limit=limit)
                if missing:
                    failure.rights = missing
                    failure.hint += f" It lacks: {', '.join(map(str, missing[:20]))}{' …' if missing[20:] else ''}."
        return failure

    def _newer(self) -> str:
        """Which versions differ, when the archive's is newer than the server."""
        dumped = min(self._facts.versions, default=0)
        return (
            f"The archive is of PostgreSQL {dumped}, the server is {self._version}." if dumped > self._version else ""
        )

    def _busy(self) -> Busy:
        with connect(self.settings) as connection:
            return busy(self.settings, connection)

    async def _roll_back(self) -> None:
        """End the transaction, by the connection if it can be used, else from outside."""
        wire = self._wire
        if wire is None or self.report.committed or self.report.rolled_back:
            return
        try:
            self.report.rolled_back = await self._ask(self._undo)
        except DatabaseError:
            wire.close()
            self.report.rolled_back = await outcome.end_backend(self.settings, self._name, self._transaction)
        finally:
            self._measure()

    def _measure(self) -> None:
        """The transaction has ended: note how long it was open, and held its locks."""
        if self._opened:
            now = monotonic()
            self._meter.transaction(now - self._opened)
            if self._locking:
                self._meter.locked("exclusive", now - self._locking)
            self._opened = self._locking = 0.0

    def _undo(self) -> bool:
        """ROLLBACK; whether the server confirms it."""
        assert self._wire is not None
        self._wire.end_transaction("ROLLBACK")
        ((status,),) = self._wire.execute(b"SELECT pg_catalog.txid_status($1::bigint)", self._transaction)
        return status == "aborted"

    async def close(self) -> None:
        """End the connection, and make sure that the server rolled back what was not committed."""
        if self._wire is not None:
            await self._roll_back()
            self._wire.close()
            if not self.report.committed:  # its locks are gone when its process on the server is
                await outcome.end_backend(self.settings, self._name, self._transaction)


def shown_warning(text: str) -> str:
    """One of our warnings; a server's error in it is marked, and may quote values."""
    ours, mark, error = text.partition(SERVER_SAID)
    return f"{ours}{without_values(error.removesuffix('.'))}." if mark else text


@asynccontextmanager
async def open_session(
    settings: PostgresSettings,
    *,
    preserve: tuple[str, ...] | None = None,
    facts: SqlFacts | None = None,
    search_path: tuple[str, ...] = (),
) -> AsyncIterator[RestoreSession]:
    """Open a transaction for a restore; leaving without ``commit`` rolls it back.

    ``preserve`` names the tables that keep their rows (the settings' ``preserve`` unless given; add ``audit`` for an
    archive without audit logs). ``facts`` are what the survey found in the archive: a preserved table that it does not
    make is made again from what it was, and what stands in its way is dropped. ``search_path`` replaces the empty one
    that pg_dump writes. Raises ``DatabaseUnreachable``, ``DatabaseForbidden`` or ``Busy``.
    """
    names = settings.preserve if preserve is None else preserve
    tables = None if facts is None else facts.tables
    preservation = await answered(plan_preservation, settings, names, tables, limit=settings.query_timeout)
    name = f"kleidia-restore-{secrets.token_hex(8)}"
    session = RestoreSession(settings, name, preservation, facts or SqlFacts(), search_path)
    try:
        await session.begin()
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()
