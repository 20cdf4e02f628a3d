"""The figures of many targets, for the metrics: five queries, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

if TYPE_CHECKING:
    from ....formats.facts import BackupType
    from ..database import Control
    from ..jobs import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The jobs of one target, kind and type: its last success with seconds and bytes, and the number in each status.

    ``last_load`` is what its report says of the load that it made, as JSON; None where it says nothing.
    """

    target: str
    kind: Kind
    backup_type: BackupType
    last_success_at: datetime | None
    last_duration: float | None
    last_size: int | None
    last_load: dict[str, Any] | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """When an archive of a target and type was last found whole, and last brought back by a drill."""

    target: str
    backup_type: BackupType
    verified_at: datetime | None
    proven_at: datetime | None


@dataclass(frozen=True, slots=True)
class Figures:
    """All of them.

    ``running`` are target and kind of each job that waits or runs, ``due`` when backups are next, ``lags`` target, copy
    and for how many seconds an archive has lacked that copy.
    """

    summaries: list[Summary]
    proofs: list[Last]
    running: list[tuple[str, Kind]]
    due: list[tuple[str, datetime]]
    lags: list[tuple[str, str, float]]


async def figures(control: Control, targets: Sequence[str]) -> Figures:
    """The figures of these targets. Raises what ``Control.connection`` raises."""
    values: dict[str, Any] = {"targets": [*targets]}
    async with control.connection() as connection:
        async with connection.cursor(row_factory=class_row(Summary)) as cursor:
            summaries = await (await cursor.execute(_SUMMARY, values)).fetchall()
        async with connection.cursor(row_factory=class_row(Last)) as proven:
            proofs = await (await proven.execute(_LAST, values)).fetchall()
        running = await (await connection.execute(_RUNNING, values)).fetchall()
        due = await (await connection.execute(_NEXT, values)).fetchall()
        lags = await (await connection.execute(_LAGS, values)).fetchall()
    return Figures(summaries, proofs, running, due, lags)


_LAGS = """
    SELECT run.target, run.copy,
        coalesce(extract(epoch FROM now() - min(each.stored_at)), 0)::double precision
    FROM kleidia_backup.copy_runs run
    LEFT JOIN kleidia_backup.copies each
        ON each.target = run.target AND each.copy = run.copy AND each.state <> 'ok'
    WHERE run.target = ANY(%(targets)s) GROUP BY 1, 2
"""


_SUMMARY = """
    SELECT target, kind, backup_type, last.finished_at AS last_success_at, last.size AS last_size,
        last.report -> 'load' AS last_load,
        extract(epoch FROM last.finished_at - last.started_at)::double precision AS last_duration, counts
    FROM (
        SELECT target, kind, backup_type, jsonb_object_agg(status, number) AS counts
        FROM (
            SELECT target, kind, backup_type, status, count(*) AS number FROM kleidia_backup.jobs
            WHERE target = ANY(%(targets)s) GROUP BY 1, 2, 3, 4
        ) each
        GROUP BY 1, 2, 3
    ) ran
    LEFT JOIN LATERAL (
        SELECT finished_at, started_at, size, report FROM kleidia_backup.jobs job
        WHERE job.target = ran.target AND job.kind = ran.kind AND job.backup_type = ran.backup_type
          AND job.status = 'completed'
        ORDER BY id DESC LIMIT 1
    ) last ON true
    ORDER BY 1, 2, 3
"""
_LAST = """
    SELECT target, backup_type, max(at) AS verified_at, max(at) FILTER (WHERE verdict = 'proven') AS proven_at
    FROM kleidia_backup.verifications
    WHERE target = ANY(%(targets)s) AND verdict IN ('verified', 'proven') GROUP BY 1, 2 ORDER BY 1, 2
"""
_RUNNING = """
    SELECT target, kind FROM kleidia_backup.jobs
    WHERE target = ANY(%(targets)s) AND status IN ('pending', 'running')
"""
_NEXT = """
    SELECT target, next_due FROM kleidia_backup.schedules
    WHERE target = ANY(%(targets)s) AND kind = 'backup' AND next_due IS NOT NULL ORDER BY 1
"""
