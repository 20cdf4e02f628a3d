"""All targets of a replica: one pool of connections, one worker and one of each loop, however many targets there are.

Each target has a ``Service`` of its own, which is never entered. Which of them need something is asked for all at once
(``control/targets/attention.py``); then each is looked at as if it were alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from math import inf
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

import structlog

from ...config.allowed import place_of
from ...stages.errors import KleidiaError
from ...stages.stores.directory.store import DirectorySettings
from ..control.changes import Changes
from ..control.database import Control
from ..control.targets import attention
from ..control.views.unfinished import UnfinishedRestores
from ..service import BACKGROUND, CHAIN, Service, Shared, replica_name
from ..work.periodic import every
from ..work.undo.places import Places, finish
from .held import Held
from .labels import LabelRoutes
from .limited import LimitedQueue
from .watch import stamp

if TYPE_CHECKING:
    from datetime import datetime

    from ...config.service import ServiceSettings
    from ...config.targets.services import TargetServices
    from ...pipeline.drills.asked import ScratchMaker
    from ..control.audit import ApplicationAudit

#: Targets that are begun with, or told of, at the same time: each may wait for a server that does not answer.
_AT_ONCE = 16
#: Copies that are filled at the same time: each takes the memory of an upload.
COPIERS = 2
#: Most connections for what runs by itself.
_MOST_BACKGROUND = 20


class SeveralTargets:
    """The targets of one replica. ``read`` reads the configuration, now and whenever it is read again.

    ``scratch`` says what drills of a target restore to; ``now`` is the clock of the schedules, None: the database's.
    Leaving it waits for running jobs as long as ``grace`` says.

    Raises what ``read`` does, and ``ConfigurationError`` when the default target cannot be used: it says who may log
    in.
    """

    def __init__(
        self,
        read: Callable[[], TargetServices],
        *,
        application_audit: ApplicationAudit | None = None,
        scratch: Callable[[ServiceSettings], ScratchMaker | None] = lambda _: None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._read, self._application_audit, self._scratch, self._now = read, application_audit, scratch, now
        first = read()
        if first.default in first.broken:
            raise first.broken[first.default]
        self.config = first.settings[first.default]
        self.default = first.default
        self.problem: KleidiaError | None = None
        self._held: dict[str, Held] = {}
        self._fresh: dict[str, None] = {}  # targets that are not looked at yet, in their order
        self._begun: dict[Service, float] = {}  # when each is to begin again: never, once it has begun
        self._broken: frozenset[str] = frozenset()
        self._source, self._stamp, self._reading = first, stamp(first), asyncio.Lock()
        self._running: list[Service] = []
        self._made: WeakSet[Service] = WeakSet()  # those of configurations before too, as long as something runs
        self._stopped = ""
        most = first.replica.max_jobs
        background = Control(first.control, connections=min(BACKGROUND + most, _MOST_BACKGROUND))
        self._queue = LimitedQueue(
            background,
            LabelRoutes(first.replica.labels, self.held),
            per_store=first.replica.jobs_per_store,
            store_of=self._store_of,
            run=self._run,
            stop=self.stop,
            intervals=self.config.intervals,
            grace=self.config.grace,
            most=most,
        )
        self._shared = Shared(replica_name(), Control(first.control), background, Changes(), self._queue)
        rows = UnfinishedRestores(background, self.config.intervals.dead)
        self._places = Places(background, rows, self._shared.replica)
        self._log = structlog.get_logger("kleidia_backup.targets")
        self._stack = AsyncExitStack()
        self._take(first)
        self.find(None)

    async def __aenter__(self) -> Self:
        intervals, shared = self.config.intervals, self._shared
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(shared.control)
            await stack.enter_async_context(shared.background)
            stack.push_async_callback(self._end_inspections)
            await self._queue.move()
            await stack.enter_async_context(shared.queue)
            await self.sweep()  # before this replica takes a job
            await self.look()
            shared.queue.begin()
            await stack.enter_async_context(every("reaper", intervals.reap, self.sweep))
            await stack.enter_async_context(every("unfinished", intervals.reap, self.look))
            await stack.enter_async_context(every("ticker", intervals.tick, self.tick))
            await stack.enter_async_context(every("notifier", intervals.tick, self.tell))
            await stack.enter_async_context(every("beginning", intervals.tick, self.begin))
            await stack.enter_async_context(every("configuration", intervals.tick, self.watch))
            for number in range(1, COPIERS + 1):
                await stack.enter_async_context(every(f"copies-{number}", intervals.tick, self.copy))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _end_inspections(self) -> None:
        for each in self._services():
            await each.inspector.close()

    # Which there are ------------------------------------------------------------------------------------------------

    def held(self) -> Mapping[str, Held]:
        """All of them, by their names."""
        return self._held

    @property
    def control(self) -> Control:
        """The control database of all."""
        return self._shared.control

    def find(self, name: str | None) -> Service:
        """The service of a target; None: of the default one.

        Raises ``KeyError`` for a name that there is not, and the error of a target that cannot be used.
        """
        held = self._held[self.default if name is None else name]
        if held.service is None:
            assert held.error is not None
            raise held.error
        return held.service

    def _take(self, read: TargetServices) -> None:
        """Serve what was read. What has not changed goes on; what is broken goes on as it was before, if it was."""
        held: dict[str, Held] = {}
        broken: dict[str, KleidiaError] = dict(read.broken)
        for name, settings in read.settings.items():
            before = self._held.get(name)
            if before is not None and before.service is not None and before.service.config == settings:
                held[name] = before if name not in self._broken else replace(before, error=None)
                continue
            try:
                held[name] = Held(self._service(settings), None, settings.labels)
            except KleidiaError as exc:
                broken[name] = exc
            else:
                self._fresh[name] = None
        for name, error in broken.items():
            before = self._held.get(name)
            held[name] = Held(before.service if before else None, error, before.labels if before else ())
            self._log.error("the target cannot be used", target=name, error=error.message, hint=error.hint)
        self._held, self._broken = held, frozenset(broken)
        self.default = read.default

    def _service(self, settings: ServiceSettings) -> Service:
        audit, scratch = self._application_audit, self._scratch(settings)
        made = Service(settings, application_audit=audit, scratch=scratch, shared=self._shared, now=self._now)
        self._made.add(made)
        return made

    @property
    def reloads(self) -> bool:
        """Yes."""
        return True

    async def reload(self) -> None:
        """Read the configuration again. What cannot be read leaves everything as it was, and ``problem`` says why.

        Jobs that run go on with the configuration that they began with. What is said of the replica itself
        (``max_jobs``, ``labels``, the control database, who may log in) is as it was until it is started again.
        """
        async with self._reading:
            try:
                read = await asyncio.to_thread(self._read)
            except KleidiaError as exc:
                self.problem = exc
                self._log.error(
                    "the configuration cannot be read again: the one before goes on", error=exc.message, hint=exc.hint
                )
                return
            self.problem = None
            if read.replica != self._source.replica or read.control != self._shared.control.settings:
                self._log.warning("some of the configuration counts when the service is started again")
            self._take(read)
            try:
                await self._queue.move()
            except KleidiaError as exc:  # what waits goes where it was to go
                self._log.warning("jobs that wait were not moved to other labels", error=exc.message)
            self._log.info("the configuration was read again", targets=len(self._held), broken=len(read.broken))

    async def watch(self) -> None:
        """Read the configuration again when a file of it has changed."""
        now = await asyncio.to_thread(stamp, self._source)
        if now != self._stamp:
            self._stamp = now
            await self.reload()

    # What runs by itself --------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Fire what is due, the longest due first. Raises what ``Control.connection`` raises."""
        fresh, self._fresh = self._fresh, {}
        try:
            names = await attention.due(self._shared.background, self._now and self._now())
            for found in await attention.changed(self._shared.background, fresh):
                held = self._held.get(found.target)
                if held is not None and held.service is not None and not held.service.ticker.settled(found):
                    names.append(found.target)
        except BaseException:
            self._fresh = fresh | self._fresh
            raise
        for name in dict.fromkeys(names):
            await self._look(name, lambda service: service.ticker.tick())

    async def sweep(self) -> None:
        """Fail what is dead or stale, unblock the queue, deliver what never reached it. Raises as ``tick``."""
        limit = min(each.config.job_timeout + each.config.intervals.margin for each in self._services())
        for name in await attention.abandoned(self._shared.background, self.config.intervals.dead, limit):
            await self._look(name, lambda service: service.reaper.bury())
        await self._shared.queue.sweep()
        await self._shared.queue.deliver()

    async def look(self) -> None:
        """Tell all replicas of restores that are unfinished here, and end those that this one is asked to end."""
        configs = [each.config for each in self._services()]
        await self._places.look(configs)
        for _, job in await self._places.waiting(configs):
            await finish(self._run, self._cancel, job)

    async def tell(self) -> None:
        """Send the messages that wait. Raises as ``tick``."""
        names = await attention.untold(self._shared.background)
        await self._look_at_once(names, lambda service: service.notifier.tick())

    async def copy(self) -> None:
        """Fill copies that are due, the longest due first, one at a time. Raises as ``tick``."""
        for name in await attention.uncopied(self._shared.background, self.config.intervals.dead):
            await self._look(name, lambda service: service.copier.tick())

    async def begin(self) -> None:
        """Let each target's settings and the chain of its audit log begin, as far as they have not."""
        now = monotonic()
        begun = self._begun  # those of configurations before are let go
        self._begun = {each: begun[each] for each in self._services() if begun.get(each, 0) > now}
        names = [name for name, each in self._held.items() if each.service and each.service not in self._begun]
        await self._look_at_once(names, self._begin)

    async def _begin(self, service: Service) -> None:
        name, error, again = service.target, None, inf
        try:
            await service.settings.begin()
            await service.chain.begin()
            await service.copier.register()
        except KleidiaError as exc:
            error, again = exc, monotonic() + CHAIN
            raise
        finally:
            self._begun[service] = again
            held = self._held.get(name)
            if held is not None and held.service is service and name not in self._broken:
                self._held[name] = replace(held, error=error)

    async def _look_at_once(self, names: list[str], look: Callable[[Service], Awaitable[object]]) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with limit:
                await self._look(name, look)

        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(one(name))

    async def _look(self, name: str, look: Callable[[Service], Awaitable[object]]) -> None:
        """Look at one target. What is wrong with it keeps no other from its turn."""
        held = self._held.get(name)
        if held is None or held.service is None:
            return
        try:
            await look(held.service)
        except KleidiaError as exc:
            self._log.warning("it failed, and will be tried again", target=name, error=exc.message, hint=exc.hint)
        except Exception:  # noqa: BLE001 - logged, and the others have their turn
            self._log.exception("it failed in a way nobody expected, and will be tried again", target=name)

    def _services(self) -> list[Service]:
        return [each.service for each in self._held.values() if each.service is not None]

    # Jobs -----------------------------------------------------------------------------------------------------------

    async def _run(self, job_id: int) -> None:
        """Run a job with its target's configuration as it is now. One whose target is not known here is left alone."""
        async with self._shared.background.connection() as connection:
            cursor = await connection.execute("SELECT target FROM kleidia_backup.jobs WHERE id = %s", (job_id,))
            row = await cursor.fetchone()
        held = self._held.get(row[0]) if row else None
        if held is None or held.service is None:
            self._log.warning("a job of a target that is not known here", job=job_id)
            return
        service = held.service
        self._running.append(service)
        try:
            if self._stopped:
                service.runner.stop(self._stopped)
            await service.runner.run(job_id)
        finally:
            self._running.remove(service)

    async def _close(self) -> None:
        """End what runs here and is no job."""
        for service in self._made:
            await service.inspector.close()

    async def _store_of(self, target: str) -> str:
        """The store that a target's jobs use, as those of others name it: server and bucket, or directory."""
        service = self._held[target].service
        assert service is not None
        settings = await service.settings.current()
        if settings.bucket:
            return "/".join(place_of(settings))
        store = service.config.store
        return str(store.path) if isinstance(store, DirectorySettings) else ""

    def _cancel(self, job_id: int, reason: str) -> None:
        for service in self._running:
            service.runner.cancel(job_id, reason)

    def stop(self, reason: str) -> None:
        """End what runs, and every later job, for this reason."""
        self._stopped = reason
        for service in self._running:
            service.runner.stop(reason)
