"""Jobs that are not the queue's: those of commands, which run them themselves and write down what they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ..database import Connection, Control
    from ..jobs import Job, Jobs, NewJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a job. ``size`` is bytes; ``error`` and ``hint`` are those of one that failed."""

    status: Literal["completed", "failed"]
    archive: str | None = None
    size: int | None = None
    checksum: str | None = None
    error: str | None = None
    hint: str | None = None
    warnings: Sequence[str] = ()
    phase: str | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None


async def begin(control: Control, jobs: Jobs, new: NewJob, runner: str) -> Job:
    """A job that runs from now on, by whoever ``runner`` is: no replica takes it, and its heartbeat is watched.

    Raises ``Busy`` when the target has a job, and what ``Control.connection`` raises.
    """
    async with control.connection() as connection, connection.transaction():
        job = await jobs.create(new, connection)
        started = await jobs.start(job.id, runner, connection)
    assert started is not None, "nobody else has seen it"
    return started


async def insert_ended(
    jobs: Jobs, new: NewJob, runner: str, begun: datetime, ended: Ended, connection: Connection
) -> Job:
    """A job that has run beside the target's other jobs, and ended. Raises psycopg's errors."""
    values: dict[str, Any] = {name: getattr(new, name) for name in _NEW} | {
        name: getattr(ended, name) for name in _ENDED
    }
    values |= {"target": jobs.target, "runner": runner, "begun": begun, "archive": ended.archive or new.archive}
    values |= {"options": Jsonb(dict(new.options)), "progress": Jsonb(dict(ended.progress))}
    values |= {"warnings": Jsonb([*ended.warnings])}
    values["report"] = None if ended.report is None else Jsonb(dict(ended.report))
    cursor = await connection.execute(_INSERT, values)
    row = await cursor.fetchone()
    assert row is not None
    job = await jobs.get(row[0], connection)
    assert job is not None
    return job


_NEW = ("kind", "backup_type", "requested_by", "requested_by_name", "ip", "workstation")
_ENDED = ("status", "size", "checksum", "error", "hint", "phase")
_INSERT = """
    INSERT INTO kleidia_backup.jobs
        (kind, backup_type, target, status, archive, size, checksum, error, hint, warnings, requested_by,
         requested_by_name, ip, workstation, created_at, started_at, finished_at, heartbeat_at, replica, phase,
         progress, options, report)
    VALUES (%(kind)s, %(backup_type)s, %(target)s, %(status)s, %(archive)s, %(size)s, %(checksum)s, %(error)s,
        %(hint)s, %(warnings)s, %(requested_by)s, %(requested_by_name)s, %(ip)s, %(workstation)s, %(begun)s, %(begun)s,
        now(), now(), %(runner)s, %(phase)s, %(progress)s, %(options)s, %(report)s)
    RETURNING id
"""
