"""How much is read, by whom, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psycopg
import pytest
from anyio import to_thread
from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.stages.errors import KleidiaError

from ...archive_format import backup, both_formats
from ...databases import without_sessions
from .lab import PASSWORD, Lab

pytestmark = pytest.mark.anyio

KIB = 1024


async def test_only_what_is_needed_is_read(lab: Lab) -> None:
    """Of format V2: the SQL without rows, and the rows of the table. Another table may be as large as it will."""
    lab.sql(
        "CREATE TABLE large AS SELECT n, gen_random_bytes FROM generate_series(1, 40000) n,"
        " LATERAL (SELECT string_agg(sha256((n * 1000 + i)::text::bytea)::text, '') AS gen_random_bytes"
        " FROM generate_series(1, 8) i) AS r"
    )
    made = await backup(database=lab.postgres, store=lab.store, password=PASSWORD, format="v2")
    assert made.size > 8192 * KIB
    lab.name = made.name
    lab.sql("DELETE FROM other")
    report = await lab.restore("other")
    assert report.rows == 1000
    assert report.archive_bytes < 3072 * KIB
    assert (await lab.restore("large")).rows == 40000


async def test_comments_between_large_tables_are_not_read(lab: Lab) -> None:
    """Of format V2: each stands in a segment of its own, of 256 KiB."""
    tables = 12
    for number in range(tables):
        lab.sql(
            f"CREATE TABLE large_{number} AS"
            f" SELECT string_agg(sha256((n * {number + 7})::text::bytea)::text, '') AS text"
            " FROM generate_series(1, 12000) n"
        )
    made = await backup(database=lab.postgres, store=lab.store, password=PASSWORD, format="v2")
    assert made.size > tables * 300 * KIB
    lab.name = made.name
    report = await lab.restore("other")
    assert (report.rows, report.archive_bytes < tables * 150 * KIB) == (1000, True), report.archive_bytes
    assert lab.sql("SELECT count(*) FROM large_3") == [(1,)]


async def test_an_archive_of_several_processes(lab: Lab) -> None:
    """Chunks of several tables alternate; each finds its own."""
    postgres = replace(lab.postgres, jobs=3, large_table=1)
    made = await backup(database=postgres, store=lab.store, password=PASSWORD, format="v2")
    lab.name = made.name
    before = lab.dump()
    lab.sql("DELETE FROM notes; DELETE FROM users; DELETE FROM events; DELETE FROM other")
    await lab.restore("events", "users", "other", "notes")
    assert lab.dump() == before


@both_formats
async def test_an_owner_who_is_no_superuser(lab: Lab, postgres_server: PostgresServer) -> None:
    """The right to make databases is all that it needs beside its tables; triggers do not fire for it either."""
    await lab.backup()
    lab.sql("DROP ROLE IF EXISTS tables_owner; CREATE ROLE tables_owner LOGIN CREATEDB PASSWORD 'x'")
    try:
        for table in ("users", "notes", "events", "other", "backup_jobs", 'app."Odd ""Name"'):
            lab.sql(f"ALTER TABLE {table} OWNER TO tables_owner")
        lab.sql("ALTER TABLE users NO FORCE ROW LEVEL SECURITY; GRANT CREATE ON SCHEMA public TO tables_owner")
        lab.sql("ALTER TYPE mood OWNER TO tables_owner; ALTER FUNCTION touch() OWNER TO tables_owner")
        lab.sql("ALTER SCHEMA app OWNER TO tables_owner; ALTER STATISTICS users_stats OWNER TO tables_owner")
        own = replace(lab.postgres, conninfo=make_conninfo(lab.conninfo, user="tables_owner", password="x"))
        made = await backup(database=lab.postgres, store=lab.store, password=PASSWORD)
        lab.name = made.name
        before = lab.dump()
        lab.sql("DELETE FROM notes; UPDATE users SET mood = 'good'")
        report = await lab.restore("users", database=own)
        assert (report.how, report.warnings) == ("rows replaced", ())
        lab.sql("ALTER TABLE notes ADD COLUMN more text")
        assert (await lab.restore("notes", database=own)).how == "replaced"
        assert lab.dump() == before
        lab.sql("ALTER TABLE other OWNER TO CURRENT_USER")
        with pytest.raises(KleidiaError, match="other") as caught:
            await lab.restore("other", database=own)
        assert caught.value.effect == "nothing"
    finally:
        lab.sql(without_sessions("tables_owner"))
        lab.sql("REASSIGN OWNED BY tables_owner TO CURRENT_USER; DROP OWNED BY tables_owner; DROP ROLE tables_owner")


_KILLED = """
import sys, anyio
from kleidia_backup import DirectorySettings, PostgresSettings, restore_tables
def see(progress):
    print(progress.phase, flush=True)
name, store, conninfo, pg_dump, password = sys.argv[1:]
anyio.run(lambda: restore_tables(
    name, ["users"], store=DirectorySettings(store), password=password,
    database=PostgresSettings(conninfo, pg_dump=pg_dump), on_progress=see))
"""


def _kill(lab: Lab, phase: str) -> None:
    """Begin a restore, and kill it: while it looks at the schema, or waits for the table's lock."""
    arguments = (lab.name, str(lab.store.path), lab.conninfo, lab.postgres.pg_dump, PASSWORD)
    with (
        psycopg.connect(lab.conninfo) as locked,
        subprocess.Popen([sys.executable, "-c", _KILLED, *arguments], stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout is not None
        if phase == "plan":
            while child.stdout.readline().strip() != phase:
                assert child.poll() is None
        else:
            locked.execute("LOCK TABLE users IN ACCESS SHARE MODE")
            _until(lab, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass", there=True)
        os.kill(child.pid, signal.SIGKILL)
    _until(lab, "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^kleidia-restore'", there=False)
    _until(lab, "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^kleidia_scratch'", there=False)


def _until(lab: Lab, question: str, *, there: bool) -> None:
    end = time.monotonic() + 30
    while bool(lab.sql(question)) is not there:
        assert time.monotonic() < end
        time.sleep(0.05)


@both_formats
@pytest.mark.parametrize("phase", ["plan", "restore"])
async def test_a_kill(lab: Lab, phase: str) -> None:
    """Everything is as before; the scratch database that is left is dropped by the next restore."""
    await lab.backup()
    lab.sql("DELETE FROM notes WHERE id > 100")
    before = lab.dump()
    await to_thread.run_sync(_kill, lab, phase)
    assert lab.dump() == before
    await lab.restore("users")
    assert (lab.dump(), lab.scratch()) == (before, [])
