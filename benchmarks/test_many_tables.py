"""A schema of 10,000 small tables, backed up and restored over itself, compared by pg_dump's text.

    python -m pytest benchmarks/test_many_tables.py -s

The server needs room for the locks: max_locks_per_transaction is 1024 in the embedded one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import psycopg
import pytest

from kleidia_backup import DirectorySettings, backup, restore
from kleidia_backup.service.demo.run import Demo

TABLES = int(os.environ.get("KLEIDIA_BENCH_TABLES", "10000"))


def text(demo: Demo) -> str:
    command = [demo.database.pg_dump, "--dbname", demo.database.full_conninfo()]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return re.sub(r"\\(un)?restrict \w+\n", "", done.stdout)


@pytest.mark.timeout(600)
def test_many_tables(demo_system: Callable[[int, int], tuple[Demo, Path]], tmp_path: Path) -> None:
    """The dump of the restored database is the dump of the original."""
    demo, _ = demo_system(10, 0)
    with psycopg.connect(demo.database.full_conninfo(), autocommit=True) as connection:
        for number in range(TABLES):
            connection.execute(f"CREATE TABLE small_{number} (id int PRIMARY KEY, name text)".encode())
            connection.execute(f"INSERT INTO small_{number} VALUES (1, 'one'), (2, 'two')".encode())
    original = text(demo)
    store = DirectorySettings(tmp_path)

    async def there_and_back() -> tuple[dict[str, float], dict[str, float]]:
        made = await backup(database=demo.database, store=store, password="a password")
        back = await restore(made.name, database=demo.database, store=store, password="a password", state=tmp_path)
        assert back.tables == TABLES + 6
        return made.seconds, back.seconds

    tmp_path.chmod(0o700)
    seconds = anyio.run(there_and_back)
    print(f"\n{TABLES:,} tables, seconds: backup {seconds[0]}, restore {seconds[1]}")
    assert text(demo) == original
