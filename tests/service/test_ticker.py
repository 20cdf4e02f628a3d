"""The schedule: fires once for all replicas, makes up for what was missed, waits for a busy target."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup import ConfigurationError, PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.service.control.audit import SYSTEM, Audit
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Job, Jobs, NewJob
from kleidia_backup.service.control.schedule import Schedule
from kleidia_backup.service.control.secrets import ServiceSecrets
from kleidia_backup.service.control.settings import SettingsStore
from kleidia_backup.service.work.ticker import Ticker

TARGET = "app"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, text: str) -> None:
        self.now = utc(text)

    def set(self, text: str) -> None:
        self.now = utc(text)

    def __call__(self) -> datetime:
        return self.now


class Replica:
    """What one replica needs to fire the schedule, and what it was told."""

    def __init__(self, control: Control, settings: SettingsStore, clock: Clock | None) -> None:
        self.control, self.jobs = control, Jobs(control, TARGET)
        self.schedule = Schedule(control)
        self.told: list[Job] = []
        self.ticker = Ticker(self.schedule, settings, self.jobs, TARGET, fired=self._fired, now=clock)

    async def _fired(self, job: Job) -> None:
        self.told.append(job)

    async def tick(self) -> Job | None:
        return await self.ticker.tick()

    async def finish(self, job: Job) -> None:
        assert await self.jobs.fail(job.id, "done", "")

    async def due_of_all(self) -> list[str]:
        """When each job that there is was due, oldest first."""
        return [f"{job.scheduled_for:%m-%d %H:%M}" for job in reversed(await self.jobs.page())]


@pytest.fixture
def settings(control: Control, openbao_server: OpenBaoServer, kv: KvMount) -> SettingsStore:
    vault = VaultSettings(openbao_server.address, TokenAuth(openbao_server.root_token), (Root("", kv.path),))
    return SettingsStore(control, ServiceSecrets(vault, kv.path, "service"), Audit(control, TARGET), TARGET)


@pytest.fixture
def clock() -> Clock:
    return Clock("2026-01-05T12:00")


@pytest.fixture
def replica(control: Control, settings: SettingsStore, clock: Clock) -> Replica:
    return Replica(control, settings, clock)


@pytest.mark.anyio
async def test_a_week_of_nights(replica: Replica, clock: Clock) -> None:
    """Ticking every ten minutes for a week: seven jobs, each for 02:00, of the system, told to the queue."""
    for _ in range(7 * 24 * 6):
        if (job := await replica.tick()) is not None:
            await replica.finish(job)
        clock.now += timedelta(minutes=10)
    assert await replica.due_of_all() == [f"01-{day:02} 02:00" for day in range(6, 13)]
    job = replica.told[0]
    assert (job.kind, job.backup_type, job.target, job.status) == ("backup", "full", TARGET, "pending")
    assert (job.requested_by, job.requested_by_name, job.ip) == (None, SYSTEM.user_name, "system")
    assert await replica.schedule.next_due(TARGET) == utc("2026-01-13T02:00")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("around", "due"), [("2026-03-29", "03-29 01:00"), ("2026-10-25", "10-25 00:30")], ids=["spring", "autumn"]
)
async def test_on_the_days_the_clock_jumps_it_fires_once(
    replica: Replica, settings: SettingsStore, clock: Clock, around: str, due: str
) -> None:
    """02:30 in Berlin, which does not exist in spring and comes twice in autumn: one job on that day."""
    await settings.put({"schedule": "30 2 * * *", "timezone": "Europe/Berlin"}, None, SYSTEM)
    clock.set(f"{around}T00:00")
    clock.now -= timedelta(hours=1)
    for _ in range(5 * 60):
        if (job := await replica.tick()) is not None:
            await replica.finish(job)
        clock.now += timedelta(minutes=1)
    assert await replica.due_of_all() == [due]


@pytest.mark.anyio
async def test_two_replicas_at_once_fire_once(
    replica: Replica, control: Control, settings: SettingsStore, clock: Clock, control_database: str
) -> None:
    """Ten ticks at the same moment over two replicas, three nights: one job each night."""
    async with Control(PostgresSettings(control_database)) as second:
        other = Replica(second, settings, clock)
        await replica.tick()
        for day in (6, 7, 8):
            clock.set(f"2026-01-{day:02}T02:00")
            made = await asyncio.gather(*((replica, other)[number % 2].tick() for number in range(10)))
            (job,) = [each for each in made if each is not None]
            await replica.finish(job)
            assert await replica.tick() is None
            assert await other.tick() is None
    assert await replica.due_of_all() == ["01-06 02:00", "01-07 02:00", "01-08 02:00"]
    assert len(replica.told) + len(other.told) == 3


@pytest.mark.anyio
async def test_nobody_waits_for_the_replica_that_is_at_it(replica: Replica, clock: Clock) -> None:
    """While one replica has the row, another's tick ends at once and does nothing."""
    await replica.tick()
    clock.set("2026-01-06T02:00")
    async with replica.schedule.locked(TARGET) as locked:
        assert locked is not None
        assert await asyncio.wait_for(replica.tick(), 5) is None
        assert await replica.jobs.page() == []
    assert await replica.tick() is not None


