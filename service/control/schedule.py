"""When each target's next scheduled backup is due, as all replicas see it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from .database import Connection, Control


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """The schedule of one target. ``cron`` and ``timezone`` are those that ``next_due`` was reckoned with.

    ``next_due`` None: nothing is due (switched off, or not looked at yet). ``last_due`` was the last that was fired,
    at ``last_fired``.
    """

    target: str
    cron: str | None = None
    timezone: str | None = None
    next_due: datetime | None = None
    last_due: datetime | None = None
    last_fired: datetime | None = None


class Schedule:
    """The table of schedules. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def next_due(self, target: str) -> datetime | None:
        """When the target's next scheduled backup is due; in the past while it waits for another job to end."""
        async with self._control.connection() as connection:
            cursor = await connection.execute(
                "SELECT next_due FROM kleidia_backup.schedules WHERE target = %s", (target,)
            )
            row = await cursor.fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def locked(self, target: str) -> AsyncIterator[tuple[Connection, ScheduleRow] | None]:
        """The target's row and a transaction in which it is ours; None when another replica has it at the moment."""
        async with (
            self._control.connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=class_row(ScheduleRow)) as cursor,
        ):
            await cursor.execute(_MAKE, (target,))
            await cursor.execute(_LOCK, (target,))
            row = await cursor.fetchone()
            yield None if row is None else (connection, row)

    async def save(self, row: ScheduleRow, connection: Connection) -> None:
        """Write a row that is locked."""
        values = (row.cron, row.timezone, row.next_due, row.last_due, row.last_fired, row.target)
        await connection.execute(_SAVE, values)

    async def moment(self, connection: Connection) -> datetime:
        """The database's clock, which is the same for every replica."""
        cursor = await connection.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
        assert row is not None
        found: datetime = row[0]
        return found

    async def fired(self, target: str, due: datetime, connection: Connection) -> bool:
        """Whether there is a job for that moment."""
        cursor = await connection.execute(_FIRED, (target, due))
        return await cursor.fetchone() is not None


_MAKE = "INSERT INTO kleidia_backup.schedules (target) VALUES (%s) ON CONFLICT DO NOTHING"
_LOCK = "SELECT * FROM kleidia_backup.schedules WHERE target = %s FOR UPDATE SKIP LOCKED"
_SAVE = """
    UPDATE kleidia_backup.schedules
    SET cron = %s, timezone = %s, next_due = %s, last_due = %s, last_fired = %s WHERE target = %s
"""
_FIRED = "SELECT FROM kleidia_backup.jobs WHERE target = %s AND scheduled_for = %s"
