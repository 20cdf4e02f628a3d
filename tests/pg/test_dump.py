"""The dump stage against a real server, and against programs that behave badly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import psycopg
import pytest

from kleidia_backup.pipeline.engine import MAX_CHUNK, Pipeline
from kleidia_backup.pipeline.engine.testing import ListSink, collect
from kleidia_backup.stages.errors import DatabaseUnreachable, DumpFailed
from kleidia_backup.stages.load.rate import TokenBucket
from kleidia_backup.stages.pg.dump import PgDump
from kleidia_backup.stages.pg.server.dump_errors import without_values

ACTIVE = "FROM pg_stat_activity WHERE application_name = 'pg_dump' AND datname = current_database()"

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


async def test_a_dump_restores_with_plain_psql_and_leaves_out_preserved_rows(db: Any) -> None:
    """The schema of a preserved table is there, its rows are not; chunks are within bounds; bytes are counted."""
    db.execute(
        "CREATE TABLE users AS SELECT n AS id, repeat('x', 400) AS pad FROM generate_series(1, 20000) AS n",
        "CREATE TABLE backup_jobs AS SELECT 'job-canary' AS name",
        "CREATE TABLE audit_logs AS SELECT 'audit-canary' AS name",
        "CREATE SCHEMA kleidia_backup",
        "CREATE TABLE kleidia_backup.job AS SELECT 'control-canary' AS name",
    )
    stage = PgDump(db.settings)
    chunks = await collect(stage)
    text = b"".join(chunks)
    assert len(text) > 8_000_000
    assert max(map(len, chunks)) <= MAX_CHUNK
    assert b"CREATE TABLE public.backup_jobs" in text
    assert b"audit-canary" in text
    assert b"job-canary" not in text
    assert b"kleidia_backup" not in text
    assert text.rstrip().splitlines()[-1].startswith(b"\\unrestrict")


async def test_audit_rows_are_left_out_on_request_with_their_partitions(db: Any) -> None:
    """Partitions of the audit table come without rows too."""
    db.execute(
        "CREATE TABLE audit_logs (at date, what text) PARTITION BY RANGE (at)",
        "CREATE TABLE audit_2026 PARTITION OF audit_logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "INSERT INTO audit_logs VALUES ('2026-05-05', 'audit-canary')",
    )
    text = b"".join(await db.dump(include_audit=False))
    assert b"CREATE TABLE public.audit_2026" in text
    assert b"audit-canary" not in text


async def test_text_that_is_not_utf8_is_named_as_the_cause(make_database: Any) -> None:
    """A SQL_ASCII database may hold any bytes; the server refuses to give them out as UTF-8, and the hint says why."""
    odd = make_database("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    odd.execute("CREATE TABLE t (x text)", "INSERT INTO t VALUES (convert_from('\\xfffe', 'SQL_ASCII'))")
    with pytest.raises(DumpFailed, match=r"invalid byte sequence.*SQL_ASCII"):
        await odd.dump()


@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$"])
async def test_a_pg_dump_that_fails_after_its_last_byte_is_a_failure(db: Any, script: Any, end: str) -> None:
    """The sink never sees an end; the error tells how it ended and what it said."""
    fake = script("pg_dump", f"echo 'SELECT 1;'\necho 'pg_dump: error: canary broke' >&2\n{end}")
    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.source(PgDump(db.using(pg_dump=fake).settings)))
    with pytest.raises(Exception, match="canary broke") as caught:
        await pipeline.run()
    assert isinstance(caught.value.__cause__, DumpFailed)
    assert ("status 3" if "exit" in end else "signal 9") in str(caught.value)
    assert not sink.ended


async def test_floods_on_stderr_neither_block_nor_fill_memory(db: Any, script: Any) -> None:
    """The first and the last of it are kept."""
    flood = "pg_dump: warning: blah blah blah blah blah blah blah blah blah blah blah blah"
    fake = script(
        "pg_dump", f"echo begin >&2\nyes '{flood}' | head -n 20000 >&2\necho 'pg_dump: error: the end' >&2\nexit 1"
    )
    with pytest.raises(DumpFailed, match="the end"):
        await collect(PgDump(db.using(pg_dump=fake).settings))


async def test_cancelling_a_hanging_pg_dump_is_immediate_and_reaps_it(
    db: Any, script: Any, until: Any, tmp_path: Path
) -> None:
    """No thread waits in a read, no process is left, not even one that ignores SIGTERM."""
    pid_file = tmp_path / "pid"
    fake = script("pg_dump", f"trap '' TERM\necho $$ >{pid_file}\necho 'SELECT 1;'\nwhile :; do sleep 60; done")
    stage = PgDump(db.using(pg_dump=fake).settings)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, stage)
            await until(lambda: pid_file.exists() and bool(pid_file.read_text().strip()))
            pid = int(pid_file.read_text())
            tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_pg_dump_that_falls_silent_after_a_trickle(db: Any, script: Any, until: Any) -> None:
    """What it wrote goes on, though it is little, and the stage can be cancelled at once."""
    trickle = (
        "import os, time\n"
        "for _ in range(70):\n"
        "    os.write(1, b'-' * 99 + bytes([10]))\n"
        "    time.sleep(0.001)\n"
        "time.sleep(60)\n"
    )
    fake = script("pg_dump", f'exec {sys.executable} -c "{trickle}"')
    stage = PgDump(db.using(pg_dump=fake).settings)
    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.source(stage))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.run)
            await until(lambda: sum(map(len, sink.items)) == 7_000)
            tasks.cancel_scope.cancel()
    assert not sink.ended


async def test_a_cancelled_dump_leaves_no_query_on_the_server(db: Any, until: Any) -> None:
    """pg_dump cancels its query when it is told to stop."""
    db.execute("CREATE TABLE users (id int)")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with psycopg.connect(db.settings.full_conninfo()) as blocker:
                blocker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
                tasks.start_soon(collect, PgDump(db.settings))
                await until(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await until(lambda: not db.value(f"SELECT count(*) {ACTIVE}"))


async def test_a_lock_that_is_not_given_up_is_an_error_that_says_so(db: Any) -> None:
    """After ``lock_timeout`` seconds, not after hours."""
    db.execute("CREATE TABLE users (id int)")
    with psycopg.connect(db.settings.full_conninfo()) as blocker:
        blocker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DumpFailed, match=r"a table is locked, for 0\.1 seconds now.*pg_locks"):
            await db.using(lock_timeout=0.1).dump()


async def test_a_name_begin_in_a_body_comes_back(db: Any, other: Any) -> None:
    """Psql counts every word begin in a body; the server knows a name when it sees one."""
    db.execute(
        "CREATE TABLE period (begin date)",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'select 1'",
        "CREATE FUNCTION good() RETURNS date LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN now() END; END",
        'CREATE FUNCTION "F"() RETURNS date LANGUAGE sql BEGIN ATOMIC SELECT p.begin FROM period p; SELECT now(); END',
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql"
        " BEGIN ATOMIC SELECT begin(); SELECT CASE begin() WHEN 1 THEN 2 END; END",
    )
    await other.restore(await db.dump())
    assert other.text() == db.text()


async def test_a_killed_backend_makes_the_dump_fail(db: Any) -> None:
    """The server's word is in the message."""
    db.execute("CREATE TABLE users AS SELECT repeat('x', 1000) AS pad FROM generate_series(1, 30000)")

    class Killer(ListSink[bytes]):
        async def __call__(self, inlet: Any) -> None:
            async for _ in inlet:
                db.execute(f"SELECT pg_terminate_backend(pid) {ACTIVE}")
            self.ended = True

    pipeline = Pipeline()
    sink = Killer()
    pipeline.sink(sink, pipeline.source(PgDump(db.settings)))
    with pytest.raises(Exception, match="pg_dump exited with status 1") as caught:
        await pipeline.run()
    assert isinstance(caught.value.__cause__, DumpFailed)
    assert not sink.ended


