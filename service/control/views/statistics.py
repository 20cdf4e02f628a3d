"""What ran, failed and was missed, day by day, in the time zone of the target's schedules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ..cron import Cron
    from ..database import Connection, Control
    from ..jobs import Kind

#: Most moments that are written down at once as missed: of a longer time nothing was to be expected.
MOST_MISSED = 1000
#: Days for which they are kept.
KEPT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The jobs of a kind on day number ``day`` (1 is the first); ``seconds`` and ``bytes`` of the completed ones.

    What the schedule made belongs to the day on which it was due.
    """

    day: int
    kind: Kind
    completed: int = 0
    failed: int = 0
    missed: int = 0
    bytes: int = 0
    seconds: float = 0.0


def days_until(now: datetime, number: int, zone: ZoneInfo) -> list[tuple[date, datetime]]:
    """The last days up to today with the moments at which each begins; some days have 23 hours, or 25."""
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(number))]
    return [(day, datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)) for day in days]


async def count(control: Control, target: str, begins: list[datetime]) -> list[Count]:
    """The counts of days that begin then, up to now. Raises what ``Control.connection`` raises."""
    async with control.connection() as connection, connection.cursor(row_factory=class_row(Count)) as cursor:
        await cursor.execute(_COUNT, {"target": target, "begins": begins})
        return await cursor.fetchall()


async def note_missed(
    connection: Connection, target: str, kind: Kind, cron: Cron, first: datetime, until: datetime
) -> None:
    """Write down the moments from ``first`` to before ``until`` at which nothing ran."""
    moments = [*_moments(cron, first, until)]
    await connection.execute(_NOTE, (target, kind, moments))
    await connection.execute(_FORGET, (target, KEPT))


def _moments(cron: Cron, first: datetime, until: datetime) -> Iterator[datetime]:
    moment = first
    for _ in range(MOST_MISSED):
        if moment >= until:
            return
        yield moment
        moment = cron.after(moment)


_NOTE = """
    INSERT INTO kleidia_backup.missed_runs (target, kind, due) SELECT %s, %s, unnest(%s::timestamptz[])
    ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM kleidia_backup.missed_runs WHERE target = %s AND due < now() - make_interval(days => %s)"
# Jobs are numbered as they are asked for, so the first one that is too old ends the reading: from the newest on, by the
# index. One whose transaction took long may have a number that is a little too high: hence the day.
_COUNT = """
    WITH ended AS (
        SELECT coalesce(scheduled_for, created_at) AS at, kind, status, size,
            extract(epoch FROM finished_at - started_at) AS seconds
        FROM kleidia_backup.jobs WHERE target = %(target)s AND status IN ('completed', 'failed') AND id > coalesce((
            SELECT id FROM kleidia_backup.jobs
            WHERE target = %(target)s AND created_at < (%(begins)s::timestamptz[])[1] - interval '1 day'
            ORDER BY id DESC LIMIT 1
        ), 0)
        UNION ALL
        SELECT due, kind, 'missed', NULL, NULL FROM kleidia_backup.missed_runs WHERE target = %(target)s
    )
    SELECT width_bucket(at, %(begins)s::timestamptz[]) AS day, kind,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'missed') AS missed,
        coalesce(sum(size) FILTER (WHERE status = 'completed'), 0)::bigint AS bytes,
        coalesce(sum(seconds) FILTER (WHERE status = 'completed'), 0)::double precision AS seconds
    FROM ended WHERE at >= (%(begins)s::timestamptz[])[1] GROUP BY 1, 2 ORDER BY 1, 2
"""
