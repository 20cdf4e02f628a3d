"""The control tables come up by themselves, whoever starts."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import resources

import anyio
import psycopg
import pytest

from kleidia_backup import ConfigurationError, PostgresSettings
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.service import control
from kleidia_backup.service.control.audit import Audit, AuditEntry
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.control.migrate import migrate
from kleidia_backup.service.control.schedule import Schedule, ScheduleRow

from .conftest import new_backup

pytestmark = pytest.mark.anyio

#: What an empty database needs.
_OURS = sorted(each.name for each in (resources.files(control) / "sql").iterdir() if each.name.endswith(".sql"))
APPLIED = [
    *(name for name in _OURS if "_queue_" not in name),
    "procrastinate/schema",
    *(name for name in _OURS if "_queue_" in name),
]
#: A replica that does nothing but this.
_PROCESS = """
import asyncio, json, sys
from kleidia_backup import PostgresSettings
from kleidia_backup.service.control.migrate import migrate
print(json.dumps(asyncio.run(migrate(PostgresSettings(sys.stdin.read())))))
"""


async def test_a_second_start_has_nothing_to_apply(database: str) -> None:
    """Everything is in our schema, and applied once."""
    settings = PostgresSettings(database)
    assert await migrate(settings) == APPLIED
    assert await migrate(settings) == []
    with psycopg.connect(database) as connection:
        schemas = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert schemas == [("kleidia_backup",)]


async def test_any_encoding_of_the_database_will_do(
    postgres_server: PostgresServer, new_database_of: Callable[..., str]
) -> None:
    """SQL_ASCII is what ``initdb`` makes where no locale is set: a second start was refused there."""
    options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    settings = PostgresSettings(new_database_of(postgres_server, options))
    for _ in range(2):
        async with Control(settings) as control:
            await Audit(control, "app").write(AuditEntry(action="login.refused", details="\u20ac"))
            assert {each.details for each in await Audit(control, "app").page()} == {"\u20ac"}


async def test_what_an_older_version_wrote_is_kept(database: str) -> None:
    """Its schedule is that of backups, and a moment that was fired stays fired."""
    settings, first = PostgresSettings(database), "0001_control.sql"
    text = resources.files("kleidia_backup.service.control").joinpath("sql", first).read_text(encoding="utf-8")
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA kleidia_backup")
        connection.execute(
            "CREATE TABLE kleidia_backup.migrations (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute(text.encode())
        digest = hashlib.sha256(text.encode()).hexdigest()
        connection.execute("INSERT INTO kleidia_backup.migrations VALUES (%s, %s)", (first, digest))
        connection.execute(
            "INSERT INTO kleidia_backup.schedules (target, next_due) VALUES ('app', '2026-01-05 02:00Z')"
        )
        connection.execute(
            "INSERT INTO kleidia_backup.jobs (kind, backup_type, target, scheduled_for)"
            " VALUES ('backup', 'full', 'app', '2026-01-05 02:00Z')"
        )
    async with Control(settings) as control:
        due = await Schedule(control).next_due("app")
        async with control.connection() as connection:
            row = ScheduleRow(target="app")
            assert due is not None
            assert await Schedule(control).fired(row, due, connection)
            assert not await Schedule(control).fired(replace(row, kind="verify"), due, connection)


async def test_ten_processes_at_once_apply_everything_once(database: str) -> None:
    """Ten replicas that start at the same moment share the work, and all of them find it done."""
    applied: list[str] = []

    async def start() -> None:
        done = await anyio.run_process([sys.executable, "-c", _PROCESS], input=database.encode())
        applied.extend(json.loads(done.stdout))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(start)
    assert sorted(applied) == sorted(APPLIED)
    assert await migrate(PostgresSettings(database)) == []


async def test_a_change_of_the_queue_is_applied(database: str) -> None:
    """A file that procrastinate brought since is applied by name, in our schema."""
    settings = PostgresSettings(database)
    await migrate(settings)
    with psycopg.connect(database) as connection:
        last = "03.04.00_50_post_add_retry_failed_job_procedure.sql"
        connection.execute("DELETE FROM kleidia_backup.migrations WHERE name = %s", (f"procrastinate/{last}",))
        connection.execute("DROP FUNCTION kleidia_backup.procrastinate_retry_job_v2")
    assert await migrate(settings) == [f"procrastinate/{last}"]


async def test_tables_of_a_newer_version_are_refused(database: str) -> None:
    """An old replica does not guess what a new one did."""
    settings = PostgresSettings(database)
    await migrate(settings)
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO kleidia_backup.migrations VALUES ('9999_later.sql', '')")
    with pytest.raises(ConfigurationError, match=r"newer version: it applied 9999_later\.sql"):
        async with Control(settings):
            raise AssertionError


async def test_a_changed_file_is_refused(database: str) -> None:
    """What was applied and what would be applied are the same text."""
    settings = PostgresSettings(database)
    await migrate(settings)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE kleidia_backup.migrations SET sha256 = 'other' WHERE name = '0001_control.sql'")
    with pytest.raises(ConfigurationError, match="has changed since"):
        await migrate(settings)


async def test_a_replica_goes_on_while_a_newer_one_changes_the_tables(database: str) -> None:
    """Columns that it does not know are passed over, and jobs of kinds that it does not know are left to the newer."""
    async with Control(PostgresSettings(database)) as control:
        with psycopg.connect(database, autocommit=True) as connection:
            for table in ("jobs", "audit", "schedules"):
                connection.execute(f"ALTER TABLE kleidia_backup.{table} ADD COLUMN later text DEFAULT 'x'".encode())
            connection.execute("ALTER TABLE kleidia_backup.jobs DROP CONSTRAINT jobs_kind_check")
        jobs = Jobs(control, "app")
        job = await jobs.create(new_backup())
        assert await jobs.start(job.id, "here") is not None
        assert await jobs.fail(job.id, "done", "") is not None
        assert await jobs.start((await jobs.create(new_backup(kind="later"))).id, "here") is None
        await Audit(control, "app").write(AuditEntry(action="login.refused"))
        async with Schedule(control).locked("app") as locked:
            assert locked is not None
