"""The end of a job: its row and its entry in the audit log are written in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..control.audit import SCHEDULED, SYSTEM, Action, Actor, Audit, AuditEntry
from .restoring import said

if TYPE_CHECKING:
    from ..control.database import Connection, Control
    from ..control.jobs import Job, Jobs, Kind

_ACTIONS: dict[tuple[Kind, str], Action] = {
    ("backup", "completed"): "backup.completed",
    ("backup", "failed"): "backup.failed",
    ("restore", "completed"): "restore.completed",
    ("restore", "failed"): "restore.failed",
    ("verify", "completed"): "verify.completed",
    ("verify", "failed"): "verify.failed",
    ("verify", "inconclusive"): "verify.inconclusive",
    ("drill", "completed"): "drill.completed",
    ("drill", "failed"): "drill.failed",
    ("drill", "inconclusive"): "drill.inconclusive",
}


def actor_of(job: Job) -> Actor:
    """Who asked for a job."""
    if job.requested_by is None:
        return SYSTEM
    return Actor(job.requested_by, job.requested_by_name or "", job.ip or "", job.workstation or "")


def audit_entry(job: Job) -> AuditEntry:
    """The audit log's entry for a job that has ended."""
    prefix = SCHEDULED if job.requested_by is None else ""
    details = " ".join(filter(None, (said(job), job.error if job.error is not None else " ".join(job.warnings))))
    return AuditEntry.by(
        actor_of(job),
        _ACTIONS[job.kind, _end(job)],
        details=f"{prefix}{details}".strip(),
        job_id=job.id,
        archive=job.archive,
        backup_type=job.backup_type,
        duration=job.duration,
        size=job.size if job.status == "completed" else None,
    )


def _end(job: Job) -> str:
    """How it ended. A verification or a drill has failed if it says so of the archive; else it says nothing of it."""
    if job.status == "completed" or job.kind in {"backup", "restore"}:
        return job.status
    return "failed" if (job.report or {}).get("verdict") == "failed" else "inconclusive"


async def end_job(
    control: Control, jobs: Jobs, audit: Audit, change: Callable[[Connection], Awaitable[Job | None]]
) -> Job | None:
    """Let ``change`` end one of ``jobs`` within a transaction, and log what it returns; None when it ended no job.

    Raises what ``Control.connection`` raises; then nothing is written.
    """
    entry = None
    async with control.connection() as connection, connection.transaction():
        job = await change(connection)
        if job is not None and not job.active:
            entry = await audit.insert(audit_entry(job), connection)
    jobs.changes.add()
    if entry is not None:
        await audit.notify(entry)
    return job
