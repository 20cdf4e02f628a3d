"""Eight hours of schedules in faked time: sixteen targets on two replicas in this process, some of whose stores fail.

Their jobs are outcomes, as in ``tests/service/test_a_day.py``; what runs by itself, the control tables and the
messages are real. Jobs are run without the queue's workers, so what waits in its tables stays there.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from kleidia_backup.config.service import ScheduleSettings
from kleidia_backup.config.targets.services import TargetServices
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.service.targets.several import SeveralTargets
from kleidia_backup.service.work.runner import Outcome, Runner
from kleidia_backup.service.work.running import RunningJob
from tests.databases import new_database
from tests.receiving import receiving
from tests.service.test_a_day import Day
from tests.service.test_a_day import _run as run_waiting

from .samples import Sample, Sampler

STEP = timedelta(minutes=5)
EVERY = "*/20 * * * *"


@dataclass
class Hours(Day):  # type: ignore[misc]  # mypy skips the tests where a benchmark imports them
    """As the day, with a backup of every target each twenty minutes."""

    def fails(self, target: str) -> bool:
        """Each second hour alone."""
        return bool(super().fails(target) and self.now.hour % 2)

    def read(self, control: str, url: str) -> TargetServices:
        """The same targets."""
        made: TargetServices = super().read(control, url)
        often = ScheduleSettings(backup=EVERY)
        return replace(made, settings={name: replace(each, schedule=often) for name, each in made.settings.items()})


async def soak(server: PostgresServer, hours: float) -> list[Sample]:
    """Run so many hours of faked time; a sample for each five minutes of it."""
    start = datetime(2026, 3, 28, 12, 2, tzinfo=UTC)
    down = {f"t{number:02}": (start, start + timedelta(hours=hours)) for number in (0, 8)}
    day = Hours(start, ("UTC", "UTC"), down)

    async def watched(_: Runner, running: RunningJob, __: object) -> Outcome:
        outcome: Outcome = day.outcome(running.job.target)
        return outcome

    samples: list[Sample] = []
    with new_database(server) as name, receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "_watched", watched)
        control = server.conninfo(name)
        sampler = Sampler(psutil.Process(os.getpid()), control, queued=False)
        async with AsyncExitStack() as stack:
            replicas = [SeveralTargets(lambda: day.read(control, receiver.url), now=day) for _ in range(2)]
            for each in replicas:
                shared = each._shared  # noqa: SLF001 - what runs by itself runs by the faked clock
                for part in (each.control, shared.background, shared.queue._app.open_async()):  # noqa: SLF001 - likewise
                    await stack.enter_async_context(part)
            while day.now <= start + timedelta(hours=hours):
                await asyncio.gather(*(each.tick() for each in replicas))
                await run_waiting(replicas)
                await asyncio.gather(*(each.tell() for each in replicas))
                receiver.requests.clear()  # they are this process's, and grow
                samples.append(await asyncio.to_thread(sampler.sample))
                day.now += STEP
    return samples
