"""A day of two hundred scheduled backups in faked time, on two replicas: stores that fail, and clocks that jump."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup import PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.config.service import ScheduleSettings, ServiceSettings
from kleidia_backup.config.targets.services import TargetServices
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.reports.jobs import BackupReport
from kleidia_backup.service.targets.several import SeveralTargets
from kleidia_backup.service.work.runner import Outcome, Runner
from kleidia_backup.service.work.running import RunningJob

from ..databases import new_database
from ..receiving import Receiver, receiving

pytestmark = pytest.mark.anyio

HOURLY, DAILY = 8, 8
STEP = timedelta(minutes=5)


@dataclass
class Day:
    """Twenty-four hours from ``now`` on. The stores of some targets are ``down`` for a while."""

    now: datetime
    zones: tuple[str, str]
    down: dict[str, tuple[datetime, datetime]]

    def __call__(self) -> datetime:
        return self.now

    def fails(self, target: str) -> bool:
        """Whether its store is down."""
        begin, end = self.down.get(target, (self.now, self.now))
        return begin <= self.now < end

    def outcome(self, target: str) -> Outcome:
        """What becomes of its backup."""
        if self.fails(target):
            return Outcome(error="The store does not answer.", hint="Wait.")
        report = BackupReport(
            name=f"{target}/archive",
            backup_type="full",
            created_at=self.now,
            size=1,
            checksum="",
            sql_bytes=0,
            secrets=0,
            seconds={"total": 1.0},
        )
        return Outcome(report=report)

    def read(self, control: str, url: str) -> TargetServices:
        """The targets: some with a backup each hour, some with one at half past each hour of the night."""
        vault = VaultSettings(address="http://127.0.0.1:1", auth=TokenAuth("none"), roots=(Root("", "secret"),))
        notify = NotifySettings(webhook_url=url, webhook_secret="canary-webhook-secret")
        settings = {}
        for number in range(HOURLY + DAILY):
            name = f"t{number:02}"
            cron = "0 * * * *" if number < HOURLY else f"30 {number - HOURLY} * * *"
            settings[name] = ServiceSettings(
                control=PostgresSettings(control),
                vault=vault,
                secrets_mount="secret",
                secrets_path=name,
                target=name,
                notify=notify,
                schedule=ScheduleSettings(backup=cron, timezone=self.zones[number % 2]),
            )
        return TargetServices("t00", settings, PostgresSettings(control))


@pytest.mark.parametrize(
    ("begin", "zones"),
    [
        # At 22:00 and 01:00 UTC the clocks go forward, in the other night at 16:00 and 03:00 back.
        ("2026-03-28T12:02", ("Asia/Beirut", "Europe/Berlin")),
        pytest.param("2026-04-04T12:02", ("Australia/Sydney", "America/Santiago"), marks=pytest.mark.thorough),
    ],
)
async def test_each_runs_once_and_is_told_once(
    begin: str, zones: tuple[str, str], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two hundred runs once, each failure is told once, and once that it is over."""
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    hours = timedelta(hours=1)
    down = dict.fromkeys(("t00", "t01"), (start + 3 * hours, start + 6.5 * hours))
    down["t02"] = start + 12 * hours, start + 13 * hours
    down["t08"] = start, start + 24 * hours  # its one backup of the day
    day = Day(start, zones, down)

    async def watched(_: Runner, running: RunningJob, __: object) -> Outcome:
        return day.outcome(running.job.target)

    monkeypatch.setattr(Runner, "_watched", watched)
    with new_database(postgres_server) as name, receiving() as receiver:
        control = postgres_server.conninfo(name)
        async with AsyncExitStack() as stack:
            replicas = [SeveralTargets(lambda: day.read(control, receiver.url), now=day) for _ in range(2)]
            for each in replicas:
                shared = each._shared  # what runs by itself runs by the faked clock
                for part in (each.control, shared.background, shared.queue._app.open_async()):
                    await stack.enter_async_context(part)
            while day.now <= start + 24 * hours:
                await asyncio.gather(*(each.tick() for each in replicas))
                await _run(replicas)
                await asyncio.gather(*(each.tell() for each in replicas))
                day.now += STEP
            async with replicas[0].control.connection() as connection:
                cursor = await connection.execute("SELECT target, scheduled_for, status FROM kleidia_backup.jobs")
                jobs = await cursor.fetchall()
        _check(jobs, receiver)


async def _run(replicas: list[SeveralTargets]) -> None:
    """Both replicas take each job that waits, at the same moment."""
    async with replicas[0].control.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, target FROM kleidia_backup.jobs WHERE status = 'pending' ORDER BY id"
        )
        waiting = await cursor.fetchall()
    for job, target in waiting:
        await asyncio.gather(*(each.find(target).runner.run(job) for each in replicas))


def _check(jobs: list[tuple[str, datetime, str]], receiver: Receiver) -> None:
    ran = Counter(target for target, *_ in jobs)
    assert ran == {f"t{number:02}": 24 if number < HOURLY else 1 for number in range(HOURLY + DAILY)}
    assert sum(ran.values()) == 200
    assert len({(target, due) for target, due, _ in jobs}) == 200
    failed = Counter(target for target, _, status in jobs if status == "failed")
    assert failed == {"t00": 4, "t01": 4, "t02": 1, "t08": 1}
    told = Counter((each.json["target"], each.json["event"]) for each in receiver.requests)
    expected = {(target, "backup.failed"): times for target, times in failed.items()}
    expected |= {(target, "backup.recovered"): 1 for target in ("t00", "t01", "t02")}
    assert told == expected
