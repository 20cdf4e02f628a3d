"""The queue: procrastinate on the control database, with its tables in our schema and one worker in this process.

A job is a row of our own table first; the queue only carries its id to a replica that is free. What was written but
never reached the queue (the replica died in between, the schedule wrote it) is delivered again by ``deliver``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import procrastinate
import psycopg
import structlog
from procrastinate import exceptions
from procrastinate.jobs import Status
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...stages.background import AGAIN
from ...stages.errors import DatabaseUnreachable
from ...stages.pg.server.settings import CONTROL_SCHEMA, PostgresSettings
from ..control.database import RECONNECT, Control, lively
from ..control.jobs import QUEUEING_LOCK, READING

if TYPE_CHECKING:
    from ...config.service import Intervals

_CONNECTIONS = 4
#: Kinds of jobs that go first: somebody waits for a restore.
URGENT = frozenset({"restore"})
#: Seconds for the job that was ended to clean up, when the service stops.
_CLEANUP = 60.0


def queue_names(target: str) -> tuple[str, str]:
    """The queue of a target, and the one before it, from which what still waits there is taken.

    Workers of versions that knew backups and restores alone take from that one, and would restore what is to be
    verified. Short, for the name of a channel of PostgreSQL's has at most 63 bytes.
    """
    older = f"kleidia-{hashlib.sha256(target.encode()).hexdigest()[:16]}"
    return f"{older}-2", older


class Routes(Protocol):
    """Which queues this process takes jobs from, and into which a target's jobs are put."""

    @property
    def taken(self) -> tuple[str, ...]:
        """The queues that are taken from."""

    @property
    def targets(self) -> Collection[str]:
        """The targets whose jobs are put into queues here."""

    def of(self, target: str) -> str:
        """The queue of a target's jobs."""


@dataclass(frozen=True, slots=True)
class OneTarget:
    """The queues where one target is all that this process serves."""

    target: str

    @property
    def taken(self) -> tuple[str, ...]:
        """The target's own, and the one before it."""
        return queue_names(self.target)

    @property
    def targets(self) -> Collection[str]:
        """The target."""
        return (self.target,)

    def of(self, _: str) -> str:
        """The target's own."""
        return self.taken[0]