async def test_the_password_is_never_on_a_command_line(db: Any, script: Any, tmp_path: Path) -> None:
    """What pg_dump gets as arguments holds no secret; it finds the password in its environment."""
    seen = tmp_path / "seen"
    fake = script("pg_dump", f"tr '\\0' '\\n' </proc/$$/cmdline >{seen}\necho \"env $PGPASSWORD\" >>{seen}")
    await collect(PgDump(db.using(pg_dump=fake).settings))
    arguments, _, environment = seen.read_text().partition("env ")
    password = environment.strip()
    assert password
    assert password in db.settings.conninfo
    assert password not in arguments
    assert "--no-password" in arguments


async def test_a_server_that_is_gone_when_pg_dump_connects(db: Any, script: Any) -> None:
    """The message of libpq becomes the same error as in the preflight."""
    words = 'pg_dump: error: connection to server at \\"127.0.0.1\\", port 1 failed: Connection refused'
    fake = script("pg_dump", f'echo "{words}" >&2\nexit 1')
    with pytest.raises(DatabaseUnreachable, match="Connection refused"):
        await collect(PgDump(db.using(pg_dump=fake).settings))


async def test_signals_of_the_terminal_do_not_reach_it(db: Any, script: Any, tmp_path: Path) -> None:
    """It runs in a session of its own, so Ctrl-C is ours to handle."""
    seen = tmp_path / "group"
    fake = script("pg_dump", f"cut -d' ' -f5 /proc/$$/stat >{seen}")
    await collect(PgDump(db.using(pg_dump=fake).settings))
    assert int(seen.read_text()) != os.getpgid(0)


