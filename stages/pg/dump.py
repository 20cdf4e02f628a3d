"""pg_dump as a source of SQL text."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from ...pipeline.engine import MAX_CHUNK, Outlet, in_thread
from ..errors import DatabaseError, DumpFailed
from . import process
from .connect import connect, is_connection_failure, login_error
from .filter import UNREADABLE, DumpCheck, Unreadable
from .outcome import LOCKED
from .preflight import check_backup, find_tables, with_partitions
from .questions import answered
from .scan import Unfit
from .settings import CONTROL_SCHEMA, PostgresSettings, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from .preflight import DatabaseFacts
    from .tools import Tool

#: Bytes worth handing on: smaller reads are gathered, or a fast pg_dump would wake us for every 4 KiB it writes.
GATHER = 256 * 1024

#: Seconds given to pg_dump to fill the pipe between two small reads, and how often, at most: what is slow goes on late.
PAUSE = 0.001
PAUSES = 50

_SERVER_SAID = re.compile(r"Error message from server: (?:ERROR: *)?(.*)")


@dataclass
class DumpReport:
    """Bytes of SQL text so far; the tables whose rows were left out; what pg_dump warned of."""

    bytes: int = 0
    without_rows: tuple[Table, ...] = ()
    warnings: list[str] = field(default_factory=list)


class PgDump:
    """Source stage: the database as SQL text, as any psql can restore it.

    Preserved tables come without their rows, as do those of the audit log unless ``include_audit``. Give ``checked``
    (from ``check_backup``) when the preflight was made already. The stage returns only after pg_dump exited with 0;
    when it fails or is cancelled, pg_dump is killed and reaped.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        include_audit: bool = True,
        checked: tuple[Tool, DatabaseFacts] | None = None,
    ) -> None:
        self.settings = settings
        self.include_audit = include_audit
        self.checked = checked
        self.report = DumpReport()

    async def __call__(self, out: Outlet[bytes]) -> None:
        """Run pg_dump.

        Raises ``DumpFailed`` when it fails or writes what no restore would take, ``DatabaseUnreachable`` or
        ``DatabaseForbidden`` when it cannot connect, and what ``check_backup`` raises.
        """
        tool, _ = self.checked or await check_backup(self.settings)
        self.report.without_rows = await answered(self._without_rows, limit=self.settings.query_timeout)
        environment = self.settings.environment()
        child = await process.start(self._command(tool), environment=environment, stdin=subprocess.DEVNULL)
        said = process.Tail()
        try:
            async with process.task_group() as tasks:
                tasks.start_soon(said.drain, child.stderr)
                check = await self._copy(child.stdout.end, out)
                status = await child.wait()
                # Whoever inherited its stderr may hold it open: what it said itself is there already.
                tasks.cancel_scope.deadline = anyio.current_time() + process.POLITE
        finally:
            await child.end(polite=True)
        if status != 0:
            raise self._failure(status, said.text)
        self._look(check.finish)
        self.report.warnings = [line for line in said.text.splitlines() if "warning:" in line]

    def _without_rows(self) -> tuple[Table, ...]:
        names = self.settings.preserve + (() if self.include_audit else self.settings.audit)
        with connect(self.settings) as connection:
            return with_partitions(connection, find_tables(connection, names))

    def _command(self, tool: Tool) -> list[str]:
        return [
            tool.path,
            "--format=plain",
            "--clean",
            "--if-exists",
            "--encoding=UTF8",
            "--no-password",
            f"--exclude-schema={CONTROL_SCHEMA}",
            *([f"--lock-wait-timeout={lock_wait}"] if (lock_wait := self.settings.lock_milliseconds) else ()),
            *(f"--exclude-table-data={table}" for table in self.report.without_rows),
            f"--dbname={self.settings.public_conninfo()}",
        ]

    def _look(self, look: Callable[..., None], *chunk: bytes) -> None:
        """A dump that no restore would take is worth no archive, even when pg_dump is content."""
        try:
            look(*chunk)
        except Unreadable as exc:
            raise DumpFailed(f"The dump holds {exc}.", hint=f"Nothing was stored. {UNREADABLE}") from None
        except Unfit as exc:
            raise DumpFailed(
                f"The dump holds {exc}, which cannot be restored in one transaction.",
                hint="Nothing was stored. Check that pg_dump is PostgreSQL's own; then please report this.",
            ) from None

    async def _copy(self, source: int, out: Outlet[bytes]) -> DumpCheck:
        check = DumpCheck()

        def take() -> bytes | None:
            """Read and look in one hop."""
            if chunk := _read(source):
                self._look(check.feed, chunk)
            return chunk

        while True:
            await anyio.wait_readable(source)
            chunk = await in_thread(take)
            if chunk:
                self.report.bytes += len(chunk)
                await out.send(chunk)
            elif chunk is not None:
                return check

    def _failure(self, status: int, said: str) -> DatabaseError:
        if is_connection_failure(said):
            return login_error(self.settings, said)
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        lines = [line.removeprefix("pg_dump: ") for line in said.splitlines() if line.strip()]
        what = next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "it gave no reason")
        hint = "Nothing was stored. Check the server's log; then try again."
        if reason := _SERVER_SAID.search(said):
            what = reason.group(1)
        if "invalid byte sequence" in said:
            hint = "The database holds text that is not UTF-8, as SQL_ASCII allows: repair those rows, or convert it."
        if "out of shared memory" in said:
            hint = "Raise max_locks_per_transaction on the server: a dump locks every table at once."
        if "LOCK TABLE" in said and "timeout" in said:
            what, hint = (
                f"a table is locked, for {self.settings.lock_timeout:g} seconds now",
                f"Nothing was stored. {LOCKED}",
            )
        return DumpFailed(f"pg_dump {how}: {what.removeprefix('error: ')}.", hint=hint)


def _read(source: int) -> bytes | None:
    """The next chunk: what there is and what comes soon; empty at the end, None when there is nothing after all.

    It takes ``PAUSES`` pauses at most, whatever comes: nobody can cancel a thread.
    """
    parts: list[bytes] = []
    size = pauses = 0
    while True:
        try:
            data = os.read(source, MAX_CHUNK - size)
        except BlockingIOError:
            pass
        else:
            if not data:
                return b"".join(parts)
            parts.append(data)
            size += len(data)
        if size >= GATHER or pauses == PAUSES:
            return b"".join(parts) or None
        pauses += 1
        time.sleep(PAUSE)
