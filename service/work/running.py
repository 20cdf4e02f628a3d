"""One job while it runs: how far it is, whether it is to end, and a watch over its control database."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from ...stages.errors import KleidiaError

if TYPE_CHECKING:
    from ...pipeline.report import BackupReport, Progress, RestoreReport
    from ..control.jobs import Job, Jobs
    from ..service_settings import Intervals

#: The members of ``Progress`` that are kept, besides the phase.
_KEPT = ("seconds", "sql_bytes", "sql_total", "secrets", "secrets_total", "archive_bytes", "archive_total")


@dataclass(eq=False)
class Running:
    """A job of this replica. ``reason`` is why it is to end, as its error will say."""

    job: Job
    replica: str
    last: Progress | None = None
    reason: str = ""
    alive: float = field(default_factory=monotonic)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def phase(self) -> str | None:
        """What it does at the moment."""
        return self.last.phase if self.last else None

    def see(self, progress: Progress) -> None:
        """Take note of how far it is."""
        self.last = progress
        self._end()

    def cancel(self, reason: str) -> None:
        """End it, for the first reason given; one that commits ends after that, for it cannot be taken back."""
        self.reason = self.reason or reason
        self._end()

    def _end(self) -> None:
        if self.reason and self.phase != "commit":
            self.scope.cancel()

    def progress(self) -> dict[str, Any]:
        """How far it is, as its row says it."""
        return {name: getattr(self.last, name) for name in _KEPT} if self.last else {}

    def done(self, report: BackupReport | RestoreReport) -> dict[str, Any]:
        """What was done, once it is: every total is what it became. A part that was left alone has none."""
        only = self.job.options.get("only") or self.job.backup_type
        return {
            "seconds": report.seconds["total"],
            "sql_bytes": report.sql_bytes,
            "sql_total": None if only == "vault" else report.sql_bytes,
            "secrets": report.secrets,
            "secrets_total": None if only == "database" else report.secrets,
            "archive_bytes": report.size,
            "archive_total": report.size,
        }

    async def watch(self, jobs: Jobs, intervals: Intervals) -> None:
        """Write the progress and ask whether to go on, until cancelled.

        A job that cannot do so for ``dead`` seconds ends itself: by then others count it as dead, and may begin the
        next one. What waits for a database that does not answer cannot look at the clock, hence two tasks.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beats, jobs, intervals.beat)
            while True:
                await anyio.sleep(intervals.beat)
                if monotonic() - self.alive > intervals.dead:
                    self.cancel(f"The control database could not be reached for {intervals.dead:.0f} seconds.")

    async def _beats(self, jobs: Jobs, every: float) -> None:
        log = structlog.get_logger("kleidia_backup.job")
        while True:
            try:
                order = await jobs.beat(self.job.id, self.replica, self.phase, self.progress())
                if order == "cancel":
                    asked = await jobs.get(self.job.id)
                    self.cancel(f"Cancelled by {asked.cancelled_by if asked else 'somebody'}.")
            except KleidiaError as exc:
                log.warning("progress could not be written", error=exc.message)
            else:
                self.alive = monotonic()
                if order == "lost":
                    self.cancel("Another replica has given it up.")
            await anyio.sleep(every)
