"""Buries jobs whose replica died or that run for too long, so that the next one can run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from .ending import end

if TYPE_CHECKING:
    from ..control.audit import Audit
    from ..control.database import Control
    from ..control.jobs import Job, Jobs
    from ..control.secrets import ServiceSecrets
    from ..service_settings import ServiceSettings
    from .queue import Queue


class Reaper:
    """Every replica has one; it looks after the jobs of its target, whoever ran them."""

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
        """Look once: fail what is dead or stale, unblock the queue, deliver what never reached it.

        Raises what ``Control.connection`` raises.
        """
        limit = self._config.job_timeout + self._config.intervals.margin
        for job in await self._jobs.abandoned(self._config.intervals.dead, limit):
            await self._bury(job, limit)
        await self._queue.sweep()
        await self._queue.deliver()

    async def _bury(self, job: Job, limit: float) -> None:
        error, hint = _epitaph(job, limit)
        ended = await end(
            self._control,
            self._jobs,
            self._audit,
            lambda c: self._jobs.fail(job.id, error, hint, job.replica, connection=c),
        )
        if ended is None:  # it ended by itself, or another replica was faster
            return
        self._log.error("job failed", job=job.id, error=error)
        await self._secrets.drop(job.own_password)


def _epitaph(job: Job, limit: float) -> tuple[str, str]:
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
    if job.started_at and datetime.now(UTC) - job.started_at > timedelta(seconds=limit):
        return f"Stale: it ran for more than {hours}.", hint
    return f"The replica that ran it ({job.replica}) died, or lost the control database.", hint