@pytest.mark.anyio
async def test_a_job_that_is_there_is_not_made_again(replica: Replica, clock: Clock, control: Control) -> None:
    """Even if the schedule's row is lost or set back, the moment that was fired is not fired again."""
    await replica.tick()
    clock.set("2026-01-06T02:00:03")
    job = await replica.tick()
    assert job is not None
    await replica.finish(job)
    async with control.connection() as connection:
        await connection.execute("UPDATE kleidia_backup.schedules SET next_due = %s", (utc("2026-01-06T02:00"),))
    assert await replica.tick() is None
    assert await replica.schedule.next_due(TARGET) == utc("2026-01-07T02:00")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("back", "due"),
    [
        ("2026-01-06T02:00:01", "01-06 02:00"),
        ("2026-01-06T13:00", "01-06 02:00"),
        ("2026-01-07T01:59:59", "01-06 02:00"),
        ("2026-01-07T02:00", "01-07 02:00"),
        ("2026-01-09T13:00", "01-09 02:00"),
    ],
)
async def test_a_service_that_was_down_makes_up_for_the_last_time(
    replica: Replica, control: Control, settings: SettingsStore, clock: Clock, back: str, due: str
) -> None:
    """Down from the 5th: whenever it is back, the last time that was missed runs, once; older ones do not."""
    await replica.tick()
    clock.set(back)
    again = Replica(control, settings, clock)  # nothing is remembered but the tables
    job = await again.tick()
    assert job is not None
    await again.finish(job)
    assert await again.tick() is None
    assert await again.due_of_all() == [due]


@pytest.mark.anyio
async def test_a_busy_target_is_tried_again(replica: Replica, clock: Clock) -> None:
    """A restore runs at 02:00: nothing is queued behind it; when it ended the backup runs, and the next is on time."""
    await replica.tick()
    restore = NewJob(
        kind="restore", backup_type="full", requested_by="u-1", requested_by_name="ada", ip="", workstation=""
    )
    busy = await replica.jobs.create(restore)
    for now in ("2026-01-06T02:00", "2026-01-06T02:05", "2026-01-06T09:00"):
        clock.set(now)
        assert await replica.tick() is None
        assert await replica.schedule.next_due(TARGET) == utc("2026-01-06T02:00")
    await replica.finish(busy)
    job = await replica.tick()
    assert job is not None
    assert job.scheduled_for == utc("2026-01-06T02:00")
    assert await replica.schedule.next_due(TARGET) == utc("2026-01-07T02:00")


@pytest.mark.anyio
async def test_a_target_that_is_busy_for_days_runs_once_then(replica: Replica, clock: Clock) -> None:
    """What waited longer than its period is given up for the later time; there is no pile of backups."""
    await replica.tick()
    clock.set("2026-01-06T02:00")
    first = await replica.tick()
    assert first is not None
    for day in (7, 8, 9):
        clock.set(f"2026-01-{day:02}T03:00")
        assert await replica.tick() is None
    await replica.finish(first)
    second = await replica.tick()
    assert second is not None
    await replica.finish(second)
    assert await replica.tick() is None
    assert await replica.due_of_all() == ["01-06 02:00", "01-09 02:00"]
    async with replica.control.connection() as connection:
        cursor = await connection.execute("SELECT target, kind, due FROM kleidia_backup.missed_runs ORDER BY due")
        assert await cursor.fetchall() == [(TARGET, "backup", utc(f"2026-01-{day}T02:00")) for day in ("07", "08")]


