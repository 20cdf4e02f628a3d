"""A hot standby as the source of a backup, and a restore that was sent to one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.postgres import _account, _home, _ready, reachable_binaries
from kleidia_backup.demo.servers.processes import OURSELVES, clean_environment, free_ports, start_process
from kleidia_backup.pipeline.backup import backup
from kleidia_backup.pipeline.engine import Pipeline
from kleidia_backup.pipeline.engine.testing import ListSink
from kleidia_backup.pipeline.plan import plan_restore
from kleidia_backup.pipeline.restore import restore
from kleidia_backup.stages.errors import DatabaseError, DumpFailed
from kleidia_backup.stages.pg.dump import PgDump
from kleidia_backup.stages.pg.server.lock import hold_database
from kleidia_backup.stages.pg.server.preflight import ask_facts
from kleidia_backup.stages.stores.directory.store import DirectorySettings

pytestmark = pytest.mark.anyio

PASSWORD = "a long password"


@dataclass
class Standby:
    """Follows the tests' server, and cancels at once what stands in the way of that."""

    primary: Any
    port: int

    def of(self, database: Any) -> Any:
        """The same database as the standby shows it, when it has everything that the primary has now."""
        there = database.using(conninfo=make_conninfo(database.settings.conninfo, port=self.port))
        (lsn,) = database.query("SELECT pg_current_wal_lsn()::text")[0]
        with psycopg.connect(self.primary.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")
        here = make_conninfo(self.primary.conninfo(), port=self.port)
        with psycopg.connect(here, autocommit=True) as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)).fetchone() != (True,):
                threading.Event().wait(0.02)
        return there


@pytest.fixture(scope="module")
def standby(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    """A copy of the tests' server that follows it."""
    directory: Path = tmp_path_factory.mktemp("standby")
    account = _account() if os.geteuid() == 0 else OURSELVES
    home, _ = _home(directory, account)
    try:
        programs = reachable_binaries(home, account)
        where = ["-h", postgres_server.host, "-p", str(postgres_server.port), "-U", postgres_server.superuser]
        subprocess.run(
            [programs / "pg_basebackup", "-D", home / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync", *where],
            cwd="/",
            env=clean_environment(PGPASSWORD=postgres_server.password),
            check=True,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
        (port,) = free_ports(1)
        settings = {"max_standby_streaming_delay": "0", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        settings |= {"max_locks_per_transaction": "1024", "fsync": "off", "port": str(port)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = start_process(
            "postgres",
            [programs / "postgres", "-D", home / "data", *words],
            directory=directory,
            account=account,
            stop_signal=signal.SIGINT,
        )
        try:
            process.wait_until(lambda: _ready(home / "data"), threading.Event())
            yield Standby(postgres_server, port)
        finally:
            process.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_a_backup_of_a_standby_says_what_only_the_primary_has(
    db: Any, standby: Standby, store_directory: Path
) -> None:
    """Unlogged tables and sequences have no rows there, and pg_dump leaves them out without a word."""
    db.execute(
        "CREATE TABLE kept (id int)",
        "INSERT INTO kept VALUES (4711)",
        "CREATE UNLOGGED TABLE cache (id serial, x text)",
        "INSERT INTO cache (x) VALUES ('lost')",
        "CREATE UNLOGGED TABLE backup_jobs (id int)",
    )
    report = await backup(store=DirectorySettings(store_directory), password=PASSWORD, database=standby.of(db).settings)
    assert report.left_out == ("sequence public.cache_id_seq, table public.cache",)
    (warning,) = report.warnings
    assert "table public.cache" in warning
    assert "Back up the primary" in warning
    assert "backup_jobs" not in warning
    text = b"".join(await standby.of(db).dump())
    assert b"4711" in text
    assert b"CREATE UNLOGGED TABLE public.cache" in text
    assert (await ask_facts(standby.of(db).settings)).standby
    assert not (await ask_facts(db.settings)).standby


async def test_a_restore_to_a_standby_is_refused_before_anything_else(
    db: Any, standby: Standby, store_directory: Path
) -> None:
    """By the restore with the next step, by the dry run as a blocker."""
    db.execute("CREATE TABLE kept (id int)")
    store = DirectorySettings(store_directory)
    made = await backup(store=store, password=PASSWORD, database=db.settings)
    there = standby.of(db).settings
    with pytest.raises(DatabaseError, match=r"The server is a standby.*primary"):
        await restore(made.name, store=store, password=PASSWORD, database=there)
    plan = await plan_restore(made.name, store=store, password=PASSWORD, database=there)
    assert plan.blockers == ("The server is a standby, which takes no writes. Connect to its primary.",)


async def test_backups_of_a_standby_hold_it_too(db: Any, standby: Standby) -> None:
    """The lock that keeps two jobs apart works there."""
    there = standby.of(db)
    async with hold_database(there.settings, "backup"):
        assert there.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 1


async def test_a_dump_that_the_standby_cancels_says_how_to_let_it_live(db: Any, standby: Standby) -> None:
    """Rows that the dump still reads are removed on the primary, and the standby follows."""
    db.execute("CREATE TABLE big AS SELECT repeat('canary', 200) AS x FROM generate_series(1, 40000)")

    class Removing(ListSink[bytes]):
        async def __call__(self, inlet: Any) -> None:
            first = True
            async for _ in inlet:
                if first:
                    db.execute("DELETE FROM big", "VACUUM big")
                    await anyio.sleep(1)  # the server can cancel the dump only while it is read
                    first = False

    pipeline = Pipeline()
    pipeline.sink(Removing(), pipeline.source(PgDump(standby.of(db).settings)))
    with pytest.raises(Exception, match="pg_dump exited") as caught:
        await pipeline.run()
    error = caught.value.__cause__
    assert isinstance(error, DumpFailed)
    assert "conflict with recovery" in error.message
    assert "table public.big" in error.message
    assert "canary" not in error.message
    assert "hot_standby_feedback" in error.hint
    assert "max_standby_streaming_delay" in error.hint


async def test_several_jobs_read_a_standby_in_one_snapshot(standby: Standby, db: Any, tmp_path: Path) -> None:
    """It exports a snapshot as its primary does; rows of unlogged tables are not there, large as those may be."""
    for name in ("a", "b", "c"):
        db.execute(f"CREATE TABLE {name} AS SELECT n AS id, repeat('x', 200) FROM generate_series(1, 10000) AS n")
    db.execute(
        "CREATE UNLOGGED TABLE u AS SELECT repeat('x', 200) FROM generate_series(1, 10000) AS n", "VACUUM ANALYZE"
    )
    there = standby.of(db.using(jobs=3, large_table=1 << 20))
    with psycopg.connect(db.settings.full_conninfo()) as connection:
        large = connection.execute("SELECT relname FROM pg_class WHERE relpages > 200 AND relkind = 'r'").fetchall()
    assert {"a", "b", "c", "u"} <= {name for (name,) in large}
    report = await backup(
        database=there.settings, store=DirectorySettings(tmp_path), password=PASSWORD, format="v2", name="x.enc"
    )
    assert [stage.name for stage in report.stages if "rows" in stage.name] == ["pg_dump rows", "pg_dump rows 2"]
    assert not any("One pg_dump" in warning for warning in report.warnings)
    db.execute("DROP TABLE a, b, c, u")
    restored = await restore("x.enc", database=db.settings, store=DirectorySettings(tmp_path), password=PASSWORD)
    assert (restored.tables, restored.rows) == (4, 30000)
