"""The jobs: what was asked for, by whom, how far it is, and what became of it.

Two rules are the database's: one job per target at a time (``one_job_per_target``), and a job that was given up is
never written to again by the replica that ran it (every later write names the replica and wants it running).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ...stages.errors import Busy
from .changes import Changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...formats.v1 import BackupType
    from .database import Connection, Control

Kind: TypeAlias = Literal["backup", "restore"]
Status: TypeAlias = Literal["pending", "running", "completed", "failed"]
Order: TypeAlias = Literal["run", "cancel", "lost"]

#: ``Jobs.list`` hides the built-in name inside its class.
Rows: TypeAlias = "list[Job]"
Summaries: TypeAlias = "list[Summary]"

Ids: TypeAlias = "list[int]"

#: What a job's queueing lock begins with; its id follows.
QUEUEING_LOCK = "job-"
#: Most jobs that one listing has (specification, Timeouts and Limits).
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that is asked for. ``requested_by`` is the subject, None for the schedule.

    ``archive`` is the one to restore. ``options``: ``only`` and ``prune`` of a restore, ``include_audit`` of a backup,
    and ``own_password``: where the password of this one restore waits (``ServiceSecrets.keep``).
    """

    kind: Kind
    backup_type: BackupType
    requested_by: str | None
    requested_by_name: str
    ip: str
    workstation: str
    archive: str | None = None
    scheduled_for: datetime | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as its row says. Sizes are bytes. ``hint`` is the next step after ``error``."""

    id: int
    kind: Kind
    backup_type: BackupType
    target: str
    status: Status
    archive: str | None
    size: int | None
    checksum: str | None
    error: str | None
    hint: str | None
    warnings: list[str]
    requested_by: str | None
    requested_by_name: str | None
    ip: str | None
    workstation: str | None
    scheduled_for: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    replica: str | None
    phase: str | None
    progress: dict[str, Any]
    cancelled_by: str | None
    options: dict[str, Any]
    report: dict[str, Any] | None

    @property
    def own_password(self) -> str | None:
        """By what the password is found that was given for this restore, None without one."""
        return self.options.get("own_password")

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.status in {"pending", "running"}

    @property
    def duration(self) -> float | None:
        """Seconds it took, or has taken up to now; None before it runs."""
        if self.started_at is None:
            return None
        return ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The jobs of one kind and type: its last success with seconds and bytes, and the number in each status."""

    kind: Kind
    backup_type: BackupType
    last_success_at: datetime | None
    last_duration: float | None
    last_size: int | None
    counts: dict[str, int]


