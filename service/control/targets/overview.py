"""What there is to say of each of many targets, asked for in one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..database import row_of

if TYPE_CHECKING:
    from ..database import Control
    from ..jobs import Kind, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """One target: its job that waits or runs (of two the one that writes), its last backup, when one last succeeded.

    ``next_run`` is when the next one is due.
    ``last_proven`` is when a drill last brought an archive back.
    """

    target: str
    job_id: int | None
    job_kind: Kind | None
    job_status: Status | None
    job_since: datetime | None
    last_status: Status | None
    last_error: str | None
    last_hint: str | None
    last_success: datetime | None
    next_run: datetime | None
    last_proven: datetime | None


async def overview(control: Control, targets: Sequence[str]) -> list[TargetRow]:
    """A row for each of the targets, in their order. Raises what ``Control.connection`` raises."""
    async with control.connection() as connection, connection.cursor(row_factory=row_of(TargetRow)) as cursor:
        await cursor.execute(_OVERVIEW, ([*targets],))
        return await cursor.fetchall()


_OVERVIEW = """
    SELECT each.target, active.id AS job_id, active.kind AS job_kind, active.status AS job_status,
        coalesce(active.started_at, active.created_at) AS job_since, last.status AS last_status,
        last.error AS last_error, last.hint AS last_hint,
        good.finished_at AS last_success, due.next_due AS next_run, proven.at AS last_proven
    FROM unnest(%s::text[]) WITH ORDINALITY each (target, place)
    LEFT JOIN LATERAL (
        SELECT * FROM kleidia_backup.jobs job
        WHERE job.target = each.target AND job.status IN ('pending', 'running')
        ORDER BY job.kind IN ('verify', 'drill'), job.id LIMIT 1
    ) active ON true
    LEFT JOIN kleidia_backup.schedules due ON due.target = each.target AND due.kind = 'backup'
    LEFT JOIN LATERAL (
        SELECT status, error, hint FROM kleidia_backup.jobs job
        WHERE job.target = each.target AND kind = 'backup' AND status IN ('completed', 'failed')
        ORDER BY id DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT finished_at FROM kleidia_backup.jobs job
        WHERE job.target = each.target AND kind = 'backup' AND status = 'completed'
        ORDER BY id DESC LIMIT 1
    ) good ON true
    LEFT JOIN LATERAL (
        SELECT at FROM kleidia_backup.verifications said
        WHERE said.target = each.target AND verdict = 'proven' ORDER BY id DESC LIMIT 1
    ) proven ON true
    ORDER BY place
"""
