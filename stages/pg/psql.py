"""psql as a sink of SQL text, in one transaction that only ``commit`` ends."""

from __future__ import annotations

import contextlib
import os
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from ...pipeline.engine import Inlet, in_thread
from ..errors import Busy, DatabaseError, DatabaseUnreachable, RestoreFailed
from . import outcome, process
from .connect import connect
from .filter import DumpFilter
from .lock import TRANSACTION_LOCK, busy
from .preflight import check_restore
from .preserve import plan
from .preserve_sql import SERVER_SAID, WARNINGS
from .questions import answered
from .settings import PostgresSettings, Table, quote_literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine

    from .preflight import DatabaseFacts
    from .preserve import Preservation
    from .tools import Tool

#: Seconds COMMIT may take. It is not interrupted by a cancellation, since its outcome must be known.
COMMIT_TIMEOUT = 300.0

#: Stands for the number of lines before the archive's SQL when psql is behind its end.
_AFTERWARDS = 1 << 60

#: Longest line of psql's output that is looked at, in bytes.
_LINE = 64 * 1024


@dataclass
class RestoreReport:
    """Bytes of SQL text fed to psql; whether the transaction was committed, or surely rolled back; warnings.

    ``replica`` says whether ``session_replication_role`` could be set; ``preserved`` the tables that kept their rows.
    """

    bytes: int = 0
    replica: bool = False
    committed: bool = False
    rolled_back: bool = False
    preserved: tuple[Table, ...] = ()
    warnings: list[str] = field(default_factory=list)


class PsqlSession:
    """Sink stage: feeds psql, and returns when the server has executed everything. Made by ``open_psql``."""

    def __init__(
        self, settings: PostgresSettings, child: process.Child, stdin: int, name: str, preservation: Preservation
    ) -> None:
        self.settings = settings
        self.report = RestoreReport(preserved=preservation.keep)
        self._preservation = preservation
        #: Set when the server has executed all of the text, and brought the preserved tables back.
        self.executed = anyio.Event()
        self._child = child
        self._stdin = stdin
        self._name = name  # application_name of our session, and the mark of our lines in psql's output
        self._said = process.Tail()
        self._output = bytearray()
        self._transaction = ""
        self._before = 0  # lines of ours in the stream, before the archive's

    async def __call__(self, sql: Inlet[bytes]) -> None:
        """Execute the SQL text inside the transaction, without committing it.

        Raises ``RestoreFailed`` when psql ends early, when the text ends in the middle of something, or when it holds
        what would end the transaction; ``DatabaseUnreachable`` when the server was lost.
        """
        dump = DumpFilter(self._preservation)

        async def feed() -> None:
            key = secrets.token_hex(16)
            await self._say(f"{self._preservation.before()}\\o {os.devnull}\n\\restrict {key}\n")
            async for chunk in sql:
                if not chunk:  # the text ends here; its edge may stay open for long
                    break
                self.report.bytes += len(chunk)
                await self._write(await in_thread(dump.feed, chunk))
            await self._write(await in_thread(dump.finish))
            await self._write(f"\n\\unrestrict {key}\n\\o\n".encode())
            await self._write(self._marker("executed", "pg_catalog.txid_current()").encode())

        try:
            executed = await self._until("executed", feed)
        except (RestoreFailed, DatabaseUnreachable) as exc:
            await self._child.end()
            if await outcome.end_backend(self.settings, self._name, self._transaction):
                raise
            raise outcome.uncertain(exc, self._transaction) from exc.__cause__
        if executed != self._transaction:
            raise RestoreFailed(
                "The archive's SQL ended the transaction by itself: part of it may be committed.",
                hint="Compare the database with a backup made before; this archive is not one of pg_dump's.",
            )
        self._before = _AFTERWARDS
        after = self._preservation.after()
        if after:
            after += WARNINGS.replace(":mark", quote_literal(self._mark("warning")))
        after += self._marker("finished", "''")
        await self._until("finished", lambda: self._write(after.encode()))
        self.executed.set()
        async for chunk in sql:  # nothing but its end, when the text's end was marked
            if chunk:
                raise RestoreFailed("There is SQL after its end.", hint="Nothing was changed. Please report this.")

    @property
    def transaction(self) -> str:
        """What ``txid_status`` knows it by."""
        return self._transaction

    async def commit(self) -> None:
        """Commit, and prove that it happened; shielded from cancellation, bounded by ``COMMIT_TIMEOUT`` seconds.

        Raises ``RestoreFailed`` when the transaction was rolled back, ``CommitUncertain`` when the connection was
        lost during the COMMIT and the server cannot be asked what became of it.
        """
        text = f"COMMIT;\n{self._marker('outcome', f'pg_catalog.txid_status({self._transaction})')}"
        failure: DatabaseError | None = None
        with anyio.CancelScope(shield=True):
            answer = ""
            with anyio.move_on_after(COMMIT_TIMEOUT):
                try:
                    answer = await self._until("outcome", lambda: self._write(text.encode()))
                except DatabaseError as exc:
                    failure = exc
            if answer != "committed":
                await self._child.end()
                await outcome.settle(self.settings, self._transaction, self._name, failure)
                self.report.warnings.append("The connection was lost during COMMIT; the server says it was committed.")
            self.report.committed = True
            await self._leave()

    # Talking with psql ------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Open the transaction.

        Raises ``DatabaseUnreachable`` or ``DatabaseForbidden``, or ``Busy`` when another restore has one open.
        """
        text = (
            "SET statement_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n"
            # Only version 17 and later have it.
            "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
            " WHERE name = 'transaction_timeout';\n"
            f"SET lock_timeout = {self.settings.lock_milliseconds};\n"
            "SET client_encoding = 'UTF8';\nSET client_min_messages = warning;\n"
            "SET standard_conforming_strings = on;\n"
            "BEGIN;\n"
            "DO $$ BEGIN PERFORM pg_catalog.set_config('session_replication_role', 'replica', false);\n"
            "EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;\n"
        )
        value = (
            "pg_catalog.txid_current() || ' ' || pg_catalog.current_setting('session_replication_role')"
            f" || ' ' || pg_catalog.pg_try_advisory_lock{TRANSACTION_LOCK}"
        )
        answer = await self._until("begun", lambda: self._say(text + self._marker("begun", value)))
        self._transaction, role, alone = answer.split()
        if alone != "true":
            raise await answered(self._busy, limit=self.settings.query_timeout)
        self.report.replica = role == "replica"
        if not self.report.replica:
            self.report.warnings.append(
                "session_replication_role could not be set (it takes a superuser, or GRANT SET ON PARAMETER): "
                "restored without it, in pg_dump's own order."
            )

    def _busy(self) -> Busy:
        with connect(self.settings) as connection:
            return busy(self.settings, connection)

    def _mark(self, name: str) -> str:
        return f"{self._name} {name} "

    def _marker(self, name: str, value: str) -> str:
        return f"SELECT {quote_literal(self._mark(name))} || {value};\n"

    async def _say(self, text: str) -> None:
        """Write lines of ours that precede the dump."""
        self._before += text.count("\n")
        await self._write(text.encode())

    async def _write(self, data: bytes) -> None:
        """Write to psql; returns early, without an error, when it does not read any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._stdin)
            except BrokenPipeError:
                return

    async def _until(self, name: str, feed: Callable[[], Coroutine[Any, Any, None]]) -> str:
        """Feed psql until its output has the marker ``name``; the value. Raises when psql ends before."""
        answer: str | None = None
        async with process.task_group() as tasks:
            tasks.start_soon(self._said.drain, self._child.stderr)
            async with process.task_group() as feeding:
                feeding.start_soon(feed)
                answer = await self._read(self._mark(name).encode())
                feeding.cancel_scope.cancel()
            if answer is not None:
                tasks.cancel_scope.cancel()
        if answer is None:
            raise await self._failure()
        return answer

    async def _read(self, marker: bytes) -> str | None:
        """Read psql's output up to the line that begins with ``marker``; None when it ends before."""
        warning = self._mark("warning").encode()
        while True:
            *lines, rest = bytes(self._output).split(b"\n")
            self._output[:] = rest[-_LINE:]
            for number, line in enumerate(lines):
                if line.startswith(warning):
                    self.report.warnings.append(_warning(line[len(warning) :].decode()))
                if line.startswith(marker):
                    self._output[:] = b"\n".join([*lines[number + 1 :], rest])
                    return line[len(marker) :].decode()
            data = await self._child.stdout.read()
            if not data:
                return None
            self._output += data

    async def _failure(self) -> DatabaseError:
        """What it means that psql ended."""
        status = await self._child.wait()
        return outcome.explain(self.settings, status, self._said.text, self._before)

    async def _leave(self) -> None:
        """Let psql end by itself."""
        with contextlib.suppress(OSError):
            os.close(self._stdin)
        self._stdin = -1
        with anyio.move_on_after(process.DEADLINE):
            await self._child.wait()

    async def close(self) -> None:
        """Kill psql if it runs (before its stdin is closed), reap it, and see to it that the server rolled back."""
        await self._child.end()
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        if not self.report.committed:
            self.report.rolled_back = await outcome.end_backend(self.settings, self._name, self._transaction)


