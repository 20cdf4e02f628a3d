"""The table of jobs: one at a time, and no write by a replica that lost its job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import anyio
import pytest

from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Job, Jobs
from kleidia_backup.service.control.targets.figures import figures
from kleidia_backup.service.work.notices.telling import ended
from kleidia_backup.stages.errors import Busy, DatabaseUnreachable
from kleidia_backup.stages.pg.server.settings import PostgresSettings

from .conftest import new_backup

pytestmark = pytest.mark.anyio


@pytest.fixture
def jobs(control: Control) -> Jobs:
    return Jobs(control, "app")


async def test_one_job_per_target(jobs: Jobs, control: Control) -> None:
    """Of twenty that ask at once one gets it; the others are told which job is in the way. Another target is free."""
    made: list[Job] = []
    refused: list[str] = []

    async def ask() -> None:
        try:
            made.append(await jobs.create(new_backup()))
        except Busy as exc:
            refused.append(exc.message)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert len(made) == 1
    assert len(refused) == 19
    assert all(f"Job {made[0].id}, a backup of app, waits since 20" in message for message in refused)
    assert (await Jobs(control, "other").create(new_backup())).status == "pending"


async def test_the_schedule_fires_once(jobs: Jobs) -> None:
    """A second job for the same moment is refused though the first has ended."""
    moment = datetime(2026, 1, 2, 2, tzinfo=UTC)
    job = await jobs.create(new_backup(scheduled_for=moment))
    assert await jobs.fail(job.id, "It failed.", "")
    with pytest.raises(Busy, match="has fired"):
        await jobs.create(new_backup(scheduled_for=moment))


async def test_a_job_is_started_once(jobs: Jobs) -> None:
    """Two replicas that get the same job: one runs it."""
    job = await jobs.create(new_backup())
    started = await jobs.start(job.id, "one")
    assert started is not None
    assert (started.status, started.replica, started.active) == ("running", "one", True)
    assert await jobs.start(job.id, "two") is None


async def test_a_replica_that_lost_its_job_writes_nothing(jobs: Jobs) -> None:
    """After others failed it, no beat, no success and no failure of the old replica changes the row."""
    job = await jobs.create(new_backup())
    await jobs.start(job.id, "one")
    assert await jobs.beat(job.id, "one", "backup", {"secrets": 3}) == "run"
    assert await jobs.beat(job.id, "two", "backup", {"secrets": 4}) == "lost"
    assert await jobs.fail(job.id, "It died.", "Again.")
    assert await jobs.beat(job.id, "one", "backup", {"secrets": 5}) == "lost"
    assert await jobs.complete(job.id, "one", "a.enc", 1, "", [], {}) is None
    assert await jobs.fail(job.id, "Other.", "", "one") is None
    row = await jobs.get(job.id)
    assert row is not None
    assert (row.status, row.error, row.hint, row.progress) == ("failed", "It died.", "Again.", {"secrets": 3})


async def test_cancel(jobs: Jobs) -> None:
    """One that waits ends at once; one that runs is told by its next beat; one that ended has nothing to cancel."""
    job = await jobs.create(new_backup())
    ended = await jobs.request_cancel(job.id, "ada")
    assert ended is not None
    assert (ended.status, ended.error) == ("failed", "Cancelled by ada.")
    assert await jobs.request_cancel(job.id, "bob") is None
    job = await jobs.create(new_backup())
    await jobs.start(job.id, "one")
    asked = await jobs.request_cancel(job.id, "bob")
    assert asked is not None
    assert asked.status == "running"
    assert await jobs.beat(job.id, "one", None, {}) == "cancel"


async def test_lists_and_summary(jobs: Jobs) -> None:
    """Newest first, in pages, by kind and status; the summary counts per kind and type."""
    ids: list[int] = []
    for number in range(5):
        job = await jobs.create(new_backup(kind="restore" if number == 4 else "backup", archive="a.enc"))
        ids.append(job.id)
        await jobs.start(job.id, "one")
        if number % 2:
            await jobs.fail(job.id, "No.", "")
        else:
            await jobs.complete(job.id, "one", f"{number}.enc", 100 + number, "00", ["look"], {"secrets": 1})
    assert [job.id for job in await jobs.page(2)] == [ids[4], ids[3]]
    assert [job.id for job in await jobs.page(2, before=ids[3])] == [ids[2], ids[1]]
    assert [job.id for job in await jobs.page(kind="backup", status="failed")] == [ids[3], ids[1]]
    assert await jobs.running() == []
    backups, restores = (await figures(jobs._control, ["app"])).summaries
    assert (backups.kind, backups.counts, backups.last_size) == ("backup", {"completed": 2, "failed": 2}, 102)
    assert backups.last_success_at is not None
    assert backups.last_duration is not None
    assert (restores.kind, restores.counts) == ("restore", {"completed": 1})
    last = await jobs.last_backup("full", ids[2])
    assert last is not None
    assert last.id == ids[0]
    first, third, restore = [await jobs.get(number) for number in (ids[0], ids[2], ids[4])]
    assert first is not None
    assert third is not None
    assert restore is not None
    changed = replace(third, warnings=["look", "and here"])
    new = [await jobs.new_warnings(job) for job in (first, third, changed, restore)]
    assert new == [["look"], [], ["and here"], ["look"]]
    for job, (found, told) in zip((third, changed), ((new[1], False), (new[2], True)), strict=True):
        assert ("backup.warning" in ended(job, recovered=False, new=found).events) is told


async def test_a_database_that_is_not_there() -> None:
    """Nobody answers: one of our errors, without the password."""
    with pytest.raises(DatabaseUnreachable) as caught:
        async with Control(PostgresSettings("host=127.0.0.1 port=1 dbname=x user=u password=canary")):
            raise AssertionError
    assert "canary" not in str(caught.value)
