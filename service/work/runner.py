"""Runs one job: settings, engine, progress, cancellation, and an end that is always written."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from ...pipeline.backup import backup
from ...pipeline.restore import restore
from ...stages.errors import ConfigurationError, DatabaseError, KleidiaError, VaultError
from .. import words
from .aftermath import follow_up
from .ending import end
from .engine_log import EngineLog
from .running import Running

if TYPE_CHECKING:
    from ...pipeline.report import BackupReport, RestoreReport
    from ..control.audit import Audit
    from ..control.database import Connection, Control
    from ..control.jobs import Job, Jobs
    from ..control.secrets import ServiceSecrets
    from ..control.settings import SettingsStore
    from ..service_settings import ServiceSettings

#: Seconds for which the end of a job is tried to be written, and between two attempts.
_PATIENCE, _AGAIN = 300.0, 1.0


@dataclass(eq=False)
class Outcome:
    """What became of a job: a report, or an error with its next step."""

    report: BackupReport | RestoreReport | None = None
    error: str = ""
    hint: str = ""
    warnings: list[str] = field(default_factory=list)


class Runner:
    """Runs the jobs of this replica, one at a time."""

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
    ) -> None:
        self._config = config
        self._replica = replica
        self._control, self._jobs, self._audit = control, jobs, audit
        self._settings, self._secrets = settings, secrets
        self._running: Running | None = None
        self._stopped = ""

    def stop(self, reason: str) -> None:
        """End the running job, and whatever else begins, for this reason."""
        self._stopped = reason
        if self._running:
            self._running.cancel(reason)

    async def run(self, job_id: int) -> None:
        """Run a job, unless it is not pending any more. Raises only what the control database does."""
        job = await self._jobs.start(job_id, self._replica)
        if job is None:
            return
        with structlog.contextvars.bound_contextvars(job=job.id, target=job.target):
            log = structlog.get_logger("kleidia_backup.job")
            log.info("job started", kind=job.kind, type=job.backup_type, requested_by=job.requested_by_name)
            running = self._running = Running(job, self._replica)
            try:
                if self._stopped:
                    running.cancel(self._stopped)
                outcome = await self._watched(running, log)
            finally:
                self._running = None
            await self._end(running, outcome, log)

    async def _watched(self, running: Running, log: Any) -> Outcome:
        outcome = Outcome()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.watch, self._jobs, self._config.intervals)
            try:
                with running.scope:
                    if running.job.kind == "backup":
                        made = outcome.report = await self._back_up(running, log)
                        outcome.warnings += made.warnings
                        outcome.warnings += await follow_up(
                            running.job, made, jobs=self._jobs, settings=self._settings, audit=self._audit, log=log
                        )
                    else:
                        await self._restore(running, outcome, log)
            except KleidiaError as exc:
                outcome.error, outcome.hint = exc.message, self._placed(exc.hint)
            except Exception as exc:
                log.exception("job failed in a way nobody expected")
                outcome.error = f"The job failed in a way nobody expected: {type(exc).__name__}."
                outcome.hint = "Please report this, with the service's log."
            tasks.cancel_scope.cancel()
        if outcome.report is None and running.reason:
            outcome.error = f"{running.reason} {outcome.error or _left(running)}".strip()
            outcome.hint = outcome.hint or "Start it again when it suits."
        return outcome

    def _placed(self, hint: str) -> str:
        """A next step, and where it is taken: the journal of a restore is on the machine that ran it.

        So no request can undo one: the queue would give the job to whichever replica is free.
        """
        if "`kleidia-backup restore --" not in hint:
            return hint
        return f"{hint} Do so where the replica {self._replica} ran, with its configuration and its state directory."

    async def _back_up(self, running: Running, log: Any) -> BackupReport:
        """Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through."""
        job, config = running.job, self._config
        wanted = await self._settings.current()
        if config.database is None and job.backup_type == "database":  # a full one has whatever there is
            raise ConfigurationError(
                "There is no database to back up.", hint="Configure [database], or back up the vault alone."
            )
        return await backup(
            store=await self._settings.store(),
            password=await self._settings.password(),
            database=config.database if job.backup_type != "vault" else None,
            vault=config.vault if job.backup_type != "database" else None,
            include_audit=job.options.get("include_audit", wanted.include_audit_logs),
            part_size=config.part_size,
            on_progress=running.see,
            log=EngineLog(log),
            timeout=config.job_timeout,
        )

    async def _restore(self, running: Running, outcome: Outcome, log: Any) -> None:
        """Likewise. A vault that does not take the service's own secrets back makes no restore undone."""
        job, config = running.job, self._config
        assert job.archive is not None
        password, store = await self._password(job), await self._settings.store()
        try:
            async with self._secrets.kept():
                outcome.report = await restore(
                    job.archive,
                    store=store,
                    password=password,
                    database=config.database,
                    vault=config.vault,
                    only=job.options.get("only"),
                    prune=bool(job.options.get("prune")),
                    state=config.state,
                    on_progress=running.see,
                    log=EngineLog(log),
                    timeout=config.job_timeout,
                )
                outcome.warnings += outcome.report.warnings
        except VaultError as exc:
            if outcome.report is None:
                raise
            outcome.warnings.append(f"The service's own secrets may be those of the archive: {exc.message}")

    async def _password(self, job: Job) -> str:
        """The password of a restore: its own, if it was given one, else the stored one."""
        if job.own_password is None:
            return await self._settings.password()
        password = await self._secrets.take(job.own_password)
        if password is None:
            raise ConfigurationError(
                "The password that was given for this restore is gone.", hint="Start the restore again."
            )
        return password

    async def _end(self, running: Running, outcome: Outcome, log: Any) -> None:
        """Write what became of it, and try for a while when the database is away."""
        deadline = monotonic() + _PATIENCE
        while True:
            try:
                ended = await end(self._control, self._jobs, self._audit, lambda c: self._settle(running, outcome, c))
                break
            except DatabaseError as exc:
                if monotonic() > deadline:
                    log.exception("the end of the job could not be written", error=exc.message)
                    return
                log.warning("the end of the job could not be written yet", error=exc.message)
                await anyio.sleep(_AGAIN)
        await self._secrets.drop(running.job.own_password)
        if ended is None:
            log.error("job ended after another replica gave it up", completed=outcome.report is not None)
        elif outcome.report is not None:
            log.info(
                "job completed", archive=ended.archive, size=ended.size, seconds=ended.duration, warnings=ended.warnings
            )
        else:
            log.error("job failed", error=outcome.error, hint=outcome.hint)

    async def _settle(self, running: Running, outcome: Outcome, connection: Connection) -> Job | None:
        job, report = running.job, outcome.report
        phase, progress = (running.phase, running.progress()) if report is None else (None, running.done(report))
        await self._jobs.beat(job.id, self._replica, phase, progress, connection)
        if report is None:
            return await self._jobs.fail(job.id, outcome.error, outcome.hint, self._replica, connection)
        values = {name: value for name, value in words.as_json(report).items() if name != "stages"}
        checksum = getattr(report, "checksum", None) or report.header.checksum  # type: ignore[union-attr]
        return await self._jobs.complete(
            job.id, self._replica, report.name, report.size, checksum, outcome.warnings, values, connection
        )


def _left(running: Running) -> str:
    """What a job that was ended leaves behind, when cleaning up had nothing to say."""
    if running.job.kind == "backup":
        return "No archive was made, and nothing is left in the store."
    if running.phase == "prune":
        return "The restore is complete. Secrets that the archive does not have were being removed."
    return "The database and the secrets are as before."
