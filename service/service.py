"""The service: its control tables, its queue and its background work."""

from __future__ import annotations

import os
import secrets as random
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import structlog

from ..config.drills.scratch import configured_scratch
from ..config.password import PasswordPlace
from ..notify.channels import channels
from ..stages.errors import ConfigurationError, VaultError
from .control.audit import Actor, ApplicationAudit, Audit, AuditEntry
from .control.chain.append import AuditChain
from .control.changes import Changes
from .control.copies.runs import CopyRuns
from .control.copies.states import CopyStates
from .control.database import Control
from .control.jobs import Job, Jobs, NewJob
from .control.limits import Limits
from .control.outbox import Outbox
from .control.proofs.verifications import Verifications
from .control.schedule import Schedule
from .control.secrets import ServiceSecrets
from .control.settings import SettingsStore
from .control.views.inspections import Inspections
from .control.views.unfinished import UnfinishedRestores
from .work.completion import audit_entry
from .work.copying.copier import Copier
from .work.inspecting import Inspector
from .work.notices.notifier import Notifier
from .work.notices.telling import Teller
from .work.passwords import stored_password
from .work.periodic import every
from .work.queue import OneTarget, Queue
from .work.reaper import Reaper
from .work.runner import Runner
from .work.ticker import Ticker
from .work.undo.ending import ends
from .work.undo.places import Places, finish

if TYPE_CHECKING:
    from datetime import datetime

    from ..config.service import ServiceSettings
    from ..pipeline.drills.asked import ScratchMaker


def replica_name() -> str:
    """A name that no other replica has had or will have."""
    return f"{socket.gethostname()}:{os.getpid()}:{random.token_hex(4)}"


def _scratch(config: ServiceSettings) -> ScratchMaker | None:
    """What drills restore to where nobody says it."""
    if config.drill.target != "configured":
        return None
    return configured_scratch(config.drill, config.database, config.vault)


def _password(config: ServiceSettings) -> str | Callable[[], Awaitable[str]] | None:
    place = config.password
    return partial(place.read, config.vault) if isinstance(place, PasswordPlace) else place