def _warning(text: str) -> str:
    """A warning of ours; an error of the server in it is marked, and may quote values."""
    ours, mark, error = text.partition(SERVER_SAID)
    return f"{ours}{outcome.without_values(error.removesuffix('.'))}." if mark else text


@asynccontextmanager
async def open_psql(
    settings: PostgresSettings,
    *,
    checked: tuple[Tool, DatabaseFacts] | None = None,
    preserve: tuple[str, ...] | None = None,
    tables: Collection[Table] | None = None,
) -> AsyncIterator[PsqlSession]:
    """Open a transaction for a restore; leaving without ``commit`` rolls it back, whatever the reason.

    ``preserve`` names the tables that keep their rows (the settings' ``preserve`` unless given; add ``audit`` for an
    archive without audit logs). ``tables`` are those that the archive makes, as the survey found them: a preserved
    table that is not among them is made again from what it was. Raises what ``check_restore`` raises.
    """
    tool, _ = checked or await check_restore(settings)
    names = settings.preserve if preserve is None else preserve
    preservation = await answered(plan, settings, names, tables, limit=settings.query_timeout)
    name = f"kleidia-restore-{secrets.token_hex(8)}"
    command = [tool.path, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--no-password", "--file=-"]
    command.append(f"--dbname={settings.public_conninfo(application_name=name)}")
    read_end, write_end = process.wide_pipe()
    try:
        os.set_blocking(write_end, False)
        child = await process.start(command, environment=settings.environment(), stdin=read_end)
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    session = PsqlSession(settings, child, write_end, name, preservation)
    try:
        await session.begin()
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()
