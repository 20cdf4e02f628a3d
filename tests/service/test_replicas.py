"""Several replicas on one control database, and what becomes of the jobs of those that die."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup import PostgresSettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.control.audit import Audit
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Job, Jobs
from kleidia_backup.service.service import Service
from kleidia_backup.service.work.queue import queue_names

from ..faults.proxy import Strike, http_proxy, stall, vault_operation
from .asking import admin_of
from .asking import ended as job_told
from .conftest import ended, files, new_backup

pytestmark = pytest.mark.anyio

#: Which job waits for what, so that it stays running.
LOCK = "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"


@pytest.fixture
def service_settings(service_settings: ServiceSettings) -> ServiceSettings:
    """A replica that is silent for three seconds counts as dead, for tests that wait for it."""
    return replace(service_settings, intervals=replace(service_settings.intervals, dead=3))


class Replicas:
    """Processes that run the service."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = pickle.dumps(settings)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start so many at the same moment; return when all of them run."""
        started = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("replica.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(number)
        ]
        self._processes |= {process.pid: process for process in started}
        for process in started:
            assert process.stdin is not None
            process.stdin.write(self._settings)
            process.stdin.close()
            process.stdin = None
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    def kill(self, job: Job) -> int:
        """SIGKILL for the process that runs a job."""
        assert job.replica is not None
        process = self._processes.pop(int(job.replica.split(":")[1]))
        process.kill()
        return _gone(process)

    def stop(self) -> list[int]:
        """SIGTERM for all; their exit statuses."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        statuses = [_gone(process) for process in self._processes.values()]
        self._processes.clear()
        return statuses


def _gone(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=20)
    return process.returncode


@pytest.fixture
def replicas(service_settings: ServiceSettings) -> Iterator[Replicas]:
    processes = Replicas(service_settings)
    yield processes
    processes.stop()


async def test_three_replicas_and_one_that_is_killed(
    replicas: Replicas, service_settings: ServiceSettings, application: str, store_directory: Path
) -> None:
    """The job of the killed one fails, audited once; the next one runs on another, once; the rest stop in peace."""
    await anyio.to_thread.run_sync(replicas.start, 3)
    async with Control(service_settings.control) as control:
        jobs, audit = Jobs(control, "app"), Audit(control, "app")
        async with await psycopg.AsyncConnection.connect(application) as holder:
            await holder.execute(LOCK)
            job = await jobs.create(new_backup())
            running = await _until(jobs, job.id, lambda now: now.phase == "backup")
            assert replicas.kill(running) == -signal.SIGKILL
            failed = await _until(jobs, job.id, lambda now: not now.active)
        assert failed.status == "failed"
        assert failed.error == f"The replica that ran it ({running.replica}) died, or lost the control database."
        following = await jobs.create(new_backup())
        done = await _until(jobs, following.id, lambda now: not now.active)
        assert (done.status, done.error) == ("completed", None)
        assert done.replica != running.replica
        assert [entry.action for entry in await audit.page()] == ["backup.completed", "backup.failed"]
    assert replicas.stop() == [0, 0]
    assert len(files(store_directory)) == 1


async def test_who_starts_long_after_a_death_starts(
    replicas: Replicas, service_settings: ServiceSettings, application: str
) -> None:
    """What the dead one left is taken out of the queue at the start; there was nobody to do it before."""
    await anyio.to_thread.run_sync(replicas.start, 1)
    dead = service_settings.intervals.dead + 1
    async with Control(service_settings.control) as control:
        jobs = Jobs(control, "app")
        async with await psycopg.AsyncConnection.connect(application) as holder:
            await holder.execute(LOCK)
            job = await jobs.create(new_backup())
            replicas.kill(await _until(jobs, job.id, lambda now: now.phase == "backup"))
            await anyio.sleep(dead)
    async with Service(service_settings) as service:
        assert (await ended(service, job.id)).status == "failed"
        assert (await ended(service, (await service.submit(new_backup())).id)).status == "completed"


async def test_a_restore_that_was_killed_comes_before_the_next(
    service_settings: ServiceSettings, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one on that machine fails, and says what to do where; when that is done, restores run again."""
    async with Service(service_settings) as service:
        backup = await ended(service, (await service.submit(new_backup())).id)
    for number in range(3):
        kv.put(f"app/secret-{number}", {"value": "newer"})
    restore = new_backup(kind="restore", archive=backup.archive)
    async with http_proxy(service_settings.vault.address, vault_operation) as vault:
        second = Strike({1}, ever=True, only="POST data")
        vault.plan = second, stall
        replicas = Replicas(
            replace(service_settings, vault=replace(service_settings.vault, address=vault.endpoint, workers=1))
        )
        await anyio.to_thread.run_sync(replicas.start, 1)
        async with Control(service_settings.control) as control:
            jobs = Jobs(control, "app")
            killed = await jobs.create(restore)
            with anyio.fail_after(20):
                await second.struck.wait()
            replicas.kill(await _until(jobs, killed.id, lambda now: now.replica is not None))
    monkeypatch.setattr("kleidia_backup.stages.vault.undo.undo.LATE_ARRIVAL", 0.2)
    async with Service(service_settings) as service:
        buried = await ended(service, killed.id)
        assert buried.hint is not None
        assert "`kleidia-backup restore --undo`" in buried.hint
        refused = await ended(service, (await service.submit(restore)).id)
        assert refused.status == "failed"
        assert refused.error is not None
        assert "is unfinished" in refused.error
        assert refused.hint is not None
        assert "`kleidia-backup restore --undo`" in refused.hint
        assert f"the replica {service.replica} ran" in refused.hint
        async with admin_of(service) as api:
            front = (await api.get("/history")).text
            assert 'action="/restore/undo"' in front
            assert 'action="/restore/dismiss"' in front
            undone = await _told(api, "undo")
            assert (undone["status"], undone["archive"], undone["error"]) == ("completed", backup.archive, None)
            assert (undone["report"]["put_back"] > 0, undone["report"]["left_count"]) == (True, 0)
            assert "/restore/undo" not in (await api.get("/history")).text
            again = await _told(api, "dismiss")
            assert again["status"] == "failed"
            assert again["error"] == (
                f"No restore is unfinished in the state directory of the replica {service.replica}."
                f" The last restore that failed elsewhere ran on {buried.replica}."
            )
        assert [kv.get(f"app/secret-{number}")["value"] for number in range(3)] == ["newer"] * 3
        assert (await ended(service, (await service.submit(restore)).id)).status == "completed"
    assert [kv.get(f"app/secret-{number}")["value"] for number in range(3)] == ["s0", "s1", "s2"]


