"""Restores that ended in the middle, on whichever replica: every one of them reads the same here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..database import row_of

if TYPE_CHECKING:
    from ..database import Connection, Control


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRow:
    """A restore whose ``journal`` (a path) lies in the state directory ``place``, which ``replica`` looked at last.

    ``message`` is what the journal says; empty: the replica died before it was read. ``job_id`` is None after a
    command. ``here`` is whether a replica had the directory lately.
    """

    target: str
    place: str
    replica: str
    journal: str
    archive: str
    job_id: int | None
    message: str
    seen_at: datetime
    here: bool


class UnfinishedRestores:
    """The rows of all targets. Every method raises what ``Control.connection`` raises, or psycopg's errors with one."""

    def __init__(self, control: Control, dead: float) -> None:
        """``dead``: seconds after which a silent replica counts as dead; four of it, and its directory as gone."""
        self._control, self._lost = control, 4 * dead

    async def of(self, target: str, connection: Connection | None = None) -> list[UnfinishedRow]:
        """Those of a target whose job has ended, the one that was seen last first."""
        if connection is None:
            async with self._control.connection() as own:
                return await self.of(target, own)
        async with connection.cursor(row_factory=row_of(UnfinishedRow)) as cursor:
            await cursor.execute(_OF, {"target": target, "lost": self._lost})
            return await cursor.fetchall()

    async def begin(self, target: str, place: str, replica: str, journal: str, archive: str, job: int) -> None:
        """A job is going to restore, with that journal. What is known of an earlier one stays."""
        values = {"target": target, "place": place, "replica": replica, "journal": journal, "archive": archive}
        async with self._control.connection() as connection:
            await connection.execute(_BEGIN, values | {"job": job})

    async def found(
        self,
        target: str,
        place: str,
        replica: str,
        journal: str,
        archive: str,
        message: str,
        job: int | None,
        connection: Connection,
    ) -> None:
        """A replica has read a journal that no process holds; ``job`` wrote it, None: that is known, or nobody's."""
        values: dict[str, Any] = {"target": target, "place": place, "replica": replica, "journal": journal}
        await connection.execute(_FOUND, values | {"archive": archive, "message": message, "job": job})

    async def drop_begun(self, place: str, job: int, connection: Connection) -> None:
        """A job that was going to restore has ended, and its journal, if any, is looked at now."""
        await connection.execute(_DROP, (place, job))

    async def seen(self, place: str, replica: str, message: str, connection: Connection) -> None:
        """A replica has the directory, with a journal in it; ``message`` where that cannot be read, else empty."""
        await connection.execute(_SEEN, {"place": place, "replica": replica, "message": message})

    async def gone(self, place: str, job: int | None, connection: Connection) -> None:
        """There is no journal: nothing is unfinished there, whatever the target, but for jobs that still run.

        ``job`` is one that ends in this transaction.
        """
        await connection.execute(_GONE, {"place": place, "job": job})

    async def forget(self, target: str, place: str) -> None:
        """Tell of it no more."""
        async with self._control.connection() as connection:
            await connection.execute(
                "DELETE FROM kleidia_backup.unfinished_restores WHERE target = %s AND place = %s", (target, place)
            )


_OF = """
    SELECT target, place, replica, journal, archive, job_id, message, seen_at,
        seen_at > now() - make_interval(secs => %(lost)s) AS here
    FROM kleidia_backup.unfinished_restores unfinished
    WHERE target = %(target)s AND (message <> '' OR NOT EXISTS (
        SELECT FROM kleidia_backup.jobs job WHERE job.id = unfinished.job_id AND job.status <> 'failed'
    ))
    ORDER BY unfinished.seen_at DESC, place
"""
_BEGIN = """
    INSERT INTO kleidia_backup.unfinished_restores AS known (target, place, replica, journal, archive, job_id)
    VALUES (%(target)s, %(place)s, %(replica)s, %(journal)s, %(archive)s, %(job)s)
    ON CONFLICT (target, place) DO UPDATE
    SET replica = excluded.replica, archive = excluded.archive, job_id = excluded.job_id, begun_at = now(),
        seen_at = now()
    WHERE known.message = ''
"""
_FOUND = """
    INSERT INTO kleidia_backup.unfinished_restores AS known
        (target, place, replica, journal, archive, message, job_id)
    VALUES (%(target)s, %(place)s, %(replica)s, %(journal)s, %(archive)s, %(message)s, %(job)s)
    ON CONFLICT (target, place) DO UPDATE
    SET replica = excluded.replica, journal = excluded.journal, archive = excluded.archive,
        message = excluded.message, seen_at = now()
"""
_DROP = "DELETE FROM kleidia_backup.unfinished_restores WHERE place = %s AND job_id = %s AND message = ''"
_SEEN = """
    UPDATE kleidia_backup.unfinished_restores
    SET replica = %(replica)s, seen_at = now(), message = coalesce(nullif(%(message)s, ''), message)
    WHERE place = %(place)s
"""
_GONE = """
    DELETE FROM kleidia_backup.unfinished_restores unfinished
    WHERE place = %(place)s AND NOT EXISTS (
        SELECT FROM kleidia_backup.jobs job
        WHERE job.id = unfinished.job_id AND job.status IN ('pending', 'running') AND job.id <> coalesce(%(job)s, 0)
    )
"""
