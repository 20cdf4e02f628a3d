"""The queue: procrastinate on the control database, with its tables in our schema and one worker in this process.

A job is a row of ours first; the queue only carries its id to a replica that is free. What was written but never
reached the queue (the replica died in between, the schedule wrote it) is delivered again by ``deliver``.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import procrastinate
import psycopg
import structlog
from procrastinate import exceptions
from procrastinate.jobs import Status
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...stages.errors import DatabaseUnreachable
from ...stages.pg.settings import CONTROL_SCHEMA
from ..control.database import RECONNECT, lively
from ..control.jobs import QUEUEING_LOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ...stages.pg.settings import PostgresSettings
    from ..control.database import Control
    from ..control.jobs import Jobs
    from ..service_settings import Intervals

_CONNECTIONS = 4
#: Seconds for the job that was ended to clean up, when the service stops.
_CLEANUP = 60.0


def queue_name(target: str) -> str:
    """The queue of a target. Short, for the name of a channel of PostgreSQL's has at most 63 bytes."""
    return f"kleidia-{hashlib.sha256(target.encode()).hexdigest()[:16]}"


class Queue:
    """The jobs of one target. While it is entered, this process runs those that it gets hold of, one at a time.

    ``run`` runs one by its id; ``stop`` ends the running one for the reason that it is given.
    """

    def __init__(
        self,
        control: Control,
        jobs: Jobs,
        target: str,
        *,
        run: Callable[[int], Awaitable[None]],
        stop: Callable[[str], None],
        intervals: Intervals,
        grace: float,
    ) -> None:
        self._control, self._jobs, self._target = control, jobs, target
        self._stop, self._intervals, self._grace = stop, intervals, grace
        self._name = queue_name(target)
        self._log = structlog.get_logger("kleidia_backup.queue")
        self._app = procrastinate.App(connector=_connector(control.settings))

        async def run_job(job_id: int) -> None:
            await run(job_id)

        self._task = self._app.task(name="run_job", queue=self._name)(run_job)
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._app.open_async()
        except exceptions.ConnectorException as exc:
            raise DatabaseUnreachable(
                f"The queue cannot reach the control database ({self._control.settings.where()}).",
                hint="Check that the database takes more connections.",
            ) from exc
        # A plain task: its worker ends gracefully when it is cancelled once, and anyio's scopes cancel again and again.
        self._worker = asyncio.create_task(self._work(), name="queue worker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more jobs; let the running one end within the grace, else end it."""
        assert self._worker is not None
        self._worker.cancel()
        done, _ = await asyncio.wait({self._worker}, timeout=self._grace)
        if not done:
            self._stop("The service was stopped.")
            done, _ = await asyncio.wait({self._worker}, timeout=_CLEANUP)
        if not done:
            self._log.error("a job did not end; its replica counts as dead from now on")
        await self._app.close_async()

    async def defer(self, job_id: int) -> None:
        """Put a job into the queue; nothing when it is there. A database that is away is left to ``deliver``."""
        lock = f"{QUEUEING_LOCK}{job_id}"
        try:
            await self._task.configure(lock=self._target, queueing_lock=lock).defer_async(job_id=job_id)
        except exceptions.AlreadyEnqueued:
            pass
        except exceptions.ConnectorException as exc:
            self._log.warning("job is not in the queue yet", job=job_id, error=type(exc).__name__)

    async def deliver(self) -> None:
        """Put jobs into the queue that wait and are not there. Raises what ``Control.connection`` raises."""
        for job_id in await self._jobs.undelivered(self._intervals.poll):
            self._log.info("job delivered again", job=job_id)
            await self.defer(job_id)

    async def sweep(self) -> None:
        """Take out of the queue what blocks it: entries of workers that are dead, and of jobs that have ended.

        Raises what ``Control.connection`` raises.
        """
        dead = self._intervals.dead
        async with self._control.connection() as connection:
            cursor = await connection.execute(_BLOCKING, {"queue": self._name, "dead": dead})
            blocking = [number for (number,) in await cursor.fetchall()]
        for number in blocking:
            with suppress(exceptions.ConnectorException):  # somebody else was faster
                await self._app.job_manager.finish_job_by_id_async(number, Status.FAILED, delete_job=True)
                self._log.warning("removed from the queue: its worker is dead, or its job has ended", entry=number)

    async def _work(self) -> None:
        """A worker, and another one whenever the database was away and ended it."""
        while True:
            try:
                await self._app.run_worker_async(
                    queues=[self._name],
                    concurrency=1,
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
    WHERE queued.queue_name = %(queue)s AND queued.status = 'doing'
      AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(dead)s)
        OR job.id IS NULL OR job.finished_at < now() - make_interval(secs => %(dead)s))
"""
