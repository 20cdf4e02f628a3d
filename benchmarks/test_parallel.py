"""A dump by four processes where one connection is slow: each lets through 50 MB a second, as a network might."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kleidia_backup import PostgresSettings

from . import command
from .measuring import Measure
from .system import AUDIT_ROW, Sizes, System

pytestmark = pytest.mark.timeout(1800)

JOBS = 4
RATE = 50_000_000
#: As many as make the shares of four processes equal.
TABLES = 8


@contextmanager
def slowly(database: PostgresSettings) -> Iterator[PostgresSettings]:
    """The same database behind a proxy."""
    parameters = conninfo_to_dict(database.full_conninfo())
    script, where = Path(__file__).with_name("proxy.py"), (str(parameters["host"]), str(parameters["port"]))
    with subprocess.Popen(
        [sys.executable, str(script), *where, str(RATE)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            through = make_conninfo("", **{**parameters, "host": "127.0.0.1", "port": port})
            yield replace(database, conninfo=through)
        finally:
            process.kill()


def fill(database: PostgresSettings, rows: int) -> None:
    """So many rows in tables of the same size, of bytes that cost a server little to make."""
    with psycopg.connect(database.full_conninfo(), autocommit=True) as connection:
        for number in range(TABLES):
            table = f"measured_{number}".encode()
            connection.execute(b"CREATE TABLE %b (n int PRIMARY KEY, filler text NOT NULL)" % table)
            connection.execute(
                b"INSERT INTO %b SELECT n, repeat(md5(n::text), %d) FROM generate_series(1, %d) n"
                % (table, AUDIT_ROW // 32, rows // TABLES)
            )
        connection.execute("VACUUM ANALYZE")


def bare(database: PostgresSettings, processes: int) -> None:
    """The rows by so many pg_dumps at the same time, to nowhere: what the machine lets anybody reach."""
    running = []
    for process in range(processes):
        tables = (f"--table=measured_{number}" for number in range(process, TABLES, processes))
        words = [database.pg_dump, "--data-only", *tables, f"--dbname={database.public_conninfo()}"]
        running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, env=database.environment()))
    assert [each.wait() for each in running] == [0] * processes


def test_parallel(measure: Measure, system: System, sizes: Sizes) -> None:
    """Four jobs against one, through the same proxy; and what as many bare pg_dumps gain."""
    database = system.empty_database()
    fill(database, sizes.audit_rows)
    made: dict[int, int] = {}

    with slowly(database) as slow:

        def dump(jobs: int) -> float:
            source = system.configured(database=slow, store=system.store(), jobs=jobs)
            seconds, result = command.timed(source, "backup", "--type", "database", "--format", "v2")
            assert not result["warnings"], result["warnings"]
            made[jobs] = result["sql_bytes"]
            return seconds

        measure.race(
            lambda: dump(JOBS),
            rounds=2,
            one=lambda: dump(1),
            bare_one=lambda: bare(slow, 1),
            bare=lambda: bare(slow, JOBS),
        )
    assert made[JOBS] == pytest.approx(made[1], rel=1e-4)  # pg_dump's comments are not all the same
    system.drop_database(database)
    several = measure.best("bare_one") / measure.best("bare")
    measure.ratio("parallel_v2", "one", sql_bytes=made[JOBS], several_bare=several)
    measure.judge()
