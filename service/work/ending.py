"""The end of a job: its row and its entry in the audit log, in one transaction, so that there is never one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..control.audit import SCHEDULED, SYSTEM, Actor, AuditEntry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..control.audit import Action, Audit
    from ..control.database import Connection, Control
    from ..control.jobs import Job, Jobs, Kind

_ACTIONS: dict[tuple[Kind, bool], Action] = {
    ("backup", True): "backup.completed",
    ("backup", False): "backup.failed",
    ("restore", True): "restore.completed",
    ("restore", False): "restore.failed",
}


def actor_of(job: Job) -> Actor:
    """Who asked for a job."""
    if job.requested_by is None:
        return SYSTEM
    return Actor(job.requested_by, job.requested_by_name or "", job.ip or "", job.workstation or "")


def entry_of(job: Job) -> AuditEntry:
    """What the audit log says of a job that has ended."""
    prefix = SCHEDULED if job.requested_by is None else ""
    details = job.error if job.error is not None else " ".join(job.warnings)
    return AuditEntry.by(
        actor_of(job),
        _ACTIONS[job.kind, job.status == "completed"],
        details=f"{prefix}{details}".strip(),
        job_id=job.id,
        archive=job.archive,
        backup_type=job.backup_type,
        duration=job.duration,
        size=job.size if job.status == "completed" else None,
    )


async def end(
    control: Control, jobs: Jobs, audit: Audit, change: Callable[[Connection], Awaitable[Job | None]]
) -> Job | None:
    """Let ``change`` end one of ``jobs`` within a transaction, and log what it returns; None when it ended no job.

    Raises what ``Control.connection`` raises; then nothing is written.
    """
    entry = None
    async with control.connection() as connection, connection.transaction():
        job = await change(connection)
        if job is not None and not job.active:
            entry = await audit.insert(entry_of(job), connection)
    jobs.changes.note()
    if entry is not None:
        await audit.tell(entry)
    return job