class Queue:
    """The jobs of one target, or of several. Entered, it takes them in and out; from ``begin`` on they are run here.

    Between the two comes the first sweep: what a dead replica left in the queue is taken out before a job is run.

    ``most`` at a time. ``run`` runs one by its id; ``stop`` ends the running ones for the reason that it is given.
    """

    def __init__(
        self,
        control: Control,
        routes: Routes,
        *,
        run: Callable[[int], Awaitable[None]],
        stop: Callable[[str], None],
        intervals: Intervals,
        grace: float,
        most: int = 1,
    ) -> None:
        self._control, self._routes, self._most = control, routes, most
        self._stop, self._intervals, self._grace = stop, intervals, grace
        self._log = structlog.get_logger("kleidia_backup.queue")
        self._app = procrastinate.App(connector=_connector(control.settings))

        async def run_job(job_id: int) -> None:
            self._busy += 1
            self._own[job_id] = inf
            try:
                await run(job_id)
            finally:
                self._busy -= 1
                self._own[job_id] = monotonic()

        self._task = self._app.task(name="run_job", queue=routes.taken[0])(run_job)
        self._worker: asyncio.Task[None] | None = None
        self._closing, self._busy = False, 0
        self._own: dict[int, float] = {}  # jobs that this process runs or has run, and when they ended

    async def __aenter__(self) -> Self:
        try:
            await self._app.open_async()
        except exceptions.ConnectorException as exc:
            raise DatabaseUnreachable(
                f"The queue cannot reach the control database ({self._control.settings.where()}).",
                hint="Check that the database takes more connections.",
            ) from exc
        return self

    def begin(self) -> None:
        """Run the jobs that this process gets hold of, until the queue is left."""
        # A plain task: its worker ends gracefully when it is cancelled once, and anyio's scopes cancel again and again.
        self._worker = asyncio.create_task(self._work(), name="queue worker")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more jobs; let the running one end within the grace, else end it."""
        self._closing = True
        if self._worker is not None:
            self._worker.cancel()
            if not await self._ended(self._grace):
                self._stop("The service was stopped.")
                if not await self._ended(_CLEANUP):
                    self._log.error("a job did not end; its replica counts as dead from now on")
        await self._app.close_async()

    async def _ended(self, seconds: float) -> bool:
        """Whether the worker ends in that time. A second cancellation would end its job, so only an idle one gets it.

        It may need it: see ``stages.background``.
        """
        assert self._worker is not None
        end = monotonic() + seconds
        while not self._worker.done() and (left := end - monotonic()) > 0:
            await asyncio.wait({self._worker}, timeout=min(left, AGAIN))
            if not self._busy:
                self._worker.cancel()
        return self._worker.done()

    async def defer(self, job_id: int, target: str | None = None, *, kind: str = "backup") -> None:
        """Put a job of a kind into its target's queue (None: the only one's); nothing when it is there.

        An urgent one is taken before those that wait. A database that is away is left to ``deliver``.
        """
        target = target or next(iter(self._routes.targets))
        how = self._task.configure(
            queue=self._routes.of(target),
            lock=f"reading {target}" if kind in READING else target,
            queueing_lock=f"{QUEUEING_LOCK}{job_id}",
            priority=int(kind in URGENT),
        )
        try:
            await how.defer_async(job_id=job_id)
        except exceptions.AlreadyEnqueued:
            pass
        except exceptions.ConnectorException as exc:
            self._log.warning("job is not in the queue yet", job=job_id, error=type(exc).__name__)

    async def deliver(self) -> None:
        """Put jobs into the queue that wait and are not there. Raises what ``Control.connection`` raises."""
        async with self._control.connection() as connection:
            waiting = await (await connection.execute(_UNDELIVERED, (self._intervals.poll, QUEUEING_LOCK))).fetchall()
        known = self._routes.targets
        for job_id, target, kind in waiting:
            if target in known:
                self._log.info("job delivered again", job=job_id)
                await self.defer(job_id, target, kind=kind)

    async def sweep(self) -> None:
        """Take out of the queue what blocks it: entries of workers that are dead, and of jobs that have ended.

        Raises what ``Control.connection`` raises.
        """
        dead = self._intervals.dead
        # When the database was away, our own worker looks dead to us until it has said again that it lives; then it
        # takes its entry out itself.
        self._own = {job_id: ended for job_id, ended in self._own.items() if ended + dead > monotonic()}
        values = {"queues": [*self._routes.taken], "dead": dead, "own": [*self._own]}
        async with self._control.connection() as connection:
            cursor = await connection.execute(_BLOCKING, values)
            blocking = [number for (number,) in await cursor.fetchall()]
        for number in blocking:
            with suppress(exceptions.ConnectorException):  # another replica was faster
                await self._app.job_manager.finish_job_by_id_async(number, Status.FAILED, delete_job=True)
                self._log.warning("removed from the queue: its worker is dead, or its job has ended", entry=number)

    async def _work(self) -> None:
        """A worker, and another one whenever the database was away and ended it."""
        while not self._closing:
            try:
                await self._app.run_worker_async(
                    queues=[*self._routes.taken],
                    concurrency=self._most,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=self._intervals.poll,
                    abort_job_polling_interval=3600.0,  # jobs are cancelled by their own rows
                    update_heartbeat_interval=self._intervals.dead / 3,
                    stalled_worker_timeout=self._intervals.dead,
                    delete_jobs="always",
                )
            except (exceptions.ProcrastinateException, psycopg.Error) as exc:
                self._log.warning("the queue's worker ended", error=type(exc).__name__)
            except Exception:  # noqa: BLE001 - logged, and the replica goes on
                self._log.exception("the queue's worker ended in a way nobody expected")
            await asyncio.sleep(self._intervals.poll)


def _connector(settings: PostgresSettings) -> procrastinate.PsycopgConnector:
    """Connections for procrastinate: its unqualified names mean our schema."""
    conninfo = lively(settings)
    options = f"{conninfo_to_dict(conninfo).get('options') or ''} -c search_path={CONTROL_SCHEMA}".strip()
    kwargs: dict[str, Any] = {"fallback_application_name": "kleidia-backup queue"}
    return procrastinate.PsycopgConnector(
        conninfo=make_conninfo(conninfo, options=options),
        kwargs=kwargs,
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=10.0,
        reconnect_timeout=RECONNECT,
        name="queue",
    )


# A worker that is gone leaves its entries behind, without a worker or with one that is silent; one that lost the
# database at the wrong moment leaves an entry of a job that has ended.
_BLOCKING = """
    SELECT queued.id FROM kleidia_backup.procrastinate_jobs queued
    LEFT JOIN kleidia_backup.procrastinate_workers worker ON worker.id = queued.worker_id
    LEFT JOIN kleidia_backup.jobs job ON job.id = (queued.args ->> 'job_id')::bigint
    WHERE queued.queue_name = ANY(%(queues)s) AND queued.status = 'doing'
      AND (queued.args ->> 'job_id')::bigint <> ALL(%(own)s::bigint[])
      AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(dead)s)
        OR job.id IS NULL OR job.finished_at < now() - make_interval(secs => %(dead)s))
"""
_UNDELIVERED = """
    SELECT id, target, kind FROM kleidia_backup.jobs job
    WHERE status = 'pending' AND created_at <= now() - make_interval(secs => %s)
      AND NOT EXISTS (
        SELECT FROM kleidia_backup.procrastinate_jobs queued
        WHERE queued.queueing_lock = %s || job.id AND queued.status IN ('todo', 'doing')
      )
      AND NOT EXISTS (SELECT FROM kleidia_backup.admissions WHERE job_id = job.id AND admitted_at IS NULL)
    ORDER BY id
"""
