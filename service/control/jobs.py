"""The jobs: what was asked for, by whom, how far it is, and what became of it.

Two rules are the database's: one job per target at a time, and beside it one that only reads; and a job that was given
up is never written to again by the replica that ran it (every later write names the replica and wants it running).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import psycopg
from psycopg.types.json import Jsonb

from ...stages.errors import Busy
from . import job_queries as queries
from .changes import Changes
from .database import row_of

if TYPE_CHECKING:
    from ...formats.facts import BackupType
    from .database import Connection, Control

Kind: TypeAlias = Literal["backup", "restore", "verify", "drill"]
Status: TypeAlias = Literal["pending", "running", "completed", "failed"]
Order: TypeAlias = Literal["run", "cancel", "lost"]

#: Kinds of jobs that only read what is backed up, and have a place beside those that write.
READING: frozenset[str] = frozenset({"verify", "drill"})
#: What a job's queueing lock begins with; its id follows.
QUEUEING_LOCK = "job-"
#: Most jobs that one listing has (specification, Timeouts and Limits).
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that is asked for. ``requested_by`` is the subject, None for the schedule.

    ``archive`` is the one to restore, to verify or to drill; a scheduled job chooses it when it runs. ``options``:
    ``only`` and ``prune`` of a restore, ``include_audit`` and ``format`` of a backup, and ``own_password``: where the
    password of this one job waits (``ServiceSecrets.keep``).
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
    """A job's row. Sizes are bytes. ``hint`` is the next step after ``error``."""

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
        """The reference of the password that was given for this job, None without one."""
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a job noted of the archive that it made: bytes, and SHA-256 as ``JobView.checksum`` explains."""

    size: int
    checksum: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A backup that was made: when it ended, its bytes, and the seconds that it took."""

    ended: datetime
    size: int
    seconds: float