async def _told(api: httpx.AsyncClient, how: str) -> dict[str, Any]:
    answer = await api.post(f"/api/backup/restore/{how}")
    assert answer.status_code == 202, answer.text
    return await job_told(api, answer.json()["id"])


async def test_what_died_while_nobody_was_there(service_settings: ServiceSettings) -> None:
    """At the start jobs that run or wait for more than two hours are failed as stale, silent ones as dead."""
    settings = service_settings.control
    async with Control(settings) as control:
        a, b, c = (Jobs(control, name) for name in ("a", "b", "c"))
        stale, waiting, dead = [(await jobs.create(new_backup())).id for jobs in (a, b, c)]
        await a.start(stale, "x")
        await c.start(dead, "y")
    with psycopg.connect(settings.full_conninfo(), autocommit=True) as connection:
        connection.execute(
            "UPDATE kleidia_backup.jobs"
            " SET heartbeat_at = now() + interval '1h', started_at = now() - interval '121min' WHERE id = %s",
            (stale,),
        )
        connection.execute(
            "UPDATE kleidia_backup.jobs SET created_at = now() - interval '121min' WHERE id = %s", (waiting,)
        )
        connection.execute("UPDATE kleidia_backup.jobs SET heartbeat_at = now() - interval '5s' WHERE id = %s", (dead,))
    errors = []
    for target, job_id in (("a", stale), ("b", waiting), ("c", dead)):
        async with Service(replace(service_settings, target=target)) as service:
            job = await service.jobs.get(job_id)  # it is so before anything else happens
            assert job is not None
            assert job.status == "failed"
            errors.append(job.error)
            (entry,) = await service.audit.page()
            assert (entry.action, entry.job_id) == ("backup.failed", job_id)
    assert errors == [
        "Stale: it ran for more than 2.0 hours.",
        "It waited for more than 2.0 hours, and no replica took it.",
        "The replica that ran it (y) died, or lost the control database.",
    ]


