"""When each target's next scheduled jobs are due, one of each kind, shared by all replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .database import row_of

if TYPE_CHECKING:
    from .database import Connection, Control
    from .jobs import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """The schedule of one target for one kind of job.

    ``cron`` and ``timezone`` are those that ``next_due`` was reckoned with. ``next_due`` None: nothing is due (switched
    off, or not looked at yet). ``last_due`` was the last that was fired, at ``last_fired``.
    """

    target: str
    kind: Kind = "backup"
    cron: str | None = None
    timezone: str | None = None
    next_due: datetime | None = None
    last_due: datetime | None = None
    last_fired: datetime | None = None


class Schedule:
    """The table of schedules. Every method raises what ``Control.connection`` raises."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def next_due(self, target: str, kind: Kind = "backup") -> datetime | None:
        """When the target's next scheduled job of a kind is due; in the past while it waits for another one to end."""
        async with self._control.connection() as connection:
            cursor = await connection.execute(
                "SELECT next_due FROM kleidia_backup.schedules WHERE target = %s AND kind = %s", (target, kind)
            )
            row = await cursor.fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def locked(
        self, target: str, kinds: Sequence[Kind] = ("backup",)
    ) -> AsyncIterator[tuple[Connection, list[ScheduleRow]] | None]:
        """The target's rows for these kinds, locked, and their transaction; None while another replica has them."""
        async with (
            self._control.connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=row_of(ScheduleRow)) as cursor,
        ):
            await cursor.execute(_MAKE, (target, [*kinds]))
            first, *others = kinds
            await cursor.execute(_LOCK, (target, first))  # whoever has it has the others, or waits for them a moment
            row = await cursor.fetchone()
            if row is None:
                yield None
                return
            await cursor.execute(_LOCK_OTHERS, (target, others))
            found = {each.kind: each for each in (row, *await cursor.fetchall())}
            yield connection, [found[kind] for kind in kinds]

    async def save(self, row: ScheduleRow, connection: Connection) -> None:
        """Write a row that is locked."""
        values = (row.cron, row.timezone, row.next_due, row.last_due, row.last_fired, row.target, row.kind)
        await connection.execute(_SAVE, values)

    async def moment(self, connection: Connection) -> datetime:
        """The database's clock, which is the same for every replica."""
        cursor = await connection.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
        assert row is not None
        found: datetime = row[0]
        return found

    async def fired(self, row: ScheduleRow, due: datetime, connection: Connection) -> bool:
        """Whether there is a job for that moment."""
        cursor = await connection.execute(_FIRED, (row.target, row.kind, due))
        return await cursor.fetchone() is not None


_MAKE = """
    INSERT INTO kleidia_backup.schedules (target, kind) SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT * FROM kleidia_backup.schedules WHERE target = %s AND kind = %s FOR UPDATE SKIP LOCKED"
_LOCK_OTHERS = "SELECT * FROM kleidia_backup.schedules WHERE target = %s AND kind = ANY(%s) ORDER BY kind FOR UPDATE"
_SAVE = """
    UPDATE kleidia_backup.schedules
    SET cron = %s, timezone = %s, next_due = %s, last_due = %s, last_fired = %s
    WHERE target = %s AND kind = %s
"""
_FIRED = "SELECT FROM kleidia_backup.jobs WHERE target = %s AND kind = %s AND scheduled_for = %s"
