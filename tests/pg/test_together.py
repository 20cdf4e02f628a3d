"""Several pg_dumps of one snapshot, against a real server and against programs that behave badly."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil
import psycopg
import pytest

from kleidia_backup.formats.v2.chunks import Chunk
from kleidia_backup.pipeline.engine import Pipeline, StageFailed
from kleidia_backup.pipeline.engine.testing import ListSink
from kleidia_backup.pipeline.parts.database import DatabaseBackup
from kleidia_backup.stages.archive.cut import MAX_CUT
from kleidia_backup.stages.archive.merge import MergeRows
from kleidia_backup.stages.errors import DumpFailed
from kleidia_backup.stages.pg import dump_rows
from kleidia_backup.stages.pg.dump import PgDumpChunks
from kleidia_backup.stages.pg.server.settings import PostgresSettings

ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND datname = current_database()"

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


@dataclass
class Dumped:
    """A dump by several, as it goes on to the archive."""

    part: DatabaseBackup
    sink: ListSink[Chunk]

    @property
    def text(self) -> bytes:
        return b"".join(chunk.data for chunk in self.sink.items)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        found: dict[str, int] = {}
        names: dict[int, str] = {}
        for chunk in self.sink.items:
            if chunk.kind == "rows":
                if chunk.head:
                    names[chunk.table] = re.split(rb"[ (]", chunk.data)[1].decode()
                found[names[chunk.table]] = found.get(names[chunk.table], 0) + chunk.count
        return found


async def dump(
    settings: PostgresSettings, between: Callable[[], Any] = lambda: None, dumped: Dumped | None = None
) -> Dumped:
    """Dump by several, after doing something between the preflight and the dump."""
    dumped = dumped or Dumped(DatabaseBackup(settings, include_audit=True, cut=True), ListSink())
    async with AsyncExitStack() as stack:
        await dumped.part.check(stack)
        between()
        pipeline = Pipeline()
        assert isinstance(dumped.part.source, PgDumpChunks)
        script = pipeline.source(dumped.part.source, max_item=MAX_CUT)
        others = [pipeline.source(other, max_item=MAX_CUT) for other in dumped.part.others]
        pipeline.sink(dumped.sink, pipeline.pipe(MergeRows(), [script, *others], max_item=MAX_CUT))
        await pipeline.run()
    return dumped


@pytest.fixture
def large(db: Any) -> Any:
    """Four tables of 2 MB and a small one, by three pg_dumps."""
    for name in "abcd":
        db.execute(
            f"CREATE TABLE {name} AS SELECT n AS id, repeat('{name}', 200) AS pad FROM generate_series(1, 10000) AS n"
        )
    db.execute("CREATE TABLE small AS SELECT 1 AS id", "CREATE INDEX behind ON a (id)", "ANALYZE")
    return db.using(jobs=3, large_table=1 << 20)


@pytest.fixture
def others_do(large: Any, script: Any) -> Callable[[str], Any]:
    """The same database with a pg_dump that does something else where it is not the main one (``$real`` is it)."""

    def using(body: str) -> Any:
        real = large.settings.pg_dump
        both = f'real="{real}"\ncase " $* " in *" --data-only "*)\n{body}\n;; esac\nexec "$real" "$@"'
        return large.using(pg_dump=script("pg_dump", both))

    return using


ALL = {"public.a": 10000, "public.b": 10000, "public.c": 10000, "public.d": 10000, "public.small": 1}


async def test_every_row_comes_once_between_the_tables_and_what_is_made_behind_them(large: Any) -> None:
    """Two others had tables; nothing of their scripts but the rows is there."""
    dumped = await dump(large.settings)
    assert dumped.rows == ALL
    assert [*dumped.part.warnings()] == []
    assert len(dumped.part.others) == 2
    kinds = [chunk.kind for chunk in dumped.sink.items]
    assert kinds[0] == "sql"
    assert kinds[kinds.index("rows") :].count("rows") == kinds.count("rows")
    last = len(kinds) - kinds[::-1].index("rows")
    behind = b"".join(chunk.data for chunk in dumped.sink.items[last:])
    assert b"CREATE INDEX behind" in behind
    assert dumped.text.count(b"SET client_encoding") == 1


async def test_all_rows_are_of_one_moment(large: Any) -> None:
    """That is when the snapshot was exported, whatever is written before the first pg_dump begins."""

    def change() -> None:
        large.execute(*(f"INSERT INTO {name} SELECT n FROM generate_series(1, 500) n" for name in "abcd"))
        large.execute("DELETE FROM a WHERE id < 5000", "UPDATE b SET pad = 'canary'", "INSERT INTO small VALUES (2)")

    dumped = await dump(large.settings, change)
    assert dumped.rows == ALL
    assert b"canary" not in dumped.text


async def test_nothing_to_divide_is_one_process(large: Any) -> None:
    """No table is large; or one is, and the main one keeps it, since it may have no other."""
    assert not (await dump(large.using(large_table=1 << 40).settings)).part.others
    large.execute("DROP TABLE b, c, d, small")
    dumped = await dump(large.settings)
    assert (dumped.rows, dumped.part.others) == ({"public.a": 10000}, ())
    assert [*dumped.part.warnings()] == []


async def test_preserved_tables_and_those_of_the_audit_log_are_nobodys(large: Any) -> None:
    """Their rows are left out as ever."""
    dumped = await dump(large.using(preserve=("a",), audit=()).settings)
    assert dumped.rows == {name: rows for name, rows in ALL.items() if name != "public.a"}


async def test_a_pg_dump_that_is_killed_fails_the_dump(others_do: Any) -> None:
    """After its first rows: nobody sees an end, and the error says how it ended."""
    database = others_do('"$real" "$@" | head -c 1500000; kill -9 $$')
    dumped = Dumped(DatabaseBackup(database.settings, include_audit=True, cut=True), ListSink())
    with pytest.raises(StageFailed, match="killed by signal 9") as caught:
        await dump(database.settings, dumped=dumped)
    assert isinstance(caught.value.cause, DumpFailed)
    assert not dumped.sink.ended
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ends just now
            assert child.name() != "pg_dump"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("kill -9 $$", "killed by signal 9"),
        ("echo 'pg_dump: error: canary' >&2; exit 1", "canary"),
        ('exec "$real" --snapshot=00000000-00000000-1 "$@" --snapshot=0BADBAD0-00000001-1', "snapshot"),
        ("echo 'DROP TABLE a;'; sleep 60", "another statement"),
    ],
)
async def test_one_that_cannot_begin_leaves_everything_to_one(others_do: Any, body: str, reason: str) -> None:
    """It fails before its first rows: the main one begins again, and a warning says why."""
    with anyio.fail_after(30):
        dumped = await dump(others_do(body).settings)
    assert dumped.rows == ALL
    (warning,) = dumped.part.warnings()
    assert warning.startswith("One pg_dump dumped everything, not 3 together: ")
    assert reason in warning


async def test_rows_that_do_not_come_fail_the_dump(others_do: Any) -> None:
    """The main one has left them out already."""
    with pytest.raises(StageFailed, match="wrote the rows of 0 tables"):
        await dump(others_do("echo 'SET lock_timeout = 0;'; exit 0").settings)


async def test_a_snapshot_that_cannot_be_had_leaves_everything_to_one(large: Any, make_role: Any) -> None:
    """The role may not export one."""
    name, as_role = make_role(large)
    large.execute(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
        "REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC",
    )
    dumped = await dump(as_role.settings)
    assert dumped.rows == ALL
    (warning,) = (each for each in dumped.part.warnings() if "One pg_dump" in each)
    assert "pg_export_snapshot" in warning


async def test_a_lost_session_of_the_snapshot_leaves_everything_to_one(large: Any) -> None:
    """It is ended before anybody has the snapshot."""

    def end() -> None:
        large.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )

    dumped = await dump(large.settings, end)
    assert dumped.rows == ALL
    assert len([*dumped.part.warnings()]) == 1


async def test_a_locked_table_leaves_everything_to_one(large: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for seconds; the main one as long as ``lock_timeout`` says."""
    monkeypatch.setattr(dump_rows, "LOCK", 100)
    dumped = Dumped(DatabaseBackup(large.settings, include_audit=True, cut=True), ListSink())
    with psycopg.connect(large.settings.full_conninfo()) as connection, anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            def lock() -> None:
                connection.execute("LOCK TABLE a, b, c, d")

            tasks.start_soon(dump, large.settings, lock, dumped)
            await until(lambda: getattr(getattr(dumped.part.source, "parallel", None), "failure", None))
            connection.rollback()
    assert dumped.rows == ALL
    (warning,) = dumped.part.warnings()
    assert "a table is locked, for 0.1 seconds now" in warning


async def test_a_cancelled_dump_ends_all_of_them(large: Any, until: Any, others_do: Any, tmp_path: Path) -> None:
    """No process is left, here or on the server."""
    pids = tmp_path / "pids"
    database = others_do(f'"$real" "$@" | head -c 100000; echo $$ >>{pids}; sleep 60')
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dump, database.settings)
            await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
            tasks.cancel_scope.cancel()
        await until(lambda: large.value(ACTIVE) == 0)
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split())


async def test_the_session_of_the_snapshot_ends_when_all_have_it(large: Any, others_do: Any, until: Any) -> None:
    """It would keep the server from cleaning up for as long as the backup takes."""
    database = others_do('"$real" "$@" | head -c 100000; sleep 60')
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dump, database.settings)
            await until(lambda: large.value(ACTIVE) > 0)
            await until(lambda: large.value(f"{idle} AND application_name <> 'pg_dump'") == 0)
            tasks.cancel_scope.cancel()
