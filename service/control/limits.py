"""Limits on how often something may be asked for, counted over all replicas of a target.

Fixed windows by the database's clock: a caller at the end of one window and the beginning of the next gets
twice the limit within a moment, and never more. Attempts that are refused count as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .database import Control

#: Longest window in seconds; what is older than two of them is deleted.
LONGEST_WINDOW = 86_400
_LONGEST_KEY = 200


class Limits:
    """The counters of one target."""

    def __init__(self, control: Control, target: str) -> None:
        self._control = control
        self._target = target

    async def take(self, key: str, limit: int, seconds: int) -> float | None:
        """Count one attempt under ``key``: None when it is among the ``limit`` of this window of ``seconds``.

        Otherwise how many seconds are left until the next window. Keys are what is limited and for whom, for example
        ``restore:192.0.2.7``. Raises what ``Control.connection`` raises: an attempt that cannot be counted is not made.
        """
        assert 1 <= seconds <= LONGEST_WINDOW, seconds
        key = key.encode("utf-8", "replace").decode().replace("\0", "?")[:_LONGEST_KEY]
        values = {"target": self._target, "key": key, "limit": limit, "seconds": seconds}
        async with self._control.connection() as connection:
            cursor = await connection.execute(_TAKE, values)
            count, left = await cursor.fetchone() or (0, 0.0)
            if count == 1:  # a new window began: time to sweep
                await connection.execute(_SWEEP, {"seconds": 2 * LONGEST_WINDOW})
        return None if count <= limit else max(float(left), 0.001)


# A count stops one above its limit: a number that grows for years would overflow.
_TAKE = """
    INSERT INTO kleidia_backup.limits AS mine (target, key, window_start, count)
    VALUES (%(target)s, %(key)s, to_timestamp(floor(extract(epoch FROM now()) / %(seconds)s) * %(seconds)s), 1)
    ON CONFLICT (target, key, window_start) DO UPDATE SET count = least(mine.count, %(limit)s) + 1
    RETURNING count, extract(epoch FROM window_start - now())::double precision + %(seconds)s
"""
# Replicas that sweep at the same time do not wait for each other.
_SWEEP = """
    DELETE FROM kleidia_backup.limits WHERE (target, key, window_start) IN (
        SELECT target, key, window_start FROM kleidia_backup.limits
        WHERE window_start < now() - make_interval(secs => %(seconds)s) LIMIT 1000 FOR UPDATE SKIP LOCKED
    )
"""
