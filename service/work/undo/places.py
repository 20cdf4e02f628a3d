"""What every replica is told of the journals of restores: in whose state directory one lies, and what it says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from ....pipeline.undo import look_at_state
from ....stages.errors import KleidiaError
from .ending import ends

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from ....config.service import ServiceSettings
    from ....stages.vault.undo.state import StateLook
    from ...control.database import Connection, Control
    from ...control.jobs import Job
    from ...control.views.unfinished import UnfinishedRestores


@dataclass(frozen=True, slots=True)
class Places:
    """The state directories of one replica, and what the control tables say of those of all."""

    control: Control
    unfinished: UnfinishedRestores
    replica: str

    async def begin(self, job: Job, state: Path | None) -> None:
        """Before a job restores: if this replica dies, others know where its journal is. What fails is logged."""
        try:
            place = await look_at_state(state, mark=True)
            await self.unfinished.begin(
                job.target, place.name, self.replica, str(place.journal), job.archive or "", job.id
            )
        except KleidiaError as exc:
            log = structlog.get_logger("kleidia_backup.unfinished")
            log.warning("other replicas do not know of this restore", error=exc.message)

    async def settle(
        self, found: StateLook, configs: Sequence[ServiceSettings], connection: Connection, job: Job | None = None
    ) -> None:
        """Write what there is in a state directory; ``job`` ends in the same transaction.

        ``configs`` are those whose restores use the directory, or the job's: a journal belongs to the one whose vault
        it names.
        """
        if not found.there:
            await self.unfinished.gone(found.name, None if job is None else job.id, connection)
            return
        await self.unfinished.seen(found.name, self.replica, found.unreadable, connection)
        if (left := found.unfinished) is None:
            return
        if job is not None:  # which may have been refused for a journal that was there, of another target
            await self.unfinished.drop_begun(found.name, job.id, connection)
        for config in configs:
            if left.is_of(config.vault) or (job is None and len(configs) == 1):
                values = (config.target, found.name, self.replica, str(found.journal), left.archive)
                own = job.id if job is not None and job.archive == left.archive else None
                await self.unfinished.found(*values, left.error().message, own, connection)

    async def look(self, configs: Iterable[ServiceSettings]) -> None:
        """Look at every state directory that these configurations have. Raises what ``Control.connection`` raises."""
        by_state: dict[Path | None, list[ServiceSettings]] = {}
        for config in configs:
            by_state.setdefault(config.state, []).append(config)
        for state, those in by_state.items():
            found = await look_at_state(state)
            async with self.control.connection() as connection, connection.transaction():
                await self.settle(found, those, connection)

    async def elsewhere(self, job: Job, state: Path | None) -> bool:
        """Whether another replica can end what a job is to end, and this one cannot. Raises as ``look``."""
        if not ends(job.options) or (found := await look_at_state(state)).there:
            return False
        rows = await self.unfinished.of(job.target)
        return any(row.here and row.place != found.name for row in rows)

    async def waiting(self, configs: Iterable[ServiceSettings]) -> list[tuple[str, int]]:
        """Targets and jobs that wait for a replica with a directory of ours. Raises as ``look``."""
        names: dict[Path | None, str] = {}
        places: dict[str, str] = {}
        for config in configs:
            if config.state not in names:
                names[config.state] = (await look_at_state(config.state)).name
            places[config.target] = names[config.state]
        values = {"targets": [*places], "places": [*places.values()]}
        async with self.control.connection() as connection:
            return await (await connection.execute(_WAITING, values)).fetchall()


async def finish(run: Callable[[int], Awaitable[None]], stop: Callable[[int, str], None], job_id: int) -> None:
    """Run a job that is no queue's, and let it end cleanly when the service stops."""
    task: asyncio.Task[Any] = asyncio.ensure_future(run(job_id))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop(job_id, "The service was stopped.")
        await task
        raise


_WAITING = """
    SELECT job.target, job.id FROM kleidia_backup.jobs job
    JOIN unnest(%(targets)s::text[], %(places)s::text[]) own (target, place) ON own.target = job.target
    JOIN kleidia_backup.unfinished_restores unfinished
        ON unfinished.target = job.target AND unfinished.place = own.place
    WHERE job.status = 'pending' AND job.kind = 'restore'
      AND (job.options ->> 'undo' = 'true' OR job.options ->> 'dismiss' = 'true')
    ORDER BY job.id
"""
