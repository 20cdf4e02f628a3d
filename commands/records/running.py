"""A job of the command with its row in the control database: begun, watched, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import anyio

from ...config.service import Intervals
from ...service.control.of_commands.jobs import begin, insert_ended
from ...service.work.completion import end_job
from ...service.work.reaper import give_up
from ...stages.errors import Busy, KleidiaError
from .ending import completed, failed, judged, judged_wrong, of_judged, of_the_store, stopped

if TYPE_CHECKING:
    from ...pipeline.archives.listing import ArchiveInfo
    from ...service.control.database import Connection
    from ...service.control.jobs import Job, NewJob
    from ...service.control.of_commands.jobs import Ended
    from ...service.work.proofs.verifying import Judged
    from .control import Records
    from .history import History

T = TypeVar("T")

#: Seconds for writing how a job ended.
_LAST_WORDS = 10.0
_INTERVALS = Intervals()


class RecordedJob:
    """One job. ``found`` is the archive that it looks at, as the store listed it before."""

    def __init__(self, history: History, records: Records, new: NewJob, found: ArchiveInfo | None) -> None:
        self._history, self._records, self._new, self._found = history, records, new, found
        self._row: Job | None = None
        self._begun = datetime.now(UTC)
        self._reason = ""

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Raises what ``work`` raises, and ``Busy`` when it may not begin."""
        await self._begin()
        try:
            made = await self._watched(work)
        except KleidiaError as exc:
            said = judged_wrong(exc, self._found)
            await self._end(of_judged(said) if said else failed(exc, self._history.last), said)
            raise
        except BaseException as exc:
            await self._end(stopped(self._new, self._history.last, self._reason, exc))
            raise
        said = judged(made, self._found)
        await self._end(of_judged(said) if said else completed(made, self._row), said)
        return made

    async def _begin(self) -> None:
        """Take the target's one place, unless the job disturbs nobody. Raises ``Busy``."""
        if self._found is not None:
            return
        records, limit = self._records, self._history.limit + _INTERVALS.margin
        try:
            for job in await records.jobs.abandoned(_INTERVALS.dead, limit):
                await give_up(records.control, records.jobs, records.audit, job, limit)
            self._row = await begin(records.control, records.jobs, self._new, self._history.runner)
        except Busy:
            others = await records.jobs.running()
            if self._new.kind == "restore" or any(each.kind == "restore" for each in others):
                raise
        except KleidiaError as exc:
            self._history.unrecorded(exc)

    async def _watched(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._row is None:
            return await work()
        made: list[T] = []
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beats, self._row.id)
            try:
                made.append(await work())
            except Exception as exc:  # noqa: BLE001 - raised again: a group would hide it
                failure = exc
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return made[0]

    async def _beats(self, job_id: int) -> None:
        """Write how far it is, until somebody cancels it. A database that is away stops nothing."""
        jobs = self._records.jobs
        while True:
            last = self._history.last
            phase, progress = (last.phase, last.row()) if last else (None, {})
            try:
                order = await jobs.beat(job_id, self._history.runner, phase, progress)
                if order == "cancel":
                    asked = await jobs.get(job_id)
                    self._reason = f"Cancelled by {asked.cancelled_by if asked else 'somebody'}, through the service."
                    self._history.terminal.warn(self._reason)
                    self._history.stop()
                    return
            except KleidiaError:
                pass  # its end is written, or said to be unrecorded
            await anyio.sleep(_INTERVALS.beat)

    async def _end(self, ended: Ended, said: Judged | None = None) -> None:
        """Write it into the row; into a new one where there is none, or somebody gave it up."""
        records, runner = self._records, self._history.runner

        async def write(connection: Connection) -> Job:
            job = await self._written(ended, connection) if self._row is not None else None
            if job is None:
                job = await insert_ended(records.jobs, self._new, runner, self._begun, ended, connection)
            if said is not None and of_the_store(self._new):
                await records.verifications.insert(said.row(job), connection)
            return job

        with anyio.move_on_after(_LAST_WORDS, shield=True):
            try:
                await end_job(records.control, records.jobs, records.audit, write)
            except KleidiaError as exc:
                self._history.unrecorded(exc)

    async def _written(self, ended: Ended, connection: Connection) -> Job | None:
        assert self._row is not None
        jobs, number, runner = self._records.jobs, self._row.id, self._history.runner
        phase = None if ended.status == "completed" else ended.phase
        await jobs.beat(number, runner, phase, ended.progress, connection)
        if ended.status == "failed":
            values = (ended.error or "", ended.hint or "", runner, connection, ended.report)
            return await jobs.fail(number, *values)
        backup_type = (ended.report or {}).get("header", {}).get("backup_type") or self._new.backup_type
        archive = ended.archive or ""
        await jobs.choose(number, runner, archive, backup_type, connection)
        values_made = (archive, ended.size, ended.checksum, ended.warnings, ended.report or {})
        return await jobs.complete(number, runner, *values_made, connection)
