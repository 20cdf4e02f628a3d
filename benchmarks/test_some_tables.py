"""One table of 1 MB out of a large archive of format V2: the whole command, and what it reads of the store."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import anyio
import psycopg
import pytest

from kleidia_backup import PostgresSettings, backup
from kleidia_backup.demo.servers.s3 import S3Server

from . import command
from .configuration import PASSWORD
from .measuring import Measure
from .system import Sizes, System, uploaded

pytestmark = pytest.mark.timeout(1800)

_TABLE = """
CREATE TABLE one_table AS
SELECT n AS id, encode(sha256(n::text::bytea), 'hex') AS value FROM generate_series(1, 14000) n
"""


@pytest.fixture
def database(system: System, sizes: Sizes) -> Iterator[PostgresSettings]:
    """The one with the long audit log, and for a while with one table more."""
    settings = system.database(sizes.keys, sizes.memory_rows[1])
    with psycopg.connect(settings.full_conninfo(), autocommit=True) as connection:
        connection.execute(_TABLE)
        try:
            yield settings
        finally:
            connection.execute("DROP TABLE IF EXISTS one_table")


def test_one_table(measure: Measure, system: System, database: PostgresSettings, s3: S3Server) -> None:
    """From a directory and over S3, into the database that it came from, where its rows were lost."""
    local = system.store()
    made = anyio.run(partial(backup, database=database, store=local, password=PASSWORD, format="v2"))
    remote = uploaded(s3, "one-table", local.path / made.name)
    here, there = (system.configured(database=database, store=store) for store in (local, remote))
    asked = ("restore", "--yes", "--table", "public.one_table", made.name)

    def over_s3() -> float:
        seconds, report = command.timed(there, *asked)
        assert report["rows"] == 14000
        return seconds

    _, report = measure.race(lambda: command.timed(here, *asked), rounds=5, s3=over_s3)
    assert report["rows"] == 14000
    measure.line("table_v2", measure.best(), median=measure.median(), size=made.size)
    measure.line("table_s3_v2", measure.best("s3"), median=measure.median("s3"), size=made.size)
    measure.line("table_read_v2", report["archive_bytes"] / 2**20, size=made.size)
    measure.judge()
