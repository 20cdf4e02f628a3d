"""Which targets need something now: one query for all of them, however many there are.

What a target needs is then looked at again, with its rows locked: a name too many does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..database import Control

#: Seconds for which a target is looked at after its settings were changed: its schedule may be another one.
_CHANGED = 60.0


@dataclass(frozen=True, slots=True)
class Changed:
    """A target whose schedule may be another one: its settings as they are stored, and by what it is reckoned now.

    ``reckoned`` has of each kind of job the cron text, the time zone, and whether it will be due at all.
    """

    target: str
    document: Mapping[str, Any] | None
    version: int | None
    reckoned: Mapping[str, tuple[str | None, str | None, bool]]


async def due(control: Control, now: datetime | None = None) -> list[str]:
    """Targets with a schedule that is due, the longest due first; ``now`` None: by the database's clock.

    Raises what ``Control.connection`` raises, as all of these do.
    """
    return await _targets(control, _DUE, {"now": now})


async def changed(control: Control, fresh: Iterable[str]) -> list[Changed]:
    """Targets whose settings were changed a while ago, and those that are ``fresh``."""
    async with control.connection() as connection:
        cursor = await connection.execute(_CHANGES, {"fresh": [*fresh], "changed": _CHANGED})
        rows = await cursor.fetchall()
    return [
        Changed(target, document, version, {kind: tuple(of) for kind, of in (reckoned or {}).items()})
        for target, document, version, reckoned in rows
    ]


async def abandoned(control: Control, silence: float, limit: float) -> list[str]:
    """Targets with a job without a heartbeat for ``silence`` seconds, or that began ``limit`` seconds ago."""
    return await _targets(control, _ABANDONED, {"silence": silence, "limit": limit})


async def untold(control: Control) -> list[str]:
    """Targets with messages that can be sent, the longest waiting first."""
    return await _targets(control, _UNTOLD, {})


async def uncopied(control: Control, silence: float) -> list[str]:
    """Targets with a copy that is to be filled, or whose replica was silent for so many seconds."""
    return await _targets(control, _UNCOPIED, {"silence": silence})


async def _targets(control: Control, query: str, values: dict[str, object]) -> list[str]:
    async with control.connection() as connection:
        cursor = await connection.execute(query.encode(), values)
        return [target for (target,) in await cursor.fetchall()]


_DUE = """
    SELECT target FROM kleidia_backup.schedules
    WHERE next_due <= coalesce(%(now)s, clock_timestamp()) GROUP BY target ORDER BY min(next_due), target
"""
_CHANGES = """
    SELECT each.target, document, version, reckoned
    FROM (
        SELECT target FROM kleidia_backup.settings
        WHERE changed_at > clock_timestamp() - make_interval(secs => %(changed)s)
        UNION SELECT unnest(%(fresh)s::text[])
    ) each
    LEFT JOIN kleidia_backup.settings USING (target)
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(kind, jsonb_build_array(cron, timezone, next_due IS NOT NULL)) AS reckoned
        FROM kleidia_backup.schedules WHERE schedules.target = each.target
    ) known ON true
"""
_ABANDONED = """
    SELECT DISTINCT target FROM kleidia_backup.jobs
    WHERE status IN ('pending', 'running')
      AND (heartbeat_at < now() - make_interval(secs => %(silence)s)
        OR coalesce(started_at, created_at) < now() - make_interval(secs => %(limit)s))
"""
_UNTOLD = """
    SELECT target FROM kleidia_backup.outbox
    WHERE ended_at IS NULL AND next_attempt_at <= clock_timestamp() GROUP BY target ORDER BY min(id)
"""
_UNCOPIED = """
    SELECT target FROM kleidia_backup.copy_runs
    WHERE replica IS NULL AND due_at <= clock_timestamp()
      OR replica IS NOT NULL AND beat_at < clock_timestamp() - make_interval(secs => %(silence)s)
    GROUP BY target ORDER BY min(due_at), target
"""