class Jobs:
    """The jobs of one target; those of others are not there. Every method raises what ``Control.connection`` raises.

    What it writes is noted in ``changes``; whoever gives a connection of his own does so after his COMMIT.
    """

    def __init__(self, control: Control, target: str, changes: Changes | None = None) -> None:
        self._control = control
        self._target = target
        self.changes = changes or Changes()

    async def create(self, new: NewJob, connection: Connection | None = None) -> Job:
        """Add a pending job; inside the transaction of ``connection`` when one is given.

        Raises ``Busy`` when the target has a job, or the schedule has fired for that moment.
        """
        if connection is None:
            async with self._control.connection() as own:
                job = await self.create(new, own)
            self.changes.note()
            return job
        try:
            async with connection.transaction():
                return await _insert(connection, new, self._target)
        except psycopg.errors.UniqueViolation as exc:
            if exc.diag.constraint_name == "fired_once":
                raise Busy("The schedule has fired for that moment.", hint="Nothing is to be done.") from None
            raise _busy(await _job(connection, _ACTIVE, (self._target,))) from None

    async def get(self, job_id: int) -> Job | None:
        """One job."""
        return await self._one(_GET, self._target, job_id)

    async def list(
        self, limit: int = 50, before: int | None = None, kind: Kind | None = None, status: Status | None = None
    ) -> Rows:
        """Jobs, newest first: at most ``limit`` (and 1000), with an id below ``before``."""
        return await self._all(
            _LIST, self._target, before, before, kind, kind, status, status, max(0, min(limit, MAX_LISTED))
        )

    async def running(self) -> Rows:
        """Jobs that wait or run, oldest first."""
        return await self._all(_ACTIVE, self._target)

    async def start(self, job_id: int, replica: str) -> Job | None:
        """Let a replica run a pending job; None when it is not pending any more."""
        return await self._change(_START, replica, self._target, job_id)

    async def beat(
        self,
        job_id: int,
        replica: str,
        phase: str | None,
        progress: Mapping[str, Any],
        connection: Connection | None = None,
    ) -> Order:
        """Say that a job runs and how far it is. The answer: go on, cancel it, or it is no longer this replica's."""
        if connection is None:
            async with self._control.connection() as own:
                order = await self.beat(job_id, replica, phase, progress, own)
            self.changes.note()
            return order
        cursor = await connection.execute(_BEAT, (phase, Jsonb(dict(progress)), self._target, job_id, replica))
        row = await cursor.fetchone()
        return "lost" if row is None else "run" if row[0] is None else "cancel"

    async def complete(
        self,
        job_id: int,
        replica: str,
        archive: str,
        size: int | None,
        checksum: str | None,
        warnings: Sequence[str],
        report: Mapping[str, Any],
        connection: Connection | None = None,
    ) -> Job | None:
        """Note success, in the transaction of ``connection`` if given; None when the job is not the replica's."""
        values = (archive, size, checksum, Jsonb([*warnings]), Jsonb(dict(report)), self._target, job_id, replica)
        return await self._change(_COMPLETE, *values, connection=connection)

    async def fail(
        self, job_id: int, error: str, hint: str, replica: str | None = None, connection: Connection | None = None
    ) -> Job | None:
        """Note failure, in the transaction of ``connection`` if given.

        None when the job has ended, or is not this ``replica``'s (None: whoever runs it).
        """
        return await self._change(_FAIL, error, hint, self._target, job_id, replica, replica, connection=connection)

    async def abandoned(self, silence: float, limit: float) -> Rows:
        """Jobs whose replica said nothing for ``silence`` seconds, or that began ``limit`` seconds ago.

        Waiting ones count from when they were asked for. One that commits, and says so, is left to end.
        """
        return await self._all(_ABANDONED, self._target, silence, limit, silence)

    async def undelivered(self, seconds: float) -> Ids:
        """Jobs that wait longer than so many seconds and are not in the queue."""
        async with self._control.connection() as connection:
            cursor = await connection.execute(_UNDELIVERED, (self._target, seconds, QUEUEING_LOCK))
            return [job_id for (job_id,) in await cursor.fetchall()]

    async def request_cancel(self, job_id: int, by: str, connection: Connection | None = None) -> Job | None:
        """Ask for the end of a job; one that waits ends at once. None when there is no such job, or it has ended."""
        return await self._change(_CANCEL, by, f"Cancelled by {by}.", self._target, job_id, connection=connection)

    async def last_backup(self, backup_type: str, before: int) -> Job | None:
        """The newest completed backup of a type older than the job ``before``."""
        return await self._one(_LAST_BACKUP, self._target, backup_type, before)

    async def summary(self) -> Summaries:
        """What the metrics say, for each kind and type that ever ran."""
        async with (
            self._control.connection() as connection,
            connection.cursor(row_factory=class_row(Summary)) as cursor,
        ):
            await cursor.execute(_SUMMARY, {"target": self._target})
            return await cursor.fetchall()

    async def _one(self, query: str, *values: object) -> Job | None:
        async with self._control.connection() as own:
            return await _job(own, query, values)

    async def _change(self, query: str, *values: object, connection: Connection | None = None) -> Job | None:
        if connection is not None:
            return await _job(connection, query, values)
        job = await self._one(query, *values)
        self.changes.note()
        return job

    async def _all(self, query: str, *values: object) -> Rows:
        async with self._control.connection() as connection, connection.cursor(row_factory=class_row(Job)) as cursor:
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()


async def _job(connection: Connection, query: str, values: Sequence[object]) -> Job | None:
    async with connection.cursor(row_factory=class_row(Job)) as cursor:
        await cursor.execute(query.encode(), values)
        return await cursor.fetchone()


async def _insert(connection: Connection, new: NewJob, target: str) -> Job:
    values = (
        new.kind,
        new.backup_type,
        target,
        new.archive,
        new.requested_by,
        new.requested_by_name,
        new.ip,
        new.workstation,
        new.scheduled_for,
        Jsonb(dict(new.options)),
    )
    job = await _job(connection, _INSERT, values)
    assert job is not None
    return job


def _busy(job: Job | None) -> Busy:
    if job is None:
        return Busy("Another job has just ended on this target.", hint="Start it again.")
    begun = job.started_at or job.created_at
    verb = "runs" if job.status == "running" else "waits"
    return Busy(
        f"Job {job.id}, a {job.kind} of {job.target}, {verb} since {begun.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.",
        hint="Wait until it ended, or cancel it; then start again.",
    )


