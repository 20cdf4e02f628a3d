"""A schema of 10,000 small tables, backed up and restored over itself, compared by pg_dump's text.

The server needs room for the locks: max_locks_per_transaction is 1024 in the embedded one.
"""

from __future__ import annotations

import re
import subprocess
from functools import partial

import anyio
import psycopg
import pytest

from kleidia_backup import PostgresSettings, backup, restore

from .configuration import PASSWORD
from .system import System


def text(database: PostgresSettings) -> str:
    """The database as SQL, without the key that differs in every dump."""
    command = [database.pg_dump, "--dbname", database.full_conninfo()]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return re.sub(r"\\(un)?restrict \w+\n", "", done.stdout)


@pytest.mark.timeout(600)
def test_many_tables(system: System, *, short: bool) -> None:
    """The dump of the restored database is the dump of the original."""
    tables, database, store = 1_000 if short else 10_000, system.empty_database(), system.store()
    with psycopg.connect(database.full_conninfo(), autocommit=True) as connection:
        for number in range(tables):
            connection.execute(f"CREATE TABLE small_{number} (id int PRIMARY KEY, name text)".encode())
            connection.execute(f"INSERT INTO small_{number} VALUES (1, 'one'), (2, 'two')".encode())
    original = text(database)
    made = anyio.run(partial(backup, database=database, store=store, password=PASSWORD))
    job = partial(restore, made.name, database=database, store=store, password=PASSWORD, state=system.state())
    back = anyio.run(job)
    assert back.tables == tables
    assert text(database) == original
    system.drop_database(database)
