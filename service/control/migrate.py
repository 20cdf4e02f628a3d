"""The control tables, and those of the job queue, migrated at every start, by the replica that starts first.

Our own files are ``sql/NNNN_name.sql``. procrastinate brings a schema for a new database and a file for every change
since; both go into our schema. ``NNNN_queue_name.sql`` is ours about its tables, and comes last. Each file is applied
in a transaction of its own, under a lock that all replicas share, and noted in ``kleidia_backup.migrations``. Nothing
is ever taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.conninfo import make_conninfo

from ...stages.errors import ConfigurationError
from ...stages.pg.server.lock import LOCK
from ...stages.pg.server.settings import CONTROL_SCHEMA, PostgresSettings

#: The two numbers of the lock under which migrations run.
MIGRATION_LOCK = (LOCK[0], 3)
#: What a connection to the control database asks for, whatever encoding that has: from one in SQL_ASCII, as ``initdb``
#: makes where no locale is set, texts would come as bytes.
TEXT = {"client_encoding": "UTF8"}
#: What the names of procrastinate's files begin with in our table.
_QUEUE = "procrastinate/"

_TABLE = """
CREATE TABLE IF NOT EXISTS kleidia_backup.migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def of_the_queue(self) -> bool:
        """Whether it is about procrastinate's tables, and comes after its files."""
        return self.name[4:].startswith("_queue_")


async def migrate(settings: PostgresSettings) -> list[str]:
    """Apply what is missing; the names of what was applied. Safe in any number of processes at once.

    Raises ``ConfigurationError`` when the tables were made by a newer version, or by a file that has changed since;
    psycopg's errors pass through.
    """
    applied: list[str] = []
    connection = await psycopg.AsyncConnection.connect(
        make_conninfo(settings.full_conninfo(), **TEXT),
        autocommit=True,
        fallback_application_name="kleidia-backup migrations",
    )
    async with connection:
        while name := await _step(connection):
            applied.append(name)
    return applied


async def _step(connection: psycopg.AsyncConnection[Any]) -> str:
    """Apply the first file that is missing, in one transaction; its name, empty when none is."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", MIGRATION_LOCK)
        known = await _known(connection)
        ours, queue = list(_ours()), list(_of_the_queue())
        _check(known, ours, queue)
        if first := [file for file in ours if file.name not in known and not file.of_the_queue]:
            return await _apply(connection, first[0])
        if missing := [file for file in queue if file.name not in known]:
            fresh = len(missing) == len(queue)
            await connection.execute(f"SET LOCAL search_path = {CONTROL_SCHEMA}".encode())
            await connection.execute(SchemaManager.get_schema() if fresh else missing[0].text.encode())
            await _note(connection, missing if fresh else missing[:1])
            return f"{_QUEUE}schema" if fresh else missing[0].name
        if last := [file for file in ours if file.name not in known]:
            return await _apply(connection, last[0])
    return ""


async def _apply(connection: psycopg.AsyncConnection[Any], file: _File) -> str:
    await connection.execute(file.text.encode())
    await _note(connection, [file])
    return file.name


async def _known(connection: psycopg.AsyncConnection[Any]) -> dict[str, str]:
    """What was applied, with its SHA-256; makes the schema and the table of it."""
    cursor = await connection.execute("SELECT to_regclass('kleidia_backup.migrations')")
    if (await cursor.fetchone() or (None,))[0] is None:
        cursor = await connection.execute("SELECT to_regnamespace(%s)", (CONTROL_SCHEMA,))
        if (await cursor.fetchone() or (None,))[0] is None:  # IF NOT EXISTS would ask for the right to make one
            await connection.execute(f"CREATE SCHEMA {CONTROL_SCHEMA}".encode())
        await connection.execute(_TABLE)
    cursor = await connection.execute("SELECT name, sha256 FROM kleidia_backup.migrations")
    return dict(await cursor.fetchall())


async def _note(connection: psycopg.AsyncConnection[Any], files: list[_File]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO kleidia_backup.migrations (name, sha256) VALUES (%s, %s)",
            [(file.name, file.sha256) for file in files],
        )


def _check(known: dict[str, str], ours: list[_File], queue: list[_File]) -> None:
    """Refuse tables that this version does not understand. procrastinate may tidy its own files up."""
    names = {file.name for file in (*ours, *queue)}
    if newer := sorted(known.keys() - names):
        raise ConfigurationError(
            f"The control tables were made by a newer version: it applied {newer[-1]}.",
            hint="Update kleidia-backup here as well; older versions cannot use them.",
        )
    for file in ours:
        if known.get(file.name, file.sha256) != file.sha256:
            raise ConfigurationError(
                f"The migration {file.name} has changed since it was applied.",
                hint="Install the released version again; an applied migration is never edited.",
            )


def _ours() -> Iterator[_File]:
    directory = resources.files(__package__) / "sql"
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            yield _File(entry.name, entry.read_text(encoding="utf-8"))


def _of_the_queue() -> Iterator[_File]:
    for path in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql")):
        yield _File(f"{_QUEUE}{path.name}", path.read_text(encoding="utf-8"))
