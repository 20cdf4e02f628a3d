"""How each archive is in each copy, as the last run saw it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ....pipeline.archives.copied import CopyState

if TYPE_CHECKING:
    from ..database import Connection, Control

#: Seconds before an archive is tried again that was not copied, doubled each time up to the longest: a day, since
#: comparing reads both archives.
PAUSE, LONGEST = 60.0, 86400.0


class CopyStates:
    """The copies of one target. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control, target: str) -> None:
        self._control, self._target = control, target

    async def expect(self, copy: str, stored: Mapping[str, datetime]) -> None:
        """Archives belong there, stored in the first store then: what is not known yet is missing."""
        values = {"target": self._target, "copy": copy, "archives": list(stored), "stored": list(stored.values())}
        async with self._control.connection() as connection:
            await connection.execute(_EXPECT, values)

    async def may_begin(self, state: CopyState) -> bool:
        """Note that an archive is being copied; False when it failed a moment ago."""
        async with self._control.connection() as connection:
            cursor = await connection.execute(_BEGIN, (self._target, state.copy, state.archive))
            return cursor.rowcount == 1

    async def note(self, state: CopyState) -> None:
        """What became of an archive."""
        async with self._control.connection() as connection:
            await self._write(state, connection, tried=True)

    async def settle(self, copy: str, states: Collection[CopyState], connection: Connection) -> None:
        """What a whole run saw, within the caller's transaction; what belongs there no more is forgotten."""
        for state in states:
            await self._write(state, connection, tried=False)
        await connection.execute(_KEEP, (self._target, copy, [each.archive for each in states]))

    async def _write(self, state: CopyState, connection: Connection, *, tried: bool) -> None:
        values = {
            "target": self._target,
            "copy": state.copy,
            "archive": state.archive,
            "state": state.state,
            "size": state.size,
            "at": state.at,
            "error": state.error,
            "hint": state.hint,
            "tried": tried,
            "pause": PAUSE,
            "longest": LONGEST,
        }
        await connection.execute(_WRITE, values)

    async def of(self, archives: Collection[str]) -> dict[str, tuple[CopyState, ...]]:
        """The copies of these archives, by name; those of one in the order of the copies' names."""
        async with self._control.connection() as connection:
            rows = await (await connection.execute(_OF, (self._target, list(archives)))).fetchall()
        found: dict[str, list[CopyState]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(CopyState(*row))
        return {name: tuple(each) for name, each in found.items()}


_EXPECT = """
    INSERT INTO kleidia_backup.copies AS known (target, copy, archive, state, stored_at)
    SELECT %(target)s, %(copy)s, each.archive, 'missing', each.stored
    FROM unnest(%(archives)s::text[], %(stored)s::timestamptz[]) AS each (archive, stored)
    ON CONFLICT (target, copy, archive)
    DO UPDATE SET stored_at = excluded.stored_at, attempts = 0, next_attempt_at = now()
    WHERE known.stored_at <> excluded.stored_at
"""
_BEGIN = """
    UPDATE kleidia_backup.copies SET state = 'copying'
    WHERE target = %s AND copy = %s AND archive = %s AND next_attempt_at <= clock_timestamp()
"""
# What a run saw and did not try keeps what the last attempt said of it.
_WRITE = """
    UPDATE kleidia_backup.copies SET
        size = %(size)s, copied_at = %(at)s,
        state = CASE WHEN %(tried)s OR %(state)s = 'ok' OR attempts = 0 OR state = 'copying'
            THEN %(state)s ELSE state END,
        error = CASE WHEN %(tried)s OR %(state)s = 'ok' THEN %(error)s ELSE error END,
        hint = CASE WHEN %(tried)s OR %(state)s = 'ok' THEN %(hint)s ELSE hint END,
        attempts = CASE WHEN %(state)s = 'ok' THEN 0 WHEN %(tried)s THEN attempts + 1 ELSE attempts END,
        next_attempt_at = CASE WHEN %(state)s = 'ok' THEN now() WHEN %(tried)s
            THEN now() + make_interval(secs => least(%(longest)s, %(pause)s * 2 ^ least(attempts, 20)))
            ELSE next_attempt_at END
    WHERE target = %(target)s AND copy = %(copy)s AND archive = %(archive)s
"""
_KEEP = "DELETE FROM kleidia_backup.copies WHERE target = %s AND copy = %s AND archive <> ALL(%s::text[])"
_OF = """
    SELECT archive, copy, state, size, copied_at, error, hint FROM kleidia_backup.copies
    WHERE target = %s AND archive = ANY(%s::text[]) ORDER BY archive, copy
"""