@pytest.mark.anyio
async def test_another_target_does_not_count(replica: Replica, clock: Clock) -> None:
    """A job of another target on the same control database holds nothing up."""
    await replica.tick()
    elsewhere = NewJob(
        kind="backup", backup_type="full", requested_by="u-1", requested_by_name="ada", ip="", workstation=""
    )
    await Jobs(replica.control, "other").create(elsewhere)
    clock.set("2026-01-06T02:00")
    assert await replica.tick() is not None


@pytest.mark.anyio
async def test_a_new_schedule_begins_with_its_next_time(
    replica: Replica, settings: SettingsStore, clock: Clock
) -> None:
    """Changed or switched on at noon: nothing of this morning is made up for; switched off: nothing is due."""
    await replica.tick()
    await settings.put({"schedule": "0 9 * * *"}, None, SYSTEM)
    assert await replica.tick() is None
    assert await replica.schedule.next_due(TARGET) == utc("2026-01-06T09:00")
    await settings.put({"schedule_enabled": False}, None, SYSTEM)
    clock.set("2026-01-06T09:00")
    assert await replica.tick() is None
    assert await replica.schedule.next_due(TARGET) is None
    await settings.put({"schedule_enabled": True}, None, SYSTEM)
    clock.set("2026-01-06T10:00")
    assert await replica.tick() is None
    assert await replica.schedule.next_due(TARGET) == utc("2026-01-07T09:00")


@pytest.mark.anyio
async def test_without_a_clock_it_is_the_databases(control: Control, settings: SettingsStore) -> None:
    """Replicas whose clocks differ agree on when something is due."""
    replica = Replica(control, settings, None)
    await replica.tick()
    async with control.connection() as connection:
        await connection.execute("UPDATE kleidia_backup.schedules SET next_due = next_due - interval '1 day'")
    job = await replica.tick()
    assert job is not None
    assert job.scheduled_for is not None
    assert timedelta(0) <= datetime.now(UTC) - job.scheduled_for < timedelta(days=1)


@pytest.mark.anyio
async def test_every_kind_has_a_schedule_of_its_own(
    replica: Replica, control: Control, settings: SettingsStore, clock: Clock, control_database: str
) -> None:
    """Backup, drill and verification at the same minute, ten ticks over two replicas: each once.

    The drill runs beside the backup, and the verification after the drill.

    They are off until they are switched on, and one whose schedule cannot be used holds up no other.
    """
    async with Control(PostgresSettings(control_database)) as second:
        other = Replica(second, settings, clock)
        at_two = {f"{kind}_schedule": "0 2 * * *" for kind in ("verify", "drill")}
        await settings.put(at_two, None, SYSTEM)
        await replica.tick()
        assert await replica.schedule.next_due(TARGET, "verify") is None
        await settings.put(dict.fromkeys(("verify_schedule_enabled", "drill_schedule_enabled"), True), None, SYSTEM)
        await replica.tick()
        assert await replica.schedule.next_due(TARGET, "drill") == utc("2026-01-06T02:00")
        clock.set("2026-01-06T02:00")
        for kinds in (["backup", "drill"], ["verify"]):
            await asyncio.gather(*((replica, other)[number % 2].tick() for number in range(10)))
            made = await replica.jobs.running()
            assert [(job.kind, job.archive, job.requested_by) for job in made] == [(kind, None, None) for kind in kinds]
            for job in made:
                await replica.finish(job)
        assert await replica.tick() is None
    assert await replica.due_of_all() == ["01-06 02:00"] * 3
    async with control.connection() as connection:
        await connection.execute(
            "UPDATE kleidia_backup.settings"
            " SET document = jsonb_set(document, '{settings,drill_schedule}', '\"never\"')"
        )
    clock.set("2026-01-07T02:00")
    with pytest.raises(ConfigurationError, match="drill_schedule"):
        await replica.tick()
    assert [job.kind for job in await replica.jobs.running()] == ["backup", "verify"]
