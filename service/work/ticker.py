"""Fires the schedule: once for all replicas, also after the service was down.

Backups, verifications and drills have schedules of their own, and are treated alike. Every replica ticks; the rows of
the target in ``schedules`` are locked by one of them at a time, and the jobs' table takes one job of a kind for each
moment that was due. A moment that was missed is made up for until the next one is due: so of
several missed, the last one runs, once. While the target has another job, it stays due and is tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from ...stages.errors import Busy, ConfigurationError
from ..control.audit import SYSTEM
from ..control.backup_settings import SCHEDULES
from ..control.jobs import Job, Jobs, Kind, NewJob
from ..control.views.statistics import note_missed

if TYPE_CHECKING:
    from ..control.backup_settings import BackupSettings
    from ..control.cron import Cron
    from ..control.database import Connection
    from ..control.schedule import Schedule, ScheduleRow
    from ..control.settings import SettingsStore
    from ..control.targets.attention import Changed


class Ticker:
    """Checks whether a scheduled job of ``target`` is due; ``tick`` is called every few seconds.

    ``now`` is the clock; None: the database's, the same for all replicas. ``fired`` is called with a new job when it is
    committed, ``missed`` with the kind and the first moment that is passed over.
    """

    def __init__(
        self,
        schedule: Schedule,
        settings: SettingsStore,
        jobs: Jobs,
        target: str,
        *,
        fired: Callable[[Job], Awaitable[None]] | None = None,
        missed: Callable[[Kind, datetime, Connection], Awaitable[None]] | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._schedule = schedule
        self._settings = settings
        self._jobs = jobs
        self._target = target
        self._fired = fired
        self._missed = missed
        self._now = now
        self._log = structlog.get_logger("kleidia_backup.ticker").bind(target=target)

    def settled(self, found: Changed) -> bool:
        """Whether its schedules are reckoned by its settings already: then ``tick`` would change nothing yet."""
        settings = self._settings.stored(found.document, found.version)
        for kind, name in SCHEDULES.items():
            cron, timezone, will_be_due = found.reckoned.get(kind, (None, None, False))
            if will_be_due != settings.scheduled(kind):
                return False
            if will_be_due and (cron, timezone) != (getattr(settings, name), settings.timezone):
                return False
        return True

    async def tick(self) -> Job | None:
        """Check once; the first job that was made, if one was due and the target is free for it.

        Raises what ``Control.connection`` raises, and ``ConfigurationError`` for a schedule that became unusable.
        """
        made: list[Job] = []
        unusable = None
        async with self._schedule.locked(self._target, tuple(SCHEDULES)) as locked:
            if locked is not None:
                connection, rows = locked
                settings = await self._settings.read(connection)  # after the lock: the newest, for every replica
                now = self._now() if self._now else await self._schedule.moment(connection)
                for row in rows:
                    try:
                        new, job = await self._check(row, settings, now, connection)
                    except ConfigurationError as exc:  # one that cannot be used keeps no other from its time
                        unusable = exc
                        continue
                    made += [] if job is None else [job]
                    if new != row:
                        await self._schedule.save(new, connection)
        if self._fired is not None:
            for each in made:
                await self._fired(each)
        if unusable is not None:
            raise unusable
        return made[0] if made else None

    async def _check(
        self, row: ScheduleRow, settings: BackupSettings, now: datetime, connection: Connection
    ) -> tuple[ScheduleRow, Job | None]:
        if not settings.scheduled(row.kind):
            return replace(row, next_due=None), None
        cron = settings.cron(row.kind)
        if row.next_due is None or (row.cron, row.timezone) != (cron.text, cron.timezone):
            fresh = replace(row, cron=cron.text, timezone=cron.timezone, next_due=cron.after(now))
            return fresh, None  # a new schedule does not begin with what it would have done before
        if now < row.next_due:
            return row, None
        return await self._fire(row, cron, now, connection)

    async def _fire(
        self, row: ScheduleRow, cron: Cron, now: datetime, connection: Connection
    ) -> tuple[ScheduleRow, Job | None]:
        due, log = cron.before(now), self._log.bind(kind=row.kind)
        if row.next_due is not None and due != row.next_due:
            log.warning("missed more than a period ago, not made up for", due=str(row.next_due), instead=str(due))
            if row.next_due is not None:
                await note_missed(connection, row.target, row.kind, cron, row.next_due, due)
            if self._missed is not None and row.next_due is not None:
                await self._missed(row.kind, row.next_due, connection)
            row = replace(row, next_due=due)
        following = replace(row, next_due=cron.after(now))
        if await self._schedule.fired(row, due, connection):
            return following, None
        try:
            job = await self._jobs.create(_scheduled(row.kind, due), connection)
        except Busy as exc:
            log.info("due, but the target is busy", due=str(due), error=exc.message)
            return row, None
        log.info("fired", due=str(due), job=job.id, late=(now - due).total_seconds())
        return replace(following, last_due=due, last_fired=now), job


def _scheduled(kind: Kind, due: datetime) -> NewJob:
    return NewJob(
        kind=kind,
        backup_type="full",  # of a verification and a drill: until its archive is chosen
        requested_by=None,
        requested_by_name=SYSTEM.user_name,
        ip=SYSTEM.ip,
        workstation=SYSTEM.workstation,
        scheduled_for=due,
    )
