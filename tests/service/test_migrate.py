"""The control tables come up by themselves, whoever starts."""

from __future__ import annotations

import json
import sys

import anyio
import psycopg
import pytest

from kleidia_backup import ConfigurationError, PostgresSettings
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.migrate import migrate

pytestmark = pytest.mark.anyio

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
    assert await migrate(settings) == ["0001_control.sql", "procrastinate/schema"]
    assert await migrate(settings) == []
    with psycopg.connect(database) as connection:
        schemas = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert schemas == [("kleidia_backup",)]


async def test_ten_processes_at_once_apply_everything_once(database: str) -> None:
    """Ten replicas that start at the same moment share the work, and all of them find it done."""
    applied: list[str] = []

    async def start() -> None:
        done = await anyio.run_process([sys.executable, "-c", _PROCESS], input=database.encode())
        applied.extend(json.loads(done.stdout))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(start)
    assert sorted(applied) == ["0001_control.sql", "procrastinate/schema"]
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