class Jobs:
    """The jobs of one target; those of others are not there. Every method raises what ``Control.connection`` raises.

    What it writes is counted in ``changes``; a caller that gives a connection counts its write after its COMMIT.
    """

    def __init__(self, control: Control, target: str, changes: Changes | None = None) -> None:
        self._control = control
        self._target = target
        self.changes = changes or Changes()

    async def create(self, new: NewJob, connection: Connection | None = None) -> Job:
        """Add a pending job; inside the transaction of ``connection`` when one is given.

        Raises ``Busy`` when the target has a job in its place, or the schedule has fired for that moment.
        """
        if connection is None:
            async with self._control.connection() as own:
                job = await self.create(new, own)
            self.changes.add()
            return job
        try:
            async with connection.transaction():
                return await _insert(connection, new, self._target)
        except psycopg.errors.UniqueViolation as exc:
            if exc.diag.constraint_name == "fired_once":
                raise Busy("The schedule has fired for that moment.", hint="Nothing is to be done.") from None
            values = (self._target, [*READING], new.kind in READING)
            raise _busy(await _job(connection, queries.IN_THE_WAY, values)) from None

    async def get(self, job_id: int, connection: Connection | None = None) -> Job | None:
        """One job, as the transaction of ``connection`` sees it if given."""
        if connection is not None:
            return await _job(connection, queries.GET, (self._target, job_id))
        return await self._one(queries.GET, self._target, job_id)

    async def page(
        self, limit: int = 50, before: int | None = None, kind: Kind | None = None, status: Status | None = None
    ) -> list[Job]:
        """Jobs, newest first: at most ``limit`` (and 1000), with an id below ``before``."""
        return await self._all(
            queries.LIST, self._target, before, before, kind, kind, status, status, max(0, min(limit, MAX_LISTED))
        )

    async def measured(self, limit: int) -> list[Measured]:
        """The full ones of the last ``limit`` backups that were made, oldest first; without all else that jobs say."""
        async with self._control.connection() as connection:
            rows = await (await connection.execute(queries.MEASURED, (self._target, limit))).fetchall()
        return [
            Measured(ended, size or 0, seconds or 0.0)
            for kind, ended, size, seconds in reversed(rows)
            if kind == "full"
        ]

    async def running(self) -> list[Job]:
        """Jobs that wait or run, oldest first."""
        return await self._all(queries.ACTIVE, self._target)

    @property
    def target(self) -> str:
        """The target's name."""
        return self._target

    async def start(self, job_id: int, replica: str, connection: Connection | None = None) -> Job | None:
        """Let a replica run a pending job; None when it is not pending any more, or of a kind that is not known here.

        A newer version may have others, whose replicas run them.
        """
        kinds = [*get_args(Kind)]
        return await self._change(queries.START, replica, self._target, job_id, kinds, connection=connection)

    async def choose(
        self, job_id: int, replica: str, archive: str, backup_type: BackupType, connection: Connection | None = None
    ) -> Job | None:
        """Record which archive a scheduled verification or drill has chosen; None when the job is not the replica's."""
        values = (archive, backup_type, self._target, job_id, replica)
        return await self._change(queries.CHOOSE, *values, connection=connection)

    async def beat(
        self,
        job_id: int,
        replica: str,
        phase: str | None,
        progress: Mapping[str, Any],
        connection: Connection | None = None,
    ) -> Order:
        """Heartbeat: record phase and progress. Returns run, cancel, or lost (the job is another replica's now)."""
        if connection is None:
            async with self._control.connection() as own:
                order = await self.beat(job_id, replica, phase, progress, own)
            self.changes.add()
            return order
        cursor = await connection.execute(queries.BEAT, (phase, Jsonb(dict(progress)), self._target, job_id, replica))
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
        """Record success, in the transaction of ``connection`` if given; None when the job is not the replica's."""
        values = (archive, size, checksum, Jsonb([*warnings]), Jsonb(dict(report)), self._target, job_id, replica)
        return await self._change(queries.COMPLETE, *values, connection=connection)

    async def fail(
        self,
        job_id: int,
        error: str,
        hint: str,
        replica: str | None = None,
        connection: Connection | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> Job | None:
        """Record failure, in the transaction of ``connection`` if given, with what the job has to report all the same.

        None when the job has ended, or is not this ``replica``'s (None: any replica's).
        """
        kept = None if report is None else Jsonb(dict(report))
        values = (error, hint, kept, self._target, job_id, replica, replica)
        return await self._change(queries.FAIL, *values, connection=connection)

    async def abandoned(self, silence: float, limit: float) -> list[Job]:
        """Jobs without a heartbeat for ``silence`` seconds, or that began ``limit`` seconds ago.

        Waiting ones count from when they were asked for. One that commits with a heartbeat is left to end.
        """
        return await self._all(queries.ABANDONED, self._target, silence, limit, silence)

    async def request_cancel(self, job_id: int, by: str, connection: Connection | None = None) -> Job | None:
        """Ask for the end of a job; one that waits ends at once. None when there is no such job, or it has ended."""
        return await self._change(
            queries.CANCEL, by, f"Cancelled by {by}.", self._target, job_id, connection=connection
        )

    async def last_backup(self, backup_type: str, before: int, connection: Connection | None = None) -> Job | None:
        """The newest completed backup of a type older than the job ``before``."""
        if connection is not None:
            return await _job(connection, queries.LAST_BACKUP, (self._target, backup_type, before))
        return await self._one(queries.LAST_BACKUP, self._target, backup_type, before)

    async def new_warnings(self, job: Job, connection: Connection | None = None) -> list[str]:
        """What a job warns of and the backup before of its type did not: what comes every time is not read.

        Of another job than a backup all of its warnings.
        """
        last = await self.last_backup(job.backup_type, job.id, connection) if job.kind == "backup" else None
        known = set(last.warnings) if last is not None else set()
        return [each for each in job.warnings if each not in known]

    async def recorded(self) -> dict[str, Recorded]:
        """The archives that completed backups have made, by their full names; of one name the newest."""
        async with self._control.connection() as connection:
            cursor = await connection.execute(queries.RECORDED, (self._target,))
            return {name: Recorded(size, checksum) for name, size, checksum in await cursor.fetchall()}

    async def _one(self, query: str, *values: object) -> Job | None:
        async with self._control.connection() as own:
            return await _job(own, query, values)

    async def _change(self, query: str, *values: object, connection: Connection | None = None) -> Job | None:
        if connection is not None:
            return await _job(connection, query, values)
        job = await self._one(query, *values)
        self.changes.add()
        return job

    async def _all(self, query: str, *values: object) -> list[Job]:
        async with self._control.connection() as connection, connection.cursor(row_factory=row_of(Job)) as cursor:
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()


async def _job(connection: Connection, query: str, values: Sequence[object]) -> Job | None:
    async with connection.cursor(row_factory=row_of(Job)) as cursor:
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
    job = await _job(connection, queries.INSERT, values)
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
