"""One job while it runs: how far it is, whether it is to end, and a watch over its control database."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from ...pipeline.reports.jobs import Amounts, BackupReport, Phase, Progress, RestoreReport
from ...pipeline.reports.tables import TablesReport
from ...stages.errors import KleidiaError

if TYPE_CHECKING:
    from ...config.service import Intervals
    from ..control.jobs import Job, Jobs


@dataclass(eq=False)
class RunningJob:
    """A job of this replica. ``reason`` is why it is to end, as its error will say."""

    job: Job
    replica: str
    last: Progress | None = None
    reason: str = ""
    alive: float = field(default_factory=monotonic)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def phase(self) -> Phase | None:
        """What it does at the moment."""
        return self.last.phase if self.last else None

    def update(self, progress: Progress) -> None:
        """Remember how far it is."""
        self.last = progress
        self._end()

    def cancel(self, reason: str) -> None:
        """End it, for the first reason given; a restore that commits ends after that, for it cannot be taken back."""
        self.reason = self.reason or reason
        self._end()

    def _end(self) -> None:
        if self.reason and not (self.job.kind == "restore" and self.phase == "commit"):
            self.scope.cancel()

    def progress(self) -> dict[str, Any]:
        """How far it is, as its row says it."""
        return self.last.row() if self.last else {}

    def done(self, report: BackupReport | RestoreReport | TablesReport) -> dict[str, Any]:
        """What was done, once it is: every total is what it became. A part that was left alone has none."""
        if isinstance(report, TablesReport):
            read = report.archive_bytes
            return Amounts(seconds=report.seconds["total"], archive_bytes=read, archive_total=read).row()
        only = self.job.options.get("only") or self.job.backup_type
        return Amounts.of(report).without({"database": ["vault"], "vault": ["database"]}.get(only, [])).row()

    async def watch(self, jobs: Jobs, intervals: Intervals) -> None:
        """Write the progress and ask whether to go on, until cancelled.

        A job that cannot do so for ``dead`` seconds ends itself: by then others count it as dead, and may begin the
        next one. A task that waits for the database cannot watch the clock, hence two tasks.
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
