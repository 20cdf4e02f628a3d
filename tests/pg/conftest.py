"""A database of its own for every test, and what the tests do with it."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.engine.testing import collect, run_sink
from kleidia_backup.stages.errors import DamagedArchive
from kleidia_backup.stages.pg.dump import PgDump
from kleidia_backup.stages.pg.server.settings import PostgresSettings
from kleidia_backup.stages.pg.session import RestoreSession, open_session
from kleidia_backup.stages.pg.survey import SqlFacts, SqlSurvey

from .. import databases


def facts_of(chunks: Iterable[bytes]) -> SqlFacts:
    """What the first reading of an archive finds in its text, up to what it refuses."""
    survey = SqlSurvey()
    with contextlib.suppress(DamagedArchive):
        for chunk in chunks:
            survey.feed(chunk)
        survey.finish()
    return survey.facts


class Database:
    """A database and its settings. Tests name this class as ``Any``: a conftest cannot be imported."""

    def __init__(self, settings: PostgresSettings) -> None:
        self.settings = settings

    def using(self, **changes: Any) -> Database:
        """The same database with other settings."""
        return Database(replace(self.settings, **changes))

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.settings.full_conninfo(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        with psycopg.connect(self.settings.full_conninfo(), autocommit=True) as connection:
            return connection.execute(question.encode()).fetchall()

    def value(self, question: str) -> Any:
        """The first column of the only row of an answer."""
        ((value,),) = self.query(question)
        return value

    def text(self, *options: str) -> str:
        """What pg_dump says of the database, without the key that differs from run to run."""
        command = [self.settings.pg_dump, "--dbname", self.settings.full_conninfo(), *options]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        return re.sub(r"\\(un)?restrict \w+\n", "", done.stdout)

    async def dump(self, *, include_audit: bool = True) -> list[bytes]:
        """The chunks of a dump."""
        chunks: list[bytes] = await collect(PgDump(self.settings, include_audit=include_audit))
        return chunks

    async def restore(self, chunks: Iterable[bytes], *, surveyed: bool = True, **options: Any) -> RestoreSession:
        """Restore chunks of SQL text, and commit."""
        chunks = list(chunks)
        facts = facts_of(chunks) if surveyed else None
        async with open_session(self.settings, facts=facts, **options) as session:
            await run_sink(session, chunks)
            await session.commit()
        return session


@pytest.fixture
def make_database(postgres_server: PostgresServer) -> Iterator[Callable[..., Database]]:
    """Makes an empty database, as often as it is called; options of CREATE DATABASE may be given."""
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin, contextlib.ExitStack() as stack:

        def make(options: str = "") -> Database:
            name = databases.create(admin, options)
            stack.callback(databases.drop, admin, postgres_server, name)
            pg_dump = str(postgres_server.bin_dir / "pg_dump")
            return Database(PostgresSettings(postgres_server.conninfo(name), pg_dump=pg_dump))

        yield make


@pytest.fixture
def db(make_database: Callable[..., Database]) -> Database:
    """An empty database."""
    return make_database()


@pytest.fixture
def other(make_database: Callable[..., Database]) -> Database:
    """A second, empty database."""
    return make_database()


@pytest.fixture
def make_role(postgres_server: PostgresServer) -> Iterator[Callable[[Database], tuple[str, Database]]]:
    """Makes a login role without special rights; gives its name and the database as it sees it."""
    made: list[tuple[str, Database]] = []

    def make(database: Database) -> tuple[str, Database]:
        name = f"role_{secrets.token_hex(4)}"
        database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'role-password'")
        made.append((name, database))
        conninfo = make_conninfo(database.settings.conninfo, user=name, password="role-password")
        return name, database.using(conninfo=conninfo)

    yield make
    for name, database in made:
        # As without_sessions does, for a database that may have no plpgsql any more.
        end = time.monotonic() + 60
        while database.value(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}'"):
            assert time.monotonic() < end, "a session of the role does not end"
            time.sleep(0.02)
        database.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Waits until something that a process or the server does is seen to have happened."""

    async def wait(seen: Callable[[], Any]) -> None:
        while not seen():  # noqa: ASYNC110 - nobody tells us
            await anyio.sleep(0.01)

    return wait


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes an executable shell script that answers ``--version`` like PostgreSQL 18.6; gives its path."""

    def write(name: str, body: str, *, version: str = "18.6") -> str:
        path = tmp_path / name
        check = f'[ "$1" = --version ] && echo "{name} (PostgreSQL) {version}" && exit 0'
        path.write_text(f"#!/bin/sh\n{check}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write
