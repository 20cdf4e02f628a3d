"""A queue that lets in only so many jobs of one store at a time, the longest due first.

A job that waits for its store holds up no other: it is not in the queue yet. Its row in ``admissions`` says since when
it is due; whoever ends a job of that store lets the next one in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..work.queue import URGENT, Queue

if TYPE_CHECKING:
    from ..control.database import Control
    from ..work.queue import Routes


class LimitedQueue(Queue):
    """As ``Queue``, with at most ``per_store`` jobs of one store in the queue or running, on all replicas together.

    0: no limit. ``store_of`` says which store a target's jobs use.
    """

    def __init__(
        self,
        control: Control,
        routes: Routes,
        *,
        per_store: int,
        store_of: Callable[[str], Awaitable[str]],
        run: Callable[[int], Awaitable[None]],
        **how: Any,
    ) -> None:
        self._per_store, self._store_of = per_store, store_of

        async def run_and_leave(job_id: int) -> None:
            try:
                await run(job_id)
            finally:
                await self._leave(job_id)

        super().__init__(control, routes, run=run_and_leave if per_store else run, **how)

    async def defer(self, job_id: int, target: str | None = None, *, kind: str = "backup") -> None:
        """Put a job into the queue, or where it waits for its store. An urgent one never waits there.

        Raises what ``Control.connection`` raises.
        """
        if not self._per_store or kind in URGENT or target is None:
            await super().defer(job_id, target, kind=kind)
            return
        store, queue = await self._store_of(target), self._routes.of(target)
        async with self._control.connection() as connection:
            values = {"job": job_id, "target": target, "store": store, "queue": queue}
            row = await (await connection.execute(_ENTER, values)).fetchone()
        if row == (True,):
            await super().defer(job_id, target, kind=kind)
        else:
            await self._let_in(store)

    async def sweep(self) -> None:
        """As ``Queue.sweep``; and let in what has room by now. Raises what ``Control.connection`` raises."""
        await super().sweep()
        if not self._per_store:
            return
        async with self._control.connection() as connection:
            await connection.execute(_ENDED)
            cursor = await connection.execute(_WAITING, ([*self._routes.taken],))
            stores = [store for (store,) in await cursor.fetchall()]
        for store in stores:
            await self._let_in(store)

    async def move(self) -> None:
        """Move what waits in another queue than its target's: its labels have changed, or it had a service alone.

        Raises what ``Control.connection`` raises.
        """
        known = self._routes.targets
        async with self._control.connection() as connection:
            for elsewhere, move in ((_ELSEWHERE, _MOVE), (_WAITS_ELSEWHERE, _MOVE_WAITING)):
                cursor = await connection.execute(elsewhere.encode())
                for number, target, queue in await cursor.fetchall():
                    if target in known and (wanted := self._routes.of(target)) != queue:
                        await connection.execute(move.encode(), (wanted, number))

    async def _leave(self, job_id: int) -> None:
        async with self._control.connection() as connection:
            row = await (await connection.execute(_LEAVE, (job_id,))).fetchone()
        if row is not None:
            await self._let_in(row[0])

    async def _let_in(self, store: str) -> None:
        values = {"store": store, "most": self._per_store, "queues": [*self._routes.taken]}
        async with self._control.connection() as connection, connection.transaction():
            await connection.execute(_LOCK, (store,))
            found = await (await connection.execute(_LET_IN, values)).fetchall()
        for _, job_id, target, kind in sorted(found):
            await super().defer(job_id, target, kind=kind)


_ENTER = """
    INSERT INTO kleidia_backup.admissions AS mine (job_id, target, store, queue, due)
    SELECT id, %(target)s, %(store)s, %(queue)s, coalesce(scheduled_for, created_at)
    FROM kleidia_backup.jobs WHERE id = %(job)s
    ON CONFLICT (job_id) DO UPDATE SET due = mine.due
    RETURNING admitted_at IS NOT NULL
"""
_LEAVE = """
    DELETE FROM kleidia_backup.admissions
    WHERE job_id = %s AND NOT EXISTS (
        SELECT FROM kleidia_backup.jobs WHERE id = job_id AND status IN ('pending', 'running')
    )
    RETURNING store
"""
_ENDED = """
    DELETE FROM kleidia_backup.admissions waiting WHERE NOT EXISTS (
        SELECT FROM kleidia_backup.jobs WHERE id = waiting.job_id AND status IN ('pending', 'running')
    )
"""
_ELSEWHERE = """
    SELECT queued.id, job.target, queue_name FROM kleidia_backup.procrastinate_jobs queued
    JOIN kleidia_backup.jobs job ON job.id = (args ->> 'job_id')::bigint
    WHERE queued.status = 'todo' AND task_name = 'run_job'
"""
_MOVE = "UPDATE kleidia_backup.procrastinate_jobs SET queue_name = %s WHERE id = %s AND status = 'todo'"
_WAITS_ELSEWHERE = "SELECT job_id, target, queue FROM kleidia_backup.admissions WHERE admitted_at IS NULL"
_MOVE_WAITING = "UPDATE kleidia_backup.admissions SET queue = %s WHERE job_id = %s"
_WAITING = """
    SELECT DISTINCT store FROM kleidia_backup.admissions WHERE admitted_at IS NULL AND queue = ANY(%s)
"""
# Replicas must not both count the same room.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kleidia_backup.store ' || %s, 0))"
_LET_IN = """
    UPDATE kleidia_backup.admissions waiting SET admitted_at = now() FROM kleidia_backup.jobs job
    WHERE job.id = waiting.job_id AND waiting.admitted_at IS NULL AND waiting.job_id IN (
        SELECT job_id FROM kleidia_backup.admissions
        JOIN kleidia_backup.jobs ON id = job_id AND status = 'pending'
        WHERE store = %(store)s AND queue = ANY(%(queues)s) AND admitted_at IS NULL
        ORDER BY due, job_id
        LIMIT greatest(0, %(most)s - (
            SELECT count(*) FROM kleidia_backup.admissions
            JOIN kleidia_backup.jobs ON id = job_id AND status IN ('pending', 'running')
            WHERE store = %(store)s AND admitted_at IS NOT NULL
        ))
    )
    RETURNING waiting.due, waiting.job_id, waiting.target, job.kind
"""