async def test_the_table_that_cannot_be_read_is_named(db: Any) -> None:
    """Here a value of an enum that is gone."""
    db.execute(
        "CREATE TYPE mood AS ENUM ('fine')",
        'CREATE TABLE "My (table" (id int, m mood)',
        "INSERT INTO \"My (table\" VALUES (1, 'fine')",
        "DELETE FROM pg_enum WHERE enumlabel = 'fine'",
    )
    with pytest.raises(
        DumpFailed, match=r'invalid internal value for enum: \d+ \(while .* table public."My \(table"\)'
    ):
        await db.dump()


async def test_no_value_of_a_row_is_in_the_message(db: Any) -> None:
    """The server quotes what it cannot take; here in the condition of an extension's table."""
    db.execute(
        "CREATE EXTENSION citext",
        "CREATE TABLE job (note text)",
        "INSERT INTO job VALUES ('canary')",
        "ALTER EXTENSION citext ADD TABLE job",
        "UPDATE pg_extension SET extconfig = ARRAY['job'::regclass], extcondition = ARRAY['WHERE note::int > 0']"
        " WHERE extname = 'citext'",
    )
    with pytest.raises(DumpFailed) as caught:
        await db.dump()
    assert "invalid input syntax for type integer" in caught.value.message
    assert '(while it read the table "job")' in caught.value.message
    assert "canary" not in f"{caught.value}{caught.value.hint}"


TOO_LARGE = """
pg_dump: error: Dumping the contents of table "big" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid memory alloc request size 1100000003
pg_dump: detail: Command was: COPY public.big (id, x) TO stdout;
"""


async def test_a_value_that_is_too_large_for_its_text(db: Any, script: Any, tmp_path: Path) -> None:
    """As PostgreSQL 18 says it of a bytea of 525 MiB: the table is named, and what can be done."""
    (tmp_path / "said").write_text(TOO_LARGE)
    fake = script("pg_dump", f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(DumpFailed) as caught:
        await collect(PgDump(db.using(pg_dump=fake).settings))
    assert caught.value.message.endswith("request size 1100000003 (while it read the table public.big).")
    assert "less than 1 GB" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('value "canary" is out of range for type integer', 'value "…" is out of range for type integer'),
        ('relation "public.t" does not exist', 'relation "public.t" does not exist'),
        ('invalid byte sequence for encoding "UTF8": 0xe9 0x20', 'invalid byte sequence for encoding "UTF8": …'),
        ('malformed array literal: "{""canary"', 'malformed array literal: "…"'),
        ('Dumping the contents of table "t" failed', 'Dumping the contents of table "t" failed'),
    ],
)
async def test_only_names_of_objects_stay_between_quotes(said: str, shown: str) -> None:
    """Whatever else the server quotes may be a value."""
    assert without_values(said) == shown


async def test_a_dump_is_read_no_faster_than_was_set(db: Any) -> None:
    """4 MB at 2 MB a second take nearly two seconds, the burst aside."""
    db.execute("CREATE TABLE t AS SELECT n, repeat('x', 400) AS pad FROM generate_series(1, 10000) AS n")
    begun = monotonic()
    chunks = await collect(PgDump(db.settings, rate=TokenBucket(2_000_000, 200_000)))
    size = sum(map(len, chunks))
    assert size > 4_000_000
    # What is read last is waited for too, and a chunk more may be there at once.
    assert monotonic() - begun >= (size - 200_000 - MAX_CHUNK) / 2_000_000


async def test_a_pg_dump_has_the_priority_that_was_set(db: Any, script: Any) -> None:
    """Lower than ours by ``nice``; it is a child of ours."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    wait = f'i=0\nwhile [ "$(nice)" = {own} ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done'
    fake = script("pg_dump", f"{wait}\necho \"-- nice $(nice)\"\necho 'SELECT 1;'")
    text = b"".join(await db.using(pg_dump=fake, nice=7).dump())
    assert f"-- nice {min(19, own + 7)}\n".encode() in text
