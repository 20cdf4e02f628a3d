"""What the command does, written into the control database where there is one: as a job, and in the audit log.

A backup, a restore and an undo take the target's one place among jobs, as a job of the service does: so neither begins
while the other changes what the other reads. A backup beside other jobs that are no restore, a verification and a drill
harm nobody: they are written down when they end. No command fails because the database is away; it says that it is
unrecorded.
"""

from __future__ import annotations

import os
import secrets as random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import anyio

from ...pipeline.archives.listing import line_of
from ...pipeline.archives.opening import full_name
from ...stages.errors import Busy, DatabaseUnreachable, KleidiaError

if TYPE_CHECKING:
    from argparse import Namespace

    from ...config.reader import Config
    from ...pipeline.reports.jobs import Progress
    from ...stages.stores.base import StoreSettings
    from ..console.terminal import Terminal
    from .control import Records

T = TypeVar("T")

#: Seconds for writing what was done, once it is.
_LAST_WORDS = 30.0


def configured(config: Config) -> bool:
    """Whether there is a control database at all: with [service] there is."""
    return "service" in config.sections


@dataclass(frozen=True, slots=True)
class Entry:
    """Something for the audit log that is no job: the action, the archive's full name, details."""

    action: str
    archive: str
    details: str = ""


@dataclass
class History:
    """The record of one command. ``limit`` is the seconds that a job may take; ``stop`` ends it, as a signal would."""

    given: Namespace
    config: Config
    terminal: Terminal = field(repr=False)
    limit: float
    stop: Callable[[], object] = field(repr=False)
    last: Progress | None = field(default=None, repr=False)
    runner: str = field(default_factory=lambda: f"command {socket.gethostname()}:{os.getpid()}:{random.token_hex(4)}")
    _why: str = ""

    async def job(self, work: Callable[[], Awaitable[T]], store: Callable[[], StoreSettings]) -> T:
        """Do the command's ``work`` as a job. Raises what it raises, and ``Busy`` when it may not begin."""
        async with AsyncExitStack() as stack:
            records = await self._opened(stack)
            if records is None:
                made = await work()
                self._told(recorded=False)
                return made
            from .control import actor
            from .ending import new_job
            from .running import RecordedJob

            name = None if getattr(self.given, "undo", False) else self.given.name
            archive = None if name is None else full_name(store(), name)
            looks = self.given.command in {"verify", "drill"} and archive is not None
            found = await line_of(store(), archive) if looks and archive else None
            job = RecordedJob(self, records, new_job(self.given, archive, found, actor()), found)
            try:
                return await job.run(work)
            finally:
                self._told()

    async def refuse_used(self, archive: str, store: StoreSettings) -> None:
        """Raise ``Busy`` when a job uses an archive, as far as the control database can be asked."""
        if not configured(self.config):
            return
        from .control import open_records

        async with AsyncExitStack() as stack:
            try:
                records = await stack.enter_async_context(open_records(self.config, writes=False))
                running = await records.jobs.running()
            except KleidiaError:
                return  # which is said when it cannot be recorded
            for job in running:
                if job.archive and full_name(store, job.archive) == archive:
                    raise Busy(f"Job {job.id} uses this archive.", hint="Wait until it ended, or cancel it.")

    async def entries(self, entries: Sequence[Entry]) -> None:
        """Write into the audit log what was done. Raises nothing of ours."""
        if not entries:
            return
        written = False
        with anyio.move_on_after(_LAST_WORDS, shield=True) as scope:
            async with AsyncExitStack() as stack:
                records = await self._opened(stack)
                if records is not None:
                    await self._write(records, entries)
                    written = True
        if scope.cancelled_caught and not written:
            self.unrecorded(DatabaseUnreachable(f"It did not answer within {_LAST_WORDS:g} s."))
        self._told(recorded=written)

    async def _write(self, records: Records, entries: Sequence[Entry]) -> None:
        from ...service.control.audit import AuditEntry
        from .control import actor

        try:
            for each in entries:
                said = AuditEntry.by(actor(), each.action, archive=each.archive, details=each.details)
                await records.audit.write(said)
        except KleidiaError as exc:
            self.unrecorded(exc)

    async def _opened(self, stack: AsyncExitStack) -> Records | None:
        if not configured(self.config):
            if (log := self.terminal.log()) is not None:
                log.info("not recorded: no control database is configured (section [service])")
            return None
        from .control import open_records

        try:
            return await stack.enter_async_context(open_records(self.config, writes=True))
        except KleidiaError as exc:
            self.unrecorded(exc)
            return None

    def unrecorded(self, error: KleidiaError) -> None:
        """Say once that the control database does not have this, and why."""
        if not self._why:
            self._why = error.message
            self.terminal.warn(f"This is not recorded in the control database: {error.message} {error.hint}".rstrip())

    def _told(self, *, recorded: bool = True) -> None:
        self.terminal.notes["recorded"] = recorded and not self._why
