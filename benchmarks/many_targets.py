"""Many targets on one control database: what an idle replica costs, and how far it goes.

``python -m benchmarks.many_targets 1000 10000`` starts a PostgreSQL and prints a line for each number. Jobs do
nothing, so only what is ours is measured. ``idle`` is measured for ``--seconds``, with the intervals of a real service;
it fails beyond ``QUERIES`` or ``CPU``. All else is one run each: compare the lines with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import structlog

from kleidia_backup import PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.targets.services import TargetServices
from kleidia_backup.config.targets.settings import ReplicaSettings
from kleidia_backup.demo.servers.together import start_servers
from kleidia_backup.service.control.targets import attention
from kleidia_backup.service.control.targets.overview import overview
from kleidia_backup.service.targets.several import SeveralTargets

#: What an idle replica may take, whatever the number of its targets up to a thousand: transactions a second (the pool's
#: looks at its connections among them), and seconds of CPU a second.
QUERIES, CPU = 5.0, 0.05
#: Targets that are fired one after the other, and jobs that are taken from a queue in which those of all others wait.
SOME = 200


def _read(control: str, number: int) -> TargetServices:
    vault = VaultSettings(address="http://127.0.0.1:1", auth=TokenAuth("none"), roots=(Root("", "secret"),))
    shared: dict[str, Any] = {"control": PostgresSettings(control), "vault": vault, "secrets_mount": "secret"}
    settings = {
        name: ServiceSettings(**shared, target=name, secrets_path=f"of/{name}")
        for name in (f"t{place:06}" for place in range(number))
    }
    return TargetServices("t000000", settings, PostgresSettings(control), replica=ReplicaSettings(max_jobs=8))


def _mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


async def _nothing(*_: object) -> None:
    pass


async def measure(control: str, number: int, seconds: float) -> dict[str, float]:
    """The figures of one number of targets; times are seconds."""
    gc.collect()
    before, begun = _mib(), time.perf_counter()
    targets = SeveralTargets(lambda: _read(control, number))
    targets.begin = _nothing  # type: ignore[method-assign]  # there is no vault
    found = {"read": time.perf_counter() - begun, "MiB": _mib() - before}
    async with targets:
        async with targets.control.connection() as connection:
            await connection.execute(_SETTLED, (number,))
            await connection.execute("ANALYZE")
        found["first look"] = await _timed(targets.tick)
        found |= await _idle(targets, seconds)
        found["a tick"] = await _timed(targets.tick)
        names = [*targets.held()][:1000]
        found["overview of 1,000"] = await _timed(lambda: overview(targets.control, names))
    return found | await _due(control, number)


async def _idle(targets: SeveralTargets, seconds: float) -> dict[str, float]:
    await asyncio.sleep(6)  # statistics are written a moment later
    async with targets.control.connection() as connection:

        async def commits() -> int:
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            row = await (await connection.execute(_COMMITS)).fetchone()
            assert row is not None
            return int(row[0])

        first, used = await commits(), resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(min(seconds, 15))  # no longer than a connection may be held
        last, now = await commits(), resource.getrusage(resource.RUSAGE_SELF)
    taken = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {"queries/s": (last - first) / min(seconds, 15), "CPU": taken / min(seconds, 15)}


async def _due(control: str, number: int) -> dict[str, float]:
    """All are due at once: how many are fired a second, and taken out of the queue in which all others wait."""
    targets = SeveralTargets(lambda: _read(control, number))
    shared, some = targets._shared, min(SOME, number)  # noqa: SLF001 - its worker is left out
    async with targets.control, shared.background, shared.queue._app.open_async():  # noqa: SLF001 - likewise
        await targets.tick()  # which looks at each once
        async with targets.control.connection() as connection:
            await connection.execute(_ALL_DUE)
            asked = await _timed(lambda: attention.due(shared.background))
            await connection.execute(_BUT_SOME, (some,))
        fired = await _timed(targets.tick)
        async with await psycopg.AsyncConnection.connect(control, autocommit=True) as connection:
            await connection.execute("SET search_path = kleidia_backup")
            await connection.execute(_WAIT, (some, number))
            await connection.execute("ANALYZE")
            worker = await (await connection.execute(_WORKER)).fetchone()
            assert worker is not None
            begun = time.perf_counter()
            for _ in range(some):
                row = await (await connection.execute(_FETCH, (["kleidia-anywhere"], worker[0]))).fetchone()
                assert row is not None
                assert row[0] is not None
            taken = time.perf_counter() - begun
    return {"who is due": asked, "fired/s": some / fired, "taken/s": some / taken}


_SETTLED = """
    INSERT INTO kleidia_backup.schedules (target, kind, cron, timezone, next_due)
    SELECT 't' || lpad(n::text, 6, '0'), 'backup', '0 2 * * *', 'UTC', now() + interval '1 day'
    FROM generate_series(0, %s - 1) n ON CONFLICT DO NOTHING
"""
_ALL_DUE = "UPDATE kleidia_backup.schedules SET next_due = now() - interval '1 minute' WHERE kind = 'backup'"
_BUT_SOME = """
    UPDATE kleidia_backup.schedules SET next_due = now() + interval '1 day'
    WHERE target >= 't' || lpad(%s::text, 6, '0')
"""
_WAIT = """
    WITH made AS (
        INSERT INTO jobs (kind, backup_type, target)
        SELECT 'backup', 'full', 't' || lpad(n::text, 6, '0') FROM generate_series(%s, %s - 1) n RETURNING id, target
    )
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    SELECT 'kleidia-anywhere', 'run_job', target, 'job-' || id, jsonb_build_object('job_id', id) FROM made
"""
_COMMITS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
_WORKER = "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
_FETCH = "SELECT id FROM procrastinate_fetch_job_v2(%s, %s)"


def main() -> None:
    """Measure each number, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="+", type=int)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(start_servers(directory, openbao=False, s3=False, fsync=False)).postgres
        assert server is not None
        for number in given.numbers:
            with psycopg.connect(server.conninfo(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE many_{number}".encode())
            found = asyncio.run(measure(server.conninfo(f"many_{number}"), number, given.seconds))
            print(f"{number:>7}  " + "  ".join(f"{name} {value:.3g}" for name, value in found.items()), flush=True)
            if number <= 1000:
                assert found["queries/s"] <= QUERIES, f"{found['queries/s']:.2f} queries a second while idle"
                assert found["CPU"] <= CPU, f"{found['CPU']:.1%} of a CPU while idle"


if __name__ == "__main__":
    main()
