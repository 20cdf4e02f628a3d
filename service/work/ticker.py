"""Fires the schedule: once for all replicas, also after the service was down.

Every replica ticks; the row of the target in ``schedules`` is locked by one of them at a time, and the jobs' table
takes one job for each moment that was due. A moment that was missed is made up for until the next one is due: so of
several missed, the last one runs, once. While the target has another job, it stays due and is tried again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from ...stages.errors import Busy
from ..control.audit import SYSTEM
from ..control.jobs import NewJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from ..control.backup_settings import BackupSettings
    from ..control.database import Connection
    from ..control.jobs import Job, Jobs
    from ..control.schedule import Schedule, ScheduleRow
    from ..control.settings import SettingsStore
    from .cron import Cron


class Ticker:
    """Looks whether a scheduled backup of ``target`` is due, as often as ``tick`` is called: every few seconds.

    ``now`` is the clock; None: the database's, which no replica disagrees about. ``fired`` is told of a new job when it
    is committed.
    """

    def __init__(
        self,
        schedule: Schedule,
        settings: SettingsStore,
        jobs: Jobs,
        target: str,
        *,
        fired: Callable[[Job], Awaitable[None]] | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._schedule = schedule
        self._settings = settings
        self._jobs = jobs
        self._target = target
        self._fired = fired
        self._now = now
        self._log = structlog.get_logger("kleidia_backup.ticker").bind(target=target)

    async def tick(self) -> Job | None:
        """Look once; the job that was made, if one was due and the target is free.

        Raises what ``Control.connection`` raises, and ``ConfigurationError`` for a schedule that became unusable.
        """
        job = None
        async with self._schedule.locked(self._target) as locked:
            if locked is not None:
                connection, row = locked
                settings = await self._settings.read(connection)  # after the lock: the newest, for every replica
                now = self._now() if self._now else await self._schedule.moment(connection)
                new, job = await self._look(row, settings, now, connection)
                if new != row:
                    await self._schedule.save(new, connection)
        if job is not None and self._fired is not None:
            await self._fired(job)
        return job

    async def _look(
        self, row: ScheduleRow, settings: BackupSettings, now: datetime, connection: Connection
    ) -> tuple[ScheduleRow, Job | None]:
        if not settings.schedule_enabled:
            return replace(row, next_due=None), None
        cron = settings.cron
        if row.next_due is None or (row.cron, row.timezone) != (cron.text, cron.timezone):
            fresh = replace(row, cron=cron.text, timezone=cron.timezone, next_due=cron.after(now))
            return fresh, None  # a new schedule does not begin with what it would have done before
        if now < row.next_due:
            return row, None
        return await self._fire(row, cron, now, connection)

    async def _fire(
        self, row: ScheduleRow, cron: Cron, now: datetime, connection: Connection
    ) -> tuple[ScheduleRow, Job | None]:
        due = cron.before(now)
        if due != row.next_due:
            self._log.warning("missed more than a period ago, not made up for", due=str(row.next_due), instead=str(due))
            row = replace(row, next_due=due)
        following = replace(row, next_due=cron.after(now))
        if await self._schedule.fired(self._target, due, connection):
            return following, None
        try:
            job = await self._jobs.create(_scheduled(due), connection)
        except Busy as exc:
            self._log.info("due, but the target is busy", due=str(due), error=exc.message)
            return row, None
        self._log.info("fired", due=str(due), job=job.id, late=(now - due).total_seconds())
        return replace(following, last_due=due, last_fired=now), job


def _scheduled(due: datetime) -> NewJob:
    return NewJob(
        kind="backup",
        backup_type="full",
        requested_by=None,
        requested_by_name=SYSTEM.user_name,
        ip=SYSTEM.ip,
        workstation=SYSTEM.workstation,
        scheduled_for=due,
    )