#: Connections for what runs by itself: the progress of the job, the reaper, and one to spare.
BACKGROUND = 3
#: Seconds between two attempts to get the key of the audit log's chain.
CHAIN = 30.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What the targets of one replica have in common (``service/targets``)."""

    replica: str
    control: Control
    background: Control
    changes: Changes
    queue: Queue


class Service:
    """A replica of the service. Entering it brings the control tables up to date and starts what runs by itself.

    ``application_audit`` receives every entry of the audit log as well. ``scratch`` makes what drills restore to, such
    as ``demo.scratch.embedded``; without it they need ``target = "configured"`` in [drill]. Several replicas on one
    control database share its work. Leaving it waits for a running job as long as ``grace`` says, then cancels it
    cleanly.

    With ``shared`` it is one of several targets of a replica: what runs by itself is the replica's, and this is never
    entered. ``now`` is the clock of the schedules, None: the database's.

    Raises the tree in ``kleidia_backup.stages.errors`` when a part of it cannot start.
    """

    def __init__(
        self,
        config: ServiceSettings,
        *,
        application_audit: ApplicationAudit | None = None,
        scratch: ScratchMaker | None = None,
        shared: Shared | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.config = config
        self.target = config.target
        self.replica = shared.replica if shared else replica_name()
        self.control = shared.control if shared else Control(config.control)
        self.changes = shared.changes if shared else Changes()
        self.jobs = Jobs(self.control, self.target, self.changes)
        self.outbox = Outbox(self.control, self.target, () if config.notify is None else channels(config.notify))
        teller = Teller(self.control, self.jobs, self.outbox, self.target)
        self.secrets = ServiceSecrets(config.vault, config.secrets_mount, config.secrets_path)
        self.chain = AuditChain(self.control, self.secrets, self.target)
        self.audit = Audit(self.control, self.target, application_audit, self.chain, teller.audited)
        self.settings = SettingsStore(
            self.control,
            self.secrets,
            self.audit,
            self.target,
            store=config.store,
            include_audit_logs=config.include_audit_logs,
            format=config.format,
            retention=config.retention,
            password=_password(config),
            schedule=config.schedule.fields(),
            allowed_endpoints=config.allowed_endpoints,
            passwords_in_requests=config.passwords_in_requests,
        )
        self.limits = Limits(self.control, self.target)
        self.schedule = Schedule(self.control)
        self.verifications = Verifications(self.control, self.target)
        self.inspections = Inspections(self.control, self.target)
        self.inspector = Inspector(config, self.inspections, self.settings, self.audit)
        # Background work has its own connections: a heartbeat that waits behind many requests would make its job look
        # dead.
        self._background = shared.background if shared else Control(config.control, connections=BACKGROUND)
        jobs = Jobs(self._background, self.target, self.changes)
        audit = Audit(self._background, self.target, application_audit, self.chain, teller.audited)
        rows = UnfinishedRestores(self._background, config.intervals.dead)
        self.places = Places(self._background, rows, self.replica)
        self.unfinished = UnfinishedRestores(self.control, config.intervals.dead)
        self.runner = Runner(
            config,
            replica=self.replica,
            control=self._background,
            jobs=jobs,
            audit=audit,
            settings=self.settings,
            secrets=self.secrets,
            begun=teller.begun,
            verifications=Verifications(self._background, self.target),
            scratch=scratch or _scratch(config),
            places=self.places,
        )
        self.queue = (
            shared.queue
            if shared
            else Queue(
                self._background,
                OneTarget(self.target),
                run=self.runner.run,
                stop=self.runner.stop,
                intervals=config.intervals,
                grace=config.grace,
                most=2,  # one that writes, one that reads
            )
        )
        self.reaper = Reaper(
            config, control=self._background, jobs=jobs, audit=audit, secrets=self.secrets, queue=self.queue
        )
        self.ticker = Ticker(
            self.schedule, self.settings, self.jobs, self.target, fired=self._fired, missed=teller.missed, now=now
        )
        self.notifier = Notifier(self.outbox, self.target)
        self.copy_runs, self.copy_states = CopyRuns(self.control, self.target), CopyStates(self.control, self.target)
        self.copier = Copier(
            config,
            replica=self.replica,
            control=self._background,
            runs=CopyRuns(self._background, self.target),
            states=CopyStates(self._background, self.target),
            verifications=Verifications(self._background, self.target),
            store=self.settings.store,
            tell=teller.copies,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        intervals = self.config.intervals
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.control)
            await stack.enter_async_context(self._background)
            stack.push_async_callback(self.inspector.close)
            await self.begin()
            await self.chain.try_to_begin()
            await self.copier.register()
            await stack.enter_async_context(self.queue)
            await self.reaper.sweep()  # before this replica takes a job
            await self.places.look([self.config])
            self.queue.begin()
            await stack.enter_async_context(every("reaper", intervals.reap, self.reaper.sweep))
            await stack.enter_async_context(every("unfinished", intervals.reap, self._look_for_unfinished))
            await stack.enter_async_context(every("audit", CHAIN, self.chain.begin))
            await stack.enter_async_context(every("ticker", intervals.tick, self.ticker.tick))
            await stack.enter_async_context(every("notifier", intervals.tick, self.notifier.tick))
            await stack.enter_async_context(every("copies", intervals.tick, self.copier.tick))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _look_for_unfinished(self) -> None:
        await self.places.look([self.config])
        for _, job in await self.places.waiting([self.config]):
            await finish(self.runner.run, self.runner.cancel, job)

    async def begin(self) -> None:
        """Read the settings once. An unreachable vault is asked again when needed."""
        log = structlog.get_logger("kleidia_backup.settings")
        try:
            settings, _ = await self.settings.get()
        except VaultError as exc:
            log.warning("the secrets among the settings cannot be read", error=exc.message, hint=exc.hint)
        else:
            if self.config.keys.password_slot and not settings.has_encryption_password:
                log.warning("no encryption password is set: there will be no backups until PUT /api/backup/settings")

    async def _fired(self, job: Job) -> None:
        self.changes.add()
        await self.queue.defer(job.id, job.target, kind=job.kind)

    async def submit(self, new: NewJob, password: str | None = None) -> Job:
        """Ask for a job; it starts as soon as a replica is free. Who reads an archive may give its ``password``.

        Raises ``ConfigurationError`` when it could only fail for lack of a store, of an encryption password that it
        needs or of servers for a drill, ``Busy`` when the target has a job, and what ``Control.connection`` and
        ``ServiceSecrets`` raise.
        """
        if new.kind == "backup":
            await self.settings.store()
        if password is not None:
            self.settings.check_requests_password()
        ending = ends(new.options)
        if new.kind in {"restore", "drill"} and not ending:  # a drill runs an archive's SQL as well, on servers of ours
            await self.settings.check_restore(own=password is not None)
        if new.kind == "drill":
            self.runner.scratch()
        if password is None and not ending:
            await stored_password(new.kind, self.settings, self.config.keys)
        if new.options.get("backup_first"):
            try:
                await stored_password("backup", self.settings, self.config.keys)
            except ConfigurationError as exc:
                exc.hint = f"{exc.hint} Or restore without a backup of what is there first (backup_first)."
                raise
        # StoredSecret before there is a job: as soon as there is one, any replica may run it.
        kept = None if password is None else await self.secrets.store_password(password)
        try:
            job = await self.jobs.create(
                new if kept is None else replace(new, options={**new.options, "own_password": kept})
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.secrets.drop_password(kept)
            raise
        await self.queue.defer(job.id, job.target, kind=job.kind)
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
            entries += [] if job.active else [audit_entry(job)]
            written = [await self.audit.insert(entry, connection) for entry in entries]
        self.changes.add()
        for entry in written:
            await self.audit.notify(entry)
        if not job.active:  # it waited, and no replica will come for its password
            await self.secrets.drop_password(job.own_password)
        return job
