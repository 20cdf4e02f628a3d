"""Many targets that are due at once, on three replicas, one of which is killed with SIGKILL in the middle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest
from psycopg.types.json import Jsonb

from kleidia_backup import PostgresSettings
from kleidia_backup.config.targets.settings import ReplicaSettings
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.service.control.cron import Cron
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.targets.overview import overview

from ..databases import new_database
from .many import RAN, Many

pytestmark = pytest.mark.anyio

#: Jobs at a time: of each replica, and on all of them of one store.
MOST, PER_STORE = 5, 6
REPLICAS = 3


@contextmanager
def _replicas(many: Many) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Three processes by the names of their replicas."""
    started = [
        subprocess.Popen(
            [sys.executable, str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(REPLICAS)
    ]
    try:
        found = {}
        for process in started:
            assert process.stdin is not None
            process.stdin.write(pickle.dumps(vars(many)))
            process.stdin.close()
            process.stdin = None
        for process in started:
            assert process.stdout is not None
            found[process.stdout.readline().decode().strip()] = process
        yield found
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.communicate(timeout=60)


_SCRIPT = Path(__file__).with_name("many.py")


@pytest.mark.parametrize("number", [100, pytest.param(1000, marks=pytest.mark.thorough)])
async def test_all_run_once_and_in_their_order(number: int, postgres_server: PostgresServer) -> None:
    """Each target has one job, the longest due first; none is lost with the replica that dies, and none runs twice.

    Nor do more jobs run at a time than replicas and stores take.
    """
    with new_database(postgres_server) as name:
        many = Many(
            postgres_server.conninfo(name),
            number,
            seconds=0.2 if number <= 100 else 0.5,
            stores=4,
            replica=ReplicaSettings(max_jobs=MOST, jobs_per_store=PER_STORE),
        )
        async with Control(PostgresSettings(many.control)) as control:
            order = await _prepare(control, many)
            with _replicas(many) as replicas:
                killed = await _one_that_runs(control, number // 3)
                await anyio.to_thread.run_sync(_kill, replicas[killed])
                await _all_ended(control, number)
            async with control.connection() as connection:
                cursor = await connection.execute(_RESULT)
                rows = await cursor.fetchall()
                left = await (await connection.execute("SELECT count(*) FROM kleidia_backup.admissions")).fetchone()
        assert left is not None
        assert left[0] <= MOST  # of the jobs that ended last: the next sweep takes them out
        _check(rows, order, killed)


async def test_a_thousand_that_are_idle(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of all that runs by itself takes a few queries, however many targets there are; so does the overview."""
    asked: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(cursor: Any, query: Any, *values: Any, **how: Any) -> Any:
        if query:  # else the pool looks whether the connection is there
            asked.append(str(query))
        return await execute(cursor, query, *values, **how)

    with new_database(postgres_server) as name:
        many = Many(postgres_server.conninfo(name), 1000, 0)
        targets = many.targets()
        async with targets.control, targets._shared.background, targets._shared.queue._app.open_async():
            async with targets.control.connection() as connection:
                await connection.execute(_SETTLED, (many.names,))
            await targets.tick()  # it looks at each once
            monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
            for round_ in (targets.tick, targets.sweep, targets.tell, targets.watch):
                await round_()
            assert len(asked) <= 6, asked
            asked.clear()
            assert [row.target for row in await overview(targets.control, many.names)] == many.names
            assert len(asked) == 1
        assert targets._shared.queue._worker is None


_SETTLED = """
    INSERT INTO kleidia_backup.schedules (target, kind, cron, timezone, next_due)
    SELECT unnest(%s::text[]), 'backup', '0 2 * * *', 'UTC', now() + interval '1 day'
"""


async def _prepare(control: Control, many: Many) -> dict[str, int]:
    """Targets due at three moments, one minute apart, half a day ago; which are due first, second and third."""
    hour = (datetime.now(UTC).hour + 12) % 24
    order = {name: place % 3 for place, name in enumerate(many.names)}
    async with control.connection() as connection, connection.transaction():
        await connection.execute(RAN)
        for name, minute in order.items():
            cron = f"{minute} {hour} * * *"
            due = Cron(cron, "UTC", "schedule").before(datetime.now(UTC))
            document = {"settings": {"schedule": cron}}
            await connection.execute(
                "INSERT INTO kleidia_backup.settings (target, document, version) VALUES (%s, %s, 0)",
                (name, Jsonb(document)),
            )
            await connection.execute(
                "INSERT INTO kleidia_backup.schedules (target, kind, cron, timezone, next_due)"
                " VALUES (%s, 'backup', %s, 'UTC', %s)",
                (name, cron, due),
            )
    return order


async def _one_that_runs(control: Control, after: int) -> str:
    """A replica that runs a job, once so many have begun."""
    with anyio.fail_after(120):
        while True:
            async with control.connection() as connection:
                cursor = await connection.execute(
                    "SELECT replica FROM kleidia_backup.jobs"
                    " WHERE status = 'running' AND (SELECT count(*) FROM public.ran) >= %s LIMIT 1",
                    (after,),
                )
                row = await cursor.fetchone()
            if row is not None:
                return str(row[0])
            await anyio.sleep(0.1)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def _all_ended(control: Control, number: int) -> None:
    with anyio.fail_after(250):
        while True:
            async with control.connection() as connection:
                cursor = await connection.execute(
                    "SELECT count(*) FROM kleidia_backup.jobs WHERE status IN ('completed', 'failed')"
                )
                row = await cursor.fetchone()
            if row is not None and row[0] >= number:
                return
            await anyio.sleep(0.2)


def _check(rows: list[Any], order: dict[str, int], killed: str) -> None:
    """``rows``: target, id, status, replica, what ran: how often, when it began and ended; by their beginnings."""
    assert sorted(target for target, *_ in rows) == sorted(order)
    for target, job, status, replica, times, _, _ in rows:
        assert times <= 1, (target, job)
        assert (status, times) == ("completed", 1) or (status, replica) == ("failed", killed), (target, job, status)
    lost = [row for row in rows if row[2] == "failed"]
    assert len(lost) <= MOST  # what the killed one ran
    # In their order: when one begins, at most as many of those due before it have not as are about to, or were lost:
    # those that the killed one had taken never begin, and others wait for their stores to be free of them.
    slots = REPLICAS * (MOST + 1) + 2 * len(lost)
    waiting = sorted((order[row[0]] for row in rows), reverse=True)
    for target, *_ in rows:
        waiting.remove(order[target])
        before = sum(each < order[target] for each in waiting)
        assert before <= slots, target
    began = [(each[5], 1, each) for each in rows if each[5] is not None]
    ended = [(each[6], -1, each) for each in rows if each[6] is not None and each[5] is not None]
    running: dict[int, int] = {}
    for _, change, row in sorted(began + ended, key=lambda event: event[:2]):
        store = int(row[0][1:]) % 4
        running[store] = running.get(store, 0) + change
        assert running[store] <= PER_STORE + len(lost)  # those that died never say that they ended


_RESULT = """
    SELECT job.target, job.id, job.status, job.replica, count(ran.job), min(ran.began), max(ran.ended)
    FROM kleidia_backup.jobs job LEFT JOIN public.ran ON ran.job = job.id
    GROUP BY job.id ORDER BY min(ran.began) NULLS LAST
"""
