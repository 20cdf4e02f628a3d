"""Who fills which copy, and when the next time is: one replica at a time for each copy of a target."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..database import Connection, Control

#: Seconds between two looks at a copy in which nothing is missing: what else changes archives is seen then.
INTERVAL = 900.0
#: Seconds before the next attempt after one that failed, doubled each time up to the longest.
PAUSE, LONGEST = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class CopyRun:
    """One copy of a target: ``lag`` in seconds, how many archives are in each state, and what was said last."""

    copy: str
    lag: float
    states: dict[str, int]
    running: bool
    checked_at: datetime | None
    error: str
    hint: str


class CopyRuns:
    """The runs of one target. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control, target: str) -> None:
        self._control, self._target = control, target

    async def register(self, copies: Collection[str]) -> None:
        """Let these be filled from now on, and forget those that are configured no more."""
        values = {"target": self._target, "copies": list(copies)}
        async with self._control.connection() as connection, connection.transaction():
            for statement in (_REGISTER, _FORGET_RUNS, _FORGET_COPIES):
                await connection.execute(statement, values)

    async def wake(self, *, retry: bool = False) -> None:
        """Let every copy be filled now; with ``retry`` also what failed a moment ago."""
        async with self._control.connection() as connection, connection.transaction():
            await connection.execute(_WAKE, (self._target,))
            if retry:
                await connection.execute(_RETRY, (self._target,))

    async def take(self, replica: str, dead: float) -> str | None:
        """A copy that is due, for this replica alone as long as it beats; None when there is none."""
        values = {"target": self._target, "replica": replica, "dead": dead}
        async with self._control.connection() as connection:
            row = await (await connection.execute(_TAKE, values)).fetchone()
        return None if row is None else str(row[0])

    async def beat(self, copy: str, replica: str) -> bool:
        """Say that the run goes on; whether it is still ours."""
        async with self._control.connection() as connection:
            return (await connection.execute(_BEAT, (self._target, copy, replica))).rowcount == 1

    async def release(self, copy: str, replica: str) -> None:
        """Give up a run that did not end: it is due at once."""
        async with self._control.connection() as connection:
            await connection.execute(_RELEASE, (self._target, copy, replica))

    async def end(
        self, copy: str, replica: str, error: str, hint: str, *, well: bool, lag: float, connection: Connection
    ) -> str:
        """Note the end of a run within the caller's transaction.

        Returns ``lagging`` or ``recovered`` when that is to be told now: each once, whichever replica was there.
        ``lag`` is for how many seconds an archive may lack its copy.
        """
        values = {
            "target": self._target,
            "copy": copy,
            "replica": replica,
            "error": error,
            "hint": hint,
            "well": well,
            "interval": INTERVAL,
            "pause": PAUSE,
            "longest": LONGEST,
        }
        await connection.execute(_END, values)
        row = await (await connection.execute(_BEHIND, (self._target, copy))).fetchone()
        behind = row is not None and row[0] > lag
        told = await connection.execute(_TOLD if behind else _WELL_AGAIN, (self._target, copy))
        return ("lagging" if behind else "recovered") if told.rowcount == 1 else ""

    async def all(self) -> list[CopyRun]:
        """Every copy, by name."""
        async with self._control.connection() as connection:
            rows = await (await connection.execute(_ALL, (self._target,))).fetchall()
        return [CopyRun(*row) for row in rows]


_REGISTER = """
    INSERT INTO kleidia_backup.copy_runs (target, copy)
    SELECT %(target)s, unnest(%(copies)s::text[]) ON CONFLICT DO NOTHING
"""
_FORGET_RUNS = "DELETE FROM kleidia_backup.copy_runs WHERE target = %(target)s AND copy <> ALL(%(copies)s::text[])"
_FORGET_COPIES = "DELETE FROM kleidia_backup.copies WHERE target = %(target)s AND copy <> ALL(%(copies)s::text[])"
_WAKE = "UPDATE kleidia_backup.copy_runs SET due_at = now() WHERE target = %s"
_RETRY = "UPDATE kleidia_backup.copies SET next_attempt_at = now(), attempts = 0 WHERE target = %s AND state <> 'ok'"
# A run that began is due again only when it ends: what woke it meanwhile is seen by the date.
_TAKE = """
    UPDATE kleidia_backup.copy_runs
    SET replica = %(replica)s, beat_at = clock_timestamp(), due_at = 'infinity'
    WHERE (target, copy) = (
        SELECT target, copy FROM kleidia_backup.copy_runs
        WHERE target = %(target)s
          AND (replica IS NULL AND due_at <= clock_timestamp()
            OR replica IS NOT NULL AND beat_at < clock_timestamp() - make_interval(secs => %(dead)s))
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING copy
"""
_BEAT = """
    UPDATE kleidia_backup.copy_runs SET beat_at = clock_timestamp() WHERE target = %s AND copy = %s AND replica = %s
"""
_RELEASE = """
    UPDATE kleidia_backup.copy_runs SET replica = NULL, due_at = now() WHERE target = %s AND copy = %s AND replica = %s
"""
_END = """
    UPDATE kleidia_backup.copy_runs
    SET replica = NULL, checked_at = now(), error = %(error)s, hint = %(hint)s,
        attempts = CASE WHEN %(well)s THEN 0 ELSE attempts + 1 END,
        due_at = least(due_at, now() + make_interval(secs => CASE WHEN %(well)s THEN %(interval)s
            ELSE least(%(longest)s, %(pause)s * 2 ^ least(attempts, 20)) END))
    WHERE target = %(target)s AND copy = %(copy)s AND replica = %(replica)s
"""
_BEHIND = """
    SELECT coalesce(extract(epoch FROM now() - min(stored_at)), 0)::float8 FROM kleidia_backup.copies
    WHERE target = %s AND copy = %s AND state <> 'ok'
"""
_TOLD = "UPDATE kleidia_backup.copy_runs SET told_at = now() WHERE target = %s AND copy = %s AND told_at IS NULL"
_WELL_AGAIN = """
    UPDATE kleidia_backup.copy_runs SET told_at = NULL WHERE target = %s AND copy = %s AND told_at IS NOT NULL
"""
_ALL = """
    SELECT run.copy,
        coalesce(extract(epoch FROM now() - min(each.stored_at) FILTER (WHERE each.state <> 'ok')), 0)::float8,
        coalesce((
            SELECT jsonb_object_agg(state, number) FROM (
                SELECT state, count(*) AS number FROM kleidia_backup.copies counted
                WHERE counted.target = run.target AND counted.copy = run.copy GROUP BY state
            ) counts
        ), '{}'),
        run.replica IS NOT NULL, run.checked_at, run.error, run.hint
    FROM kleidia_backup.copy_runs run LEFT JOIN kleidia_backup.copies each USING (target, copy)
    WHERE run.target = %s GROUP BY run.target, run.copy ORDER BY run.copy
"""
