"""The service put together: its control tables, its queue, and what runs by itself beside it."""

from __future__ import annotations

import os
import secrets as random
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import anyio

from .control.audit import Audit, AuditEntry
from .control.changes import Changes
from .control.database import Control
from .control.jobs import Jobs
from .control.limits import Limits
from .control.schedule import Schedule
from .control.secrets import ServiceSecrets
from .control.settings import SettingsStore
from .work.beside import repeated
from .work.ending import entry_of
from .work.queue import Queue
from .work.reaper import Reaper
from .work.runner import Runner
from .work.ticker import Ticker

if TYPE_CHECKING:
    from types import TracebackType

    from .control.audit import Actor, ApplicationAudit
    from .control.jobs import Job, NewJob
    from .service_settings import ServiceSettings


#: Connections for what runs by itself: the progress of the job, the reaper, and one to spare.
_BESIDE = 3


class Service:
    """A replica of the service. Entering it brings the control tables up to date and starts what runs by itself.

    ``application_audit`` receives every entry of the audit log as well. Several replicas on one control database share
    its work. Leaving it waits for a running job as long as ``grace`` says, then cancels it cleanly.

    Raises the tree in ``kleidia_backup.stages.errors`` when a part of it cannot start.
    """

    def __init__(self, config: ServiceSettings, *, application_audit: ApplicationAudit | None = None) -> None:
        self.config = config
        self.target = config.target
        self.replica = f"{socket.gethostname()}:{os.getpid()}:{random.token_hex(4)}"
        self.control = Control(config.control)
        self.changes = Changes()
        self.jobs = Jobs(self.control, self.target, self.changes)
        self.audit = Audit(self.control, self.target, application_audit)
        self.secrets = ServiceSecrets(config.vault, config.secrets_mount, config.secrets_path)
        self.settings = SettingsStore(
            self.control,
            self.secrets,
            self.audit,
            self.target,
            store=config.store,
            include_audit_logs=config.include_audit_logs,
            password=config.password,
        )
        self.limits = Limits(self.control, self.target)
        self.schedule = Schedule(self.control)
        # What runs by itself has connections of its own: a job whose progress waits behind a crowd of requests would
        # count as dead.
        self._beside = Control(config.control, connections=_BESIDE)
        jobs = Jobs(self._beside, self.target, self.changes)
        audit = Audit(self._beside, self.target, application_audit)
        self.runner = Runner(
            config,
            replica=self.replica,
            control=self._beside,
            jobs=jobs,
            audit=audit,
            settings=self.settings,
            secrets=self.secrets,
        )
        self.queue = Queue(
            self._beside,
            jobs,
            self.target,
            run=self.runner.run,
            stop=self.runner.stop,
            intervals=config.intervals,
            grace=config.grace,
        )
        self.reaper = Reaper(
            config, control=self._beside, jobs=jobs, audit=audit, secrets=self.secrets, queue=self.queue
        )
        self.ticker = Ticker(self.schedule, self.settings, self.jobs, self.target, fired=self._fired)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        every = self.config.intervals
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.control)
            await stack.enter_async_context(self._beside)
            await self.reaper.sweep()  # before this replica takes a job: what is stale says so from the start
            await stack.enter_async_context(self.queue)
            await stack.enter_async_context(repeated("reaper", every.reap, self.reaper.sweep))
            await stack.enter_async_context(repeated("ticker", every.tick, self.ticker.tick))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _fired(self, job: Job) -> None:
        self.changes.note()
        await self.queue.defer(job.id)

    async def submit(self, new: NewJob, password: str | None = None) -> Job:
        """Ask for a job; it starts as soon as a replica is free. A restore may have a ``password`` of its own.

        Raises ``Busy`` when the target has a job, and what ``Control.connection`` and ``ServiceSecrets`` raise.
        """
        # Kept before there is a job: as soon as there is one, any replica may run it.
        kept = None if password is None else await self.secrets.keep(password)
        try:
            job = await self.jobs.create(
                new if kept is None else replace(new, options={**new.options, "own_password": kept})
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.secrets.drop(kept)
            raise
        await self.queue.defer(job.id)
        return job

    async def cancel(self, job_id: int, by: Actor) -> Job | None:
        """Ask for the end of a job, which comes within seconds. None when there is no such job, or it has ended.

        Raises what ``Control.connection`` raises.
        """
        async with self.control.connection() as connection, connection.transaction():
            job = await self.jobs.request_cancel(job_id, by.user_name, connection)
            if job is None:
                return None
            entries = [AuditEntry.by(by, "job.cancelled", job_id=job.id, backup_type=job.backup_type)]
            entries += [] if job.active else [entry_of(job)]
            written = [await self.audit.insert(entry, connection) for entry in entries]
        self.changes.note()
        for entry in written:
            await self.audit.tell(entry)
        if not job.active:  # it waited, and no replica will come for its password
            await self.secrets.drop(job.own_password)
        return job
