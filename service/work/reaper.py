"""Fails jobs whose replica died or that run for too long, so that the next one can run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from .completion import end_job

if TYPE_CHECKING:
    from ...config.service import ServiceSettings
    from ..control.audit import Audit
    from ..control.database import Control
    from ..control.jobs import Job, Jobs
    from ..control.secrets import ServiceSecrets
    from .queue import Queue


class Reaper:
    """Every replica has one; it checks the jobs of its target, whichever replica ran them."""

    def __init__(
        self,
        config: ServiceSettings,
        *,
        control: Control,
        jobs: Jobs,
        audit: Audit,
        secrets: ServiceSecrets,
        queue: Queue,
    ) -> None:
        self._config = config
        self._control, self._jobs, self._audit = control, jobs, audit
        self._secrets, self._queue = secrets, queue
        self._log = structlog.get_logger("kleidia_backup.reaper")

    async def sweep(self) -> None:
        """Check once: fail what is dead or stale, unblock the queue, deliver what never reached it.

        Raises what ``Control.connection`` raises.
        """
        await self.bury()
        await self._queue.sweep()
        await self._queue.deliver()

    async def bury(self) -> None:
        """Fail jobs of the target that are dead or stale. Raises what ``Control.connection`` raises."""
        limit = self._config.job_timeout + self._config.intervals.margin
        for job in await self._jobs.abandoned(self._config.intervals.dead, limit):
            await self._fail(job, limit)

    async def _fail(self, job: Job, limit: float) -> None:
        ended = await give_up(self._control, self._jobs, self._audit, job, limit)
        if ended is None:  # it ended by itself, or another replica was faster
            return
        self._log.error("job failed", job=job.id, error=ended.error)
        await self._secrets.drop_password(job.own_password)


async def give_up(control: Control, jobs: Jobs, audit: Audit, job: Job, limit: float) -> Job | None:
    """Let an abandoned job fail, and say so in the audit log; None when it has ended meanwhile.

    Raises what ``Control.connection`` raises.
    """
    error, hint = _error_of(job, limit)
    return await end_job(
        control, jobs, audit, lambda connection: jobs.fail(job.id, error, hint, job.replica, connection=connection)
    )


def _error_of(job: Job, limit: float) -> tuple[str, str]:
    """The error of a job that is given up, and its next step."""
    hours = f"{limit / 3600:.1f} hours" if limit >= 3600 else f"{limit:.0f} seconds"
    if job.status == "pending":
        return (
            f"It waited for more than {hours}, and no replica took it.",
            "Look whether a replica of the service runs; then start it again.",
        )
    hint = "Start it again."
    if job.kind == "restore":
        hint = (
            "If secrets were written, the next restore on that machine says so: `kleidia-backup restore --undo` there, "
            "with the service's configuration and state directory, puts them back. The database is as before, unless "
            "it was committing."
        )
    if job.kind == "drill":
        hint = (
            "Start it again. On configured servers (target in [drill]) the next drill drops the database "
            "kleidia_scratch_… that it left, and after two days the mount kleidia-drill-…"
        )
    if job.started_at and (datetime.now(UTC) - job.started_at).total_seconds() > limit:
        return f"Stale: it ran for more than {hours}.", hint
    return f"The replica that ran it ({job.replica}) died, or lost the control database.", hint