async def test_a_job_that_never_reached_the_queue_is_delivered(service: Service) -> None:
    """A row without an entry in the queue, as a replica leaves it that dies in between, runs all the same."""
    job = await service.jobs.create(new_backup())
    assert (await ended(service, job.id)).status == "completed"


async def test_versions_share_a_queue_one_way(service: Service) -> None:
    """What an older version put into its queue runs; what this one asks for is in none that an older worker takes from.

    Older ones know backups and restores alone: they would restore the archive that is to be verified.
    """
    newer, older = queue_names(service.target)
    async with service.control.connection() as connection, connection.transaction():
        job = await service.jobs.create(new_backup(), connection)
        await connection.execute("SET LOCAL search_path = kleidia_backup")
        await connection.execute(
            "INSERT INTO kleidia_backup.procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)"
            " VALUES (%s, 'run_job', %s, %s, jsonb_build_object('job_id', %s::bigint))",
            (older, service.target, f"job-{job.id}", job.id),
        )
    assert (await ended(service, job.id)).status == "completed"
    assert service.queue._task.queue == newer != older


async def test_a_dead_worker_blocks_nobody(service_settings: ServiceSettings) -> None:
    """An entry that a dead worker has taken holds the lock of its target; it is removed."""
    async with Service(service_settings) as service:
        job = await ended(service, (await service.submit(new_backup())).id)
        async with service.control.connection() as connection:
            # Its own entry goes a moment after the job's end, and the reaper may have made one more meanwhile.
            dead = (
                "INSERT INTO kleidia_backup.procrastinate_jobs (queue_name, task_name, lock, args, status)"
                " SELECT 'kleidia-' || substr(encode(sha256('app'), 'hex'), 1, 16), 'run_job', 'app',"
                " jsonb_build_object('job_id', %s::bigint), 'doing'"
                " WHERE NOT EXISTS (SELECT FROM kleidia_backup.procrastinate_jobs) ON CONFLICT DO NOTHING RETURNING id"
            )
            with anyio.fail_after(10):
                while not await (await connection.execute(dead, (job.id,))).fetchone():  # noqa: ASYNC110 - another task
                    await anyio.sleep(0.02)
        assert (await ended(service, (await service.submit(new_backup())).id)).status == "completed"


@pytest.fixture
async def apart(service_settings: ServiceSettings, new_database: Callable[[], str]) -> AsyncIterator[Service]:
    """A service whose control tables are in a database of their own."""
    settings = replace(service_settings, control=PostgresSettings(new_database()))
    async with Service(settings) as service:
        yield service


async def test_a_replica_without_its_control_database(
    apart: Service, application: str, postgres_server: object, store_directory: Path
) -> None:
    """It ends its job by itself, says so when the database is back, and runs the next."""
    name = str(conninfo_to_dict(apart.config.control.full_conninfo())["dbname"])
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(await psycopg.AsyncConnection.connect(application, autocommit=True))
        holder = await stack.enter_async_context(await psycopg.AsyncConnection.connect(application))
        await holder.execute(LOCK)
        job = await apart.submit(new_backup())
        await _until(apart.jobs, job.id, lambda now: now.phase == "backup")
        with anyio.fail_after(30):
            while not await _dumps(admin):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.02)
        await admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        with anyio.fail_after(30):
            while await _dumps(admin):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.05)
        await holder.rollback()
        await admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    with anyio.fail_after(30):
        failed = await ended(apart, job.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "control database" in failed.error
    with anyio.fail_after(10):  # the reaper may have buried it while it still cleaned up
        while files(store_directory):  # noqa: ASYNC110 - likewise
            await anyio.sleep(0.05)
    assert (await ended(apart, (await apart.submit(new_backup())).id)).status == "completed"


async def _dumps(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> bool:
    """Whether a pg_dump is connected to the database."""
    cursor = await connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_dump'"
    )
    return await cursor.fetchone() is not None


async def _until(jobs: Jobs, job_id: int, found: Callable[[Job], bool]) -> Job:
    """A job, once it is as asked for."""
    with anyio.fail_after(30):
        while True:
            job = await jobs.get(job_id)
            assert job is not None
            if found(job):
                return job
            await anyio.sleep(0.05)