_INSERT = """
    INSERT INTO kleidia_backup.jobs
        (kind, backup_type, target, archive, requested_by, requested_by_name, ip, workstation, scheduled_for, options)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING *
"""
_GET = "SELECT * FROM kleidia_backup.jobs WHERE target = %s AND id = %s"
_ACTIVE = "SELECT * FROM kleidia_backup.jobs WHERE target = %s AND status IN ('pending', 'running') ORDER BY id"
_LIST = """
    SELECT * FROM kleidia_backup.jobs
    WHERE target = %s AND (%s::bigint IS NULL OR id < %s)
      AND (%s::text IS NULL OR kind = %s) AND (%s::text IS NULL OR status = %s)
    ORDER BY id DESC LIMIT %s
"""
_START = """
    UPDATE kleidia_backup.jobs SET status = 'running', started_at = now(), heartbeat_at = now(), replica = %s
    WHERE target = %s AND id = %s AND status = 'pending' RETURNING *
"""
_BEAT = """
    UPDATE kleidia_backup.jobs SET heartbeat_at = now(), phase = %s, progress = %s
    WHERE target = %s AND id = %s AND replica = %s AND status = 'running' RETURNING cancelled_by
"""
_COMPLETE = """
    UPDATE kleidia_backup.jobs
    SET status = 'completed', finished_at = now(), archive = %s, size = %s, checksum = %s, warnings = %s, report = %s
    WHERE target = %s AND id = %s AND replica = %s AND status = 'running' RETURNING *
"""
_FAIL = """
    UPDATE kleidia_backup.jobs SET status = 'failed', finished_at = now(), error = %s, hint = %s
    WHERE target = %s AND id = %s AND status IN ('pending', 'running')
      AND (%s::text IS NULL OR replica = %s)
    RETURNING *
"""
_CANCEL = """
    UPDATE kleidia_backup.jobs
    SET cancelled_by = coalesce(cancelled_by, %s),
        error = CASE status WHEN 'pending' THEN %s ELSE error END,
        finished_at = CASE status WHEN 'pending' THEN now() END,
        status = CASE status WHEN 'pending' THEN 'failed' ELSE status END
    WHERE target = %s AND id = %s AND status IN ('pending', 'running') RETURNING *
"""
_ABANDONED = """
    SELECT * FROM kleidia_backup.jobs
    WHERE target = %s AND status IN ('pending', 'running')
      AND (heartbeat_at < now() - make_interval(secs => %s)
        OR coalesce(started_at, created_at) < now() - make_interval(secs => %s)
          AND NOT (phase IS NOT DISTINCT FROM 'commit' AND heartbeat_at >= now() - make_interval(secs => %s)))
    ORDER BY id
"""
_UNDELIVERED = """
    SELECT id FROM kleidia_backup.jobs job
    WHERE target = %s AND status = 'pending' AND created_at <= now() - make_interval(secs => %s)
      AND NOT EXISTS (
        SELECT FROM kleidia_backup.procrastinate_jobs queued
        WHERE queued.queueing_lock = %s || job.id AND queued.status IN ('todo', 'doing')
      )
    ORDER BY id
"""
_LAST_BACKUP = """
    SELECT * FROM kleidia_backup.jobs
    WHERE kind = 'backup' AND status = 'completed' AND target = %s AND backup_type = %s AND id < %s
    ORDER BY id DESC LIMIT 1
"""
_SUMMARY = """
    SELECT kind, backup_type, last.finished_at AS last_success_at, last.size AS last_size,
        extract(epoch FROM last.finished_at - last.started_at)::double precision AS last_duration, counts
    FROM (
        SELECT kind, backup_type, jsonb_object_agg(status, number) AS counts
        FROM (
            SELECT kind, backup_type, status, count(*) AS number FROM kleidia_backup.jobs
            WHERE target = %(target)s GROUP BY 1, 2, 3
        ) each
        GROUP BY 1, 2
    ) ran
    LEFT JOIN LATERAL (
        SELECT finished_at, started_at, size FROM kleidia_backup.jobs job
        WHERE job.target = %(target)s AND job.kind = ran.kind AND job.backup_type = ran.backup_type
          AND job.status = 'completed'
        ORDER BY id DESC LIMIT 1
    ) last ON true
    ORDER BY 1, 2
"""
