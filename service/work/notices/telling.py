"""What is told of the service's work: of jobs that begin and end, of what was missed, of changed settings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4, uuid5

import structlog

from ....config.notifying.events import EVENTS
from ....notify.message import Message, shortened
from ....stages.errors import KleidiaError

if TYPE_CHECKING:
    from ....pipeline.copies.settings import Copy
    from ...control.audit import AuditEntry
    from ...control.database import Connection, Control
    from ...control.jobs import Job, Jobs, Kind
    from ...control.outbox import Outbox

#: The namespace of the ids of runs (RFC 9562, version 5).
_RUNS = UUID("5f7f3c55-6f0f-4b0e-9d3b-0a3c4a5f1a10")


class Teller:
    """Puts messages into the outbox, with what they tell of. What goes wrong with a message never fails a job."""

    def __init__(self, control: Control, jobs: Jobs, outbox: Outbox, target: str) -> None:
        self._control, self._jobs, self._outbox, self._target = control, jobs, outbox, target
        self._log = structlog.get_logger("kleidia_backup.notify")

    async def audited(self, entry: AuditEntry, connection: Connection) -> None:
        """Tell of what was audited, in its transaction."""
        if entry.action == "settings.changed":
            facts = {"by": entry.user_name, "what": entry.details}
            await self._outbox.add(self._message((entry.action,), facts), connection)
        elif entry.job_id is not None and f"{entry.action.partition('.')[0]}.failed" in EVENTS:
            job = await self._jobs.get(entry.job_id, connection)
            if job is not None and not job.active:
                again = await self._outbox.failed_before(job, connection)
                new = await self._jobs.new_warnings(job, connection)
                await self._outbox.add(ended(job, recovered=again, new=new), connection)

    async def begun(self, job: Job) -> None:
        """Tell that a job began. Raises nothing."""
        try:
            async with self._control.connection() as connection:
                await self._outbox.add(_of(job, (f"{job.kind}.started",)), connection)
        except KleidiaError as exc:
            self._log.warning("the start of the job will not be told", job=job.id, error=exc.message)

    async def missed(self, kind: Kind, due: datetime, connection: Connection) -> None:
        """Tell that nothing ran at a scheduled moment, in the transaction that passes it over."""
        facts = {"due": due.astimezone(UTC).isoformat()}
        await self._outbox.add(self._message((f"{kind}.missed",), facts), connection)

    async def copies(self, copy: Copy, what: str, error: str, connection: Connection) -> None:
        """Tell that a copy is behind (``lagging``), or not any more (``recovered``), in the caller's transaction."""
        facts = {"copy": copy.name, "longest": copy.lag, "error": shortened(error)}
        await self._outbox.add(self._message((f"copies.{what}",), facts), connection)

    def _message(self, events: tuple[str, ...], facts: dict[str, Any]) -> Message:
        made = str(uuid4())
        return Message(id=made, events=events, target=self._target, at=datetime.now(UTC), run=made, facts=facts)


def ended(job: Job, *, recovered: bool, new: list[str]) -> Message:
    """What is told of a job that has ended; ``recovered`` when the one before it failed, ``new`` its new warnings."""
    if job.status == "failed":
        return _of(job, (f"{job.kind}.failed",))
    names = {"recovered": recovered, "warning": bool(new), "completed": True}
    events = (f"{job.kind}.{name}" for name, holds in names.items() if holds)
    return _of(job, tuple(event for event in events if event in EVENTS))


def _of(job: Job, events: tuple[str, ...]) -> Message:
    run = str(uuid5(_RUNS, f"{job.target}/{job.id}/{job.created_at.isoformat()}"))
    facts = {
        "job": job.id,
        "kind": job.kind,
        "type": job.backup_type,
        "status": job.status,
        "archive": job.archive,
        "size": job.size,
        "checksum": job.checksum,
        "seconds": None if job.active or job.duration is None else round(job.duration, 1),
        "asked_by": job.requested_by_name,
        "scheduled": job.requested_by is None,
        "warnings": len(job.warnings),  # their texts may name secrets
        "error": shortened(job.error),
        "next_step": shortened(job.hint),
    }
    return Message(
        id=f"{run}.{events[0]}", events=events, target=job.target, at=datetime.now(UTC), run=run, facts=facts
    )
