"""The outbox: messages that are written with what they tell of, and wait in the control database until they are sent.

Of each channel the oldest message goes first, and the next one waits for it: a backup's start never arrives after its
end. A replica that takes one has a while to send it, in which no other takes it. One that dies between sending and
noting that leaves a message that is sent again, under the same id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from ...notify.channel import PATIENCE, Channel
from ...notify.message import Message

if TYPE_CHECKING:
    from .database import Connection, Control
    from .jobs import Job

#: Seconds for which a message is a replica's that has taken it: longer than an attempt takes.
LEASE = 6 * PATIENCE
#: Seconds before the next attempt, after the first, the second and so on; after the last the message is given up.
BACKOFF = (10.0, 60.0, 300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0)
#: How often one is tried again that the other side refuses.
REFUSED = 2
#: Days for which messages that were sent, or wait for a channel that is gone, are kept.
_KEPT, _ABANDONED = 30, 7


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that this replica has taken; it is the ``attempts``-th time."""

    id: int
    message: Message
    attempts: int


class Outbox:
    """The messages of one target. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control, target: str, channels: Iterable[Channel]) -> None:
        self._control, self._target = control, target
        self.channels = tuple(channels)

    async def failed_before(self, job: Job, connection: Connection) -> bool:
        """Whether the one of its kind that ended before it had failed: then its success is told as a recovery."""
        cursor = await connection.execute(_BEFORE, (self._target, job.kind, job.id))
        return await cursor.fetchone() == ("failed",)

    async def add(self, message: Message, connection: Connection) -> None:
        """Put a message in, for each channel that wants it, within the caller's transaction."""
        for channel in self.channels:
            if named := message.named(channel.wants):
                await connection.execute(_ADD, (self._target, channel.name, Jsonb(named.json())))

    async def take(self, channel: Channel) -> Waiting | None:
        """The oldest message of a channel, if it is due and no other replica has it."""
        async with self._control.connection() as connection:
            values = {"target": self._target, "channel": channel.name, "lease": LEASE}
            row = await (await connection.execute(_TAKE, values)).fetchone()
        return None if row is None else Waiting(row[0], Message.of(row[1]), row[2])

    async def sent(self, waiting: Waiting) -> None:
        """It was sent."""
        async with self._control.connection() as connection:
            await connection.execute(_SENT, (waiting.id,))

    async def failed(self, waiting: Waiting, error: str, *, refused: bool = False) -> bool:
        """It was not sent; whether it will be tried again. One that is ``refused`` holds up those behind it less."""
        pauses = BACKOFF[:REFUSED] if refused else BACKOFF
        again = pauses[waiting.attempts - 1] if waiting.attempts <= len(pauses) else None
        async with self._control.connection() as connection:
            await connection.execute(_FAILED, {"id": waiting.id, "error": error, "again": again})
        return again is not None

    async def sweep(self) -> None:
        """Remove what ended long ago, and what waits for a channel that is not configured any more."""
        async with self._control.connection() as connection:
            await connection.execute(_SWEEP, (self._target, _KEPT, _ABANDONED))


_BEFORE = """
    SELECT status FROM kleidia_backup.jobs
    WHERE target = %s AND kind = %s AND id < %s AND status IN ('completed', 'failed') ORDER BY id DESC LIMIT 1
"""
_ADD = "INSERT INTO kleidia_backup.outbox (target, channel, message) VALUES (%s, %s, %s)"
# The condition on the moment is looked at again when another replica was faster.
_TAKE = """
    UPDATE kleidia_backup.outbox
    SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => %(lease)s)
    WHERE next_attempt_at <= clock_timestamp() AND id = (
        SELECT min(id) FROM kleidia_backup.outbox
        WHERE target = %(target)s AND channel = %(channel)s AND ended_at IS NULL
    )
    RETURNING id, message, attempts
"""
_SENT = "UPDATE kleidia_backup.outbox SET ended_at = now(), error = NULL WHERE id = %s"
_FAILED = """
    UPDATE kleidia_backup.outbox
    SET error = %(error)s, ended_at = CASE WHEN %(again)s::double precision IS NULL THEN now() END,
        next_attempt_at = clock_timestamp() + make_interval(secs => coalesce(%(again)s::double precision, 0))
    WHERE id = %(id)s
"""
_SWEEP = """
    DELETE FROM kleidia_backup.outbox
    WHERE target = %s AND (ended_at < now() - make_interval(days => %s)
        OR ended_at IS NULL AND created_at < now() - make_interval(days => %s))
"""
