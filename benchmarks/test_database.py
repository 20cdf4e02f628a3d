"""The database alone, beside the programs of PostgreSQL and the pipe that people use."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from kleidia_backup import PostgresSettings, backup, restore, verify

from . import bare, pipes
from .configuration import PASSWORD
from .measuring import Measure, timed
from .system import Sizes, System

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def database(system: System, sizes: Sizes) -> PostgresSettings:
    """The one with the long audit log."""
    return system.database(sizes.keys, sizes.audit_rows)


def test_dump(measure: Measure, system: System, database: PostgresSettings) -> None:
    """A backup into a directory, against pg_dump alone."""

    def ours() -> object:
        return anyio.run(partial(backup, database=database, store=system.store(), password=PASSWORD))

    made = measure.race(ours, rounds=3, pg_dump=lambda: bare.pg_dump(database))
    measure.ratio("dump", "pg_dump", sql_bytes=made.sql_bytes)
    measure.stages(made)
    measure.judge()


def test_pipe(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path, *, short: bool) -> None:
    """The same backup and its verification, against ``pg_dump | gzip | openssl`` and its way back."""
    file, store = tmp_path / "dump.sql.gz.enc", system.store()

    def ours() -> object:
        return anyio.run(partial(backup, database=database, store=store, password=PASSWORD))

    made = measure.race(ours, rounds=2 if short else 1, pipe=lambda: pipes.gzip(database, file))
    measure.ratio("pipe", "pipe")
    measure.line("pipe_size", made.size / file.stat().st_size, pipe=file.stat().st_size, ours=made.size)
    measure.judge()


def test_verify(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path) -> None:
    """A verification, against decrypting and decompressing what that pipe made."""
    file, store = tmp_path / "dump.sql.gz.enc", system.store()
    pipes.gzip(database, file)
    made = anyio.run(partial(backup, database=database, store=store, password=PASSWORD))

    def ours() -> object:
        return anyio.run(partial(verify, made.name, store=store, password=PASSWORD))

    verified = measure.race(ours, rounds=3, openssl_gunzip=lambda: pipes.gunzip(file))
    assert verified.sql_bytes == made.sql_bytes
    measure.ratio("verify", "openssl_gunzip")
    measure.stages(verified)
    measure.judge()


def test_psql(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path, *, short: bool) -> None:
    """A restore into an empty database, against ``psql -1 -f`` into another."""
    plain, store = tmp_path / "dump.sql", system.store()
    bare.pg_dump(database, plain)
    made = anyio.run(partial(backup, database=database, store=store, password=PASSWORD))

    def ours(target: PostgresSettings) -> object:
        job = partial(restore, made.name, database=target, store=store, password=PASSWORD, state=system.state())
        return anyio.run(job)

    with system.empty_databases() as empty:
        back = measure.race(
            ours,
            prepare=lambda: (empty(),),
            rounds=3 if short else 2,
            psql=lambda: timed(partial(bare.psql, empty(), plain)),
        )
    assert back.sql_bytes == made.sql_bytes
    assert back.rows > 0
    measure.ratio("psql", "psql")
    measure.stages(back)
    measure.judge()
