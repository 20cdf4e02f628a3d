"""Runs one job: settings, engine, progress, cancellation, and an end that is always written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from ...pipeline.backup import run_backup
from ...pipeline.reports import words
from ...pipeline.reports.jobs import BackupReport
from ...pipeline.reports.stopped import left_by
from ...pipeline.restore import run_restore
from ...pipeline.tables.restore import run_restore_tables
from ...pipeline.undo import look_at_state
from ...stages.errors import ConfigurationError, DatabaseError, KleidiaError, VaultThreshold
from ..control.copies.runs import CopyRuns
from .backing_up import backup_request
from .completion import end_job
from .passwords import stored_password
from .post_backup import follow_up
from .proofs.drilling import drill_archive
from .proofs.verifying import Judged, chosen, type_of, verify_archive
from .restoring import make_fresh, restore_request, store_of, tables_request
from .running import RunningJob
from .undo.ending import Ended, end_unfinished, ends

if TYPE_CHECKING:
    from ...config.service import ServiceSettings
    from ...pipeline.drills.asked import ScratchMaker
    from ...pipeline.reports.jobs import RestoreReport
    from ...pipeline.reports.tables import TablesReport
    from ..control.audit import Audit
    from ..control.database import Connection, Control
    from ..control.jobs import Job, Jobs
    from ..control.proofs.verifications import Verifications
    from ..control.secrets import ServiceSecrets
    from ..control.settings import SettingsStore
    from .undo.places import Places

#: Seconds for which the end of a job is tried to be written, and between two attempts.
_PATIENCE, _AGAIN = 300.0, 1.0


@dataclass(eq=False)
class Outcome:
    """What became of a job: a report, a verdict, the end of an unfinished restore, or an error with its next step."""

    report: BackupReport | RestoreReport | TablesReport | None = None
    judged: Judged | None = None
    ended: Ended | None = None
    error: str = ""
    hint: str = ""
    warnings: list[str] = field(default_factory=list)


class Runner:
    """Runs the jobs of this replica: one that writes, and one that reads.

    ``scratch`` makes what drills restore to; None: there are none.
    """

    def __init__(
        self,
        config: ServiceSettings,
        *,
        replica: str,
        control: Control,
        jobs: Jobs,
        audit: Audit,
        settings: SettingsStore,
        secrets: ServiceSecrets,
        begun: Callable[[Job], Awaitable[None]],
        verifications: Verifications,
        scratch: ScratchMaker | None,
        places: Places,
    ) -> None:
        self._config = config
        self._replica = replica
        self._control, self._jobs, self._audit = control, jobs, audit
        self._settings, self._secrets = settings, secrets
        self._begun, self.places = begun, places
        self._verifications, self._scratch = verifications, scratch
        self._running: list[RunningJob] = []
        self._stopped = ""

    def cancel(self, job_id: int, reason: str) -> None:
        """End one that runs."""
        for each in self._running:
            if each.job.id == job_id:
                each.cancel(reason)

    def stop(self, reason: str) -> None:
        """End what runs, and every later one, for this reason."""
        self._stopped = reason
        for each in self._running:
            each.cancel(reason)

    async def run(self, job_id: int) -> None:
        """Run a job, unless it is not pending any more. Raises only what the control database does."""
        waiting = await self._jobs.get(job_id)
        if waiting is not None and await self.places.elsewhere(waiting, self._config.state):
            return  # a replica that has the journal takes it
        job = await self._jobs.start(job_id, self._replica)
        if job is None:
            return
        with structlog.contextvars.bound_contextvars(job=job.id, target=job.target):
            log = structlog.get_logger("kleidia_backup.job")
            log.info("job started", kind=job.kind, type=job.backup_type, requested_by=job.requested_by_name)
            running = RunningJob(job, self._replica)
            self._running.append(running)
            try:
                await self._begun(job)
                if self._stopped:
                    running.cancel(self._stopped)
                outcome = await self._watched(running, log)
            finally:
                self._running.remove(running)
            await self._end(running, outcome, log)

    async def _watched(self, running: RunningJob, log: Any) -> Outcome:
        outcome = Outcome()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.watch, self._jobs, self._config.intervals)
            try:
                with running.scope:
                    if running.job.kind == "backup":
                        made = outcome.report = await self._back_up(running, log)
                        outcome.warnings += made.warnings
                        outcome.warnings += await follow_up(
                            running.job,
                            made,
                            jobs=self._jobs,
                            settings=self._settings,
                            verifications=self._verifications,
                            keys=self._config.keys,
                            audit=self._audit,
                            copies=CopyRuns(self._control, running.job.target),
                            log=log,
                        )
                    elif ends(running.job.options):
                        job, rows, config = running.job, self.places.unfinished, self._config
                        ended = await end_unfinished(job, self._jobs, rows, config, self._replica, running.update, log)
                        outcome.ended, outcome.warnings = ended, [*ended.warnings]
                    elif running.job.kind == "restore":
                        await self._restore(running, outcome, log)
                    else:
                        said = outcome.judged = await self._look(running, log)
                        outcome.error, outcome.hint = said.error, said.hint
            except KleidiaError as exc:
                outcome.error, outcome.hint = exc.summary, self._next_step(exc)
                if exc.said:  # a server's own text, which requests do not get to see
                    log.warning("what the server said", said=exc.said)
                if isinstance(exc, VaultThreshold):
                    _log_unwritten(log, exc.paths)
            except Exception as exc:
                log.exception("job failed in a way nobody expected")
                outcome.error = f"The job failed in a way nobody expected: {type(exc).__name__}."
                outcome.hint = "Please report this, with the service's log."
            tasks.cancel_scope.cancel()
        if running.reason and not any((outcome.report, outcome.judged, outcome.ended)):
            left = left_by(running.job.kind, running.phase, undoing=ends(running.job.options))
            outcome.error = f"{running.reason} {outcome.error or left.text}"
            outcome.hint = outcome.hint or "Start it again when it suits."
        return outcome

    def _next_step(self, error: KleidiaError) -> str:
        """A next step, and where it is taken: the journal of a restore is on the machine that ran it."""
        if not error.remedies:
            return error.hint
        return (
            f"{error.hint} Do so where the replica {self._replica} ran, with its configuration and its state "
            "directory, or by the page or the API, as long as a replica has that directory."
        )

    async def _back_up(self, running: RunningJob, log: Any) -> BackupReport:
        """Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through."""
        job, config = running.job, self._config
        wanted = await self._settings.current()
        if config.database is None and job.backup_type == "database":  # a full one has what is configured
            raise ConfigurationError(
                "There is no database to back up.", hint="Configure [database], or back up the vault alone."
            )
        request = backup_request(
            config,
            await self._settings.store(),
            await stored_password("backup", self._settings, config.keys),
            wanted,
            backup_type=job.backup_type,
            options=job.options,
        )
        return await run_backup(request, running.update, log)

    async def _restore(self, running: RunningJob, outcome: Outcome, log: Any) -> None:
        """Raises as ``_back_up``."""
        job, config = running.job, self._config
        await self._settings.check_restore(own=job.own_password is not None)  # they may have changed meanwhile
        password, store = await self._password(job), await self._settings.store()
        first = None
        if job.options.get("backup_first"):
            wanted = await self._settings.current()
            password_now = await stored_password("backup", self._settings, config.keys)
            first = backup_request(config, store, password_now, wanted)
        made: tuple[str, ...] = ()
        if job.options.get("tables"):
            some = tables_request(job, config, store, password, first)
            outcome.report = await run_restore_tables(some, running.update, log)
        else:
            await self.places.begin(job, config.state)
            request = restore_request(job, config, store, password, first)
            made = await make_fresh(request, job.options)
            outcome.report = restored = await run_restore(request, running.update, log)
            _log_unwritten(log, restored.failed)
        outcome.warnings += (*made, *outcome.report.warnings)

    async def _look(self, running: RunningJob, log: Any) -> Judged:
        """Verify or drill. Raises as ``_back_up``, for what keeps it from looking at an archive at all."""
        config = self._config
        if running.job.kind == "drill":
            await self._settings.check_restore(own=running.job.own_password is not None)
        password, store = await self._password(running.job), await self._settings.store()
        then = store_of(running.job, store, config)
        archive = await chosen(running.job, then, self._verifications)
        if running.job.archive is None:
            made = await self._jobs.choose(running.job.id, self._replica, archive.name, type_of(archive))
            running.job = made or running.job
        if running.job.kind == "verify":
            return await verify_archive(archive, config, then, password, running.update, log)
        scratch = self.scratch()
        return await drill_archive(running.job, archive, config, then, password, scratch, running.update, log)

    def scratch(self) -> ScratchMaker:
        """What drills restore to. Raises ``ConfigurationError`` where there is nothing."""
        if self._scratch is None:
            raise ConfigurationError(
                "There are no servers for drills here.",
                hint='Install the extra demo, which brings embedded ones, or set target = "configured" in [drill].',
            )
        return self._scratch

    async def _password(self, job: Job) -> str | None:
        """The password that opens an archive: the job's own, if it was given one, else the stored one."""
        if job.own_password is None:
            return await stored_password(job.kind, self._settings, self._config.keys)
        password = await self._secrets.take_password(job.own_password)
        if password is None:
            raise ConfigurationError(
                f"The password that was given for this {job.kind} is gone.", hint="Start it again."
            )
        return password

    async def _end(self, running: RunningJob, outcome: Outcome, log: Any) -> None:
        """Write what became of it, and try for a while when the database is away."""
        deadline = monotonic() + _PATIENCE
        job, state = running.job, self._config.state
        left = await look_at_state(state) if job.kind == "restore" else None

        async def settle(connection: Connection) -> Job | None:
            if left is not None:
                await self.places.settle(left, [self._config], connection, job)
            return await self._settle(running, outcome, connection)

        while True:
            try:
                ended = await end_job(self._control, self._jobs, self._audit, settle)
                break
            except DatabaseError as exc:
                if monotonic() > deadline:
                    log.exception("the end of the job could not be written", error=exc.message)
                    return
                log.warning("the end of the job could not be written yet", error=exc.message)
                await anyio.sleep(_AGAIN)
        await self._secrets.drop_password(running.job.own_password)
        if ended is None:
            log.error("job ended after another replica gave it up", completed=not outcome.error)
        elif ended.status == "completed":
            log.info(
                "job completed", archive=ended.archive, size=ended.size, seconds=ended.duration, warnings=ended.warnings
            )
        else:
            log.error("job failed", error=ended.error, hint=ended.hint)

    async def _settle(self, running: RunningJob, outcome: Outcome, connection: Connection) -> Job | None:
        if outcome.judged is not None:
            return await self._settle_judged(running, outcome.judged, connection)
        job, report = running.job, outcome.report
        if outcome.ended is not None:
            ended = outcome.ended
            await self._jobs.beat(job.id, self._replica, None, running.progress(), connection)
            return await self._jobs.complete(
                job.id, self._replica, ended.archive, None, None, outcome.warnings, ended.report, connection
            )
        phase, progress = (running.phase, running.progress()) if report is None else (None, running.done(report))
        await self._jobs.beat(job.id, self._replica, phase, progress, connection)
        if report is None:
            return await self._jobs.fail(job.id, outcome.error, outcome.hint, self._replica, connection)
        values = {name: value for name, value in words.as_json(report).items() if name != "stages"}
        checksum = report.checksum if isinstance(report, BackupReport) else report.header.checksum or None
        return await self._jobs.complete(
            job.id, self._replica, report.name, report.size, checksum, outcome.warnings, values, connection
        )

    async def _settle_judged(self, running: RunningJob, said: Judged, connection: Connection) -> Job | None:
        job, good = running.job, said.good
        progress = said.amounts.row() if good else running.progress()
        await self._jobs.beat(job.id, self._replica, None if good else running.phase, progress, connection)
        if good:
            size, checksum = said.archive.size, said.checksum or None
            values = (said.archive.name, size, checksum, said.warnings, said.report)
            ended = await self._jobs.complete(job.id, self._replica, *values, connection)
        else:
            ended = await self._jobs.fail(job.id, said.error, said.hint, self._replica, connection, said.report)
        if ended is not None:
            await self._verifications.insert(said.row(ended), connection)
        return ended


def _log_unwritten(log: Any, paths: tuple[str, ...]) -> None:
    """A line for each secret, in the words that are looked for (specification, OpenBao Secrets Partially Restored)."""
    for path in paths:
        log.warning("failed to write", path=path)
