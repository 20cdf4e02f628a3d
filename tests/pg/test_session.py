"""The session of a restore against a real server: one transaction, and nothing less than all of it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from kleidia_backup import PostgresSettings
from kleidia_backup.formats.sql.cut import SqlCutter, bare
from kleidia_backup.formats.sql.guard import Guard
from kleidia_backup.pipeline.engine import Inlet
from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import Busy, CommitUncertain, DatabaseUnreachable, RestoreFailed
from kleidia_backup.stages.pg.execution.executor import Executor
from kleidia_backup.stages.pg.server import outcome
from kleidia_backup.stages.pg.server.lock import hold_database
from kleidia_backup.stages.pg.server.refusal import StatementRefused, explain, without_values
from kleidia_backup.stages.pg.session import open_session

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

SCHEMA = (
    "CREATE TYPE mood AS ENUM ('glad', 'sad')",
    "CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, mood mood DEFAULT 'glad')",
    "INSERT INTO users (name) SELECT E'user\\t' || n || E' \\\\. \\u2028 \\U0001F511' FROM generate_series(1, 500) n",
    "CREATE TABLE keys (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES users, boss int)",
    "INSERT INTO keys (owner) SELECT id FROM users",
    "ALTER TABLE keys ADD FOREIGN KEY (boss) REFERENCES keys DEFERRABLE INITIALLY DEFERRED",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM users; SELECT 2; END",
    "CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
    "SELECT lo_from_bytea(4711, decode(repeat('00ff27', 9000), 'hex'))",
)
SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'kleidia-restore-%'"


@both
async def test_a_database_comes_back_as_it_was(db: Any, other: Any) -> None:
    """Into an empty database and over a changed one, the dump of the copy is the dump of the original."""
    db.execute(*SCHEMA)
    chunks = await db.dump()
    assert b"\nCOMMIT;\n" in b"".join(chunks)  # around the large object
    session = await other.restore(chunks)
    assert other.text() == db.text()
    assert session.report.committed
    assert session.report.replica
    assert session.report.warnings == []
    other.execute(
        "DELETE FROM keys", "DELETE FROM users", "DROP FUNCTION f", "INSERT INTO users VALUES (1, 'intruder')"
    )
    text = b"".join(chunks)
    await other.restore([text[at : at + 777] for at in range(0, len(text), 777)])
    assert other.text() == db.text()


async def test_foreign_keys_are_off_in_the_restore_and_hold_after_it(db: Any, other: Any) -> None:
    """``session_replication_role`` is replica in its own session, while others have origin; then keys hold again."""
    db.execute("CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (1)")
    db.execute("CREATE TABLE keys (owner int REFERENCES users)", "INSERT INTO keys VALUES (1)")
    other.execute("CREATE TABLE seen (role text)")
    chunks = await db.dump()
    async with open_session(other.settings) as session:
        await run_sink(
            session, [*chunks, b"INSERT INTO public.seen SELECT current_setting('session_replication_role');\n"]
        )
        assert other.value("SHOW session_replication_role") == "origin"
        await session.commit()
    assert session.report.replica
    assert other.value("SELECT role FROM seen") == "replica"
    assert other.value("SHOW session_replication_role") == "origin"
    assert other.query("SELECT owner FROM keys") == [(1,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        other.execute("INSERT INTO keys VALUES (2)")


@both
async def test_nothing_is_there_before_commit_nor_without_it(db: Any, other: Any) -> None:
    """Leaving the session without a commit rolls back, ends its session on the server, and says so."""
    db.execute(*SCHEMA)
    chunks = await db.dump()
    before = other.text()
    async with open_session(other.settings) as session:
        await run_sink(session, chunks)
        assert other.value("SELECT count(*) FROM pg_class WHERE relname = 'users'") == 0
        assert other.value(f"SELECT count(*) {SESSIONS}") == 1
    assert not session.report.committed
    assert session.report.rolled_back
    assert other.value(f"SELECT count(*) {SESSIONS}") == 0
    assert other.text() == before


async def test_a_dump_cut_anywhere_never_commits(db: Any, other: Any) -> None:
    """Cut in the middle of rows or of a statement, it is refused and rolled back."""
    db.execute(*SCHEMA)
    text = b"".join(await db.dump())
    other.execute("CREATE TABLE users (id int)", "INSERT INTO users VALUES (42)")
    before = other.text()
    copy = text.index(b"COPY public.users")
    for cut, what in [
        (text.index(b"\n", copy + 200) + 1, "a table's rows"),
        (copy + 1234, "a table's rows"),
        (text.index(b"CREATE TABLE public.users") + 40, "a statement"),
        (text.index(b"00ff27"), "a literal"),
    ]:
        with pytest.raises(RestoreFailed, match=f"ends in the middle of {what}"):
            await other.restore([text[:cut]])
        assert other.text() == before


@pytest.mark.parametrize(
    "smuggled",
    [
        b"COMMIT;\n",
        b"/* x /* y */ */ end ;\n",
        b"Rollback; BEGIN;\n",
        b"BEGIN;\nDROP TABLE half;\nCOMMIT;\n",
        b"\\! touch %s\n",
    ],
)
async def test_a_payload_that_would_end_the_transaction_is_refused(db: Any, tmp_path: Path, smuggled: bytes) -> None:
    """Before the server sees it."""
    victim = str(tmp_path / "touched").encode()
    sql = b"CREATE TABLE half (id int);\n" + smuggled.replace(b"%s", victim) + b"CREATE TABLE rest (id int);\n"
    with pytest.raises(RestoreFailed, match="cannot be restored in one transaction"):
        await db.restore([sql])
    assert db.query("SELECT relname FROM pg_class WHERE relname IN ('half', 'rest')") == []
    assert not os.path.exists(victim)  # noqa: ASYNC240, PTH110 - a test may wait for the disk


async def test_colons_mean_what_they_mean_to_the_server(db: Any, other: Any) -> None:
    """Behind the colon of an array slice a column may be named like one, even one that psql has a variable of."""
    db.execute(
        'CREATE TABLE t (a int[], "USER" int, "ERROR" int, "ROW_COUNT" int)',
        'CREATE VIEW v AS SELECT a[1:"USER"] AS u, a[1:"ERROR"] AS e, a["ROW_COUNT":2] AS r, a::text AS t FROM t',
        'CREATE VIEW w AS SELECT a[:"ROW_COUNT"] AS r FROM t',
    )
    await other.restore(await db.dump())
    assert other.text() == db.text()


async def test_a_commit_that_slips_through_is_reported_loudly(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the scanner missed it: the transaction at the end is not the one at the beginning."""
    monkeypatch.setattr(Guard, "lets_through", lambda _self, piece: bool(bare(piece.data)))
    with pytest.raises(RestoreFailed, match="a statement that ends the transaction"):
        await db.restore([b"CREATE TABLE half (id int);\nCOMMIT;\nBEGIN;\nCREATE TABLE rest (id int);\n"])
    with pytest.raises(RestoreFailed, match="part of it may be committed"):
        await db.restore([b"CREATE TABLE other (id int);\nCOMMIT AND CHAIN;\nCREATE TABLE rest (id int);\n"])
    assert db.query("SELECT relname FROM pg_class WHERE relname = 'rest'") == []


async def test_an_error_names_object_and_reason_but_no_row(db: Any) -> None:
    """Values of rows are nobody's business."""
    sql = b"CREATE TABLE t (id int PRIMARY KEY, x text);\nCOPY t (id, x) FROM stdin;\n1\tcanary\n1\tcanary\n\\.\n"
    with pytest.raises(RestoreFailed, match=r'duplicate key value .*"t_pkey" \(COPY t, line 2\)') as caught:
        await db.restore([sql])
    assert "canary" not in str(caught.value)
    with pytest.raises(RestoreFailed, match=r"at INSERT INTO t: invalid input syntax for type integer") as caught:
        await db.restore([b"CREATE TABLE t (id int);\nINSERT INTO t VALUES ('canary');\n"])
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('malformed array literal: "canary"', "malformed array literal"),
        ('date/time field value out of range: "canary"', "date/time field value out of range"),
        ('syntax error at or near "canary"', "syntax error"),
        ('value "canary" is out of range for type integer', "value"),
        ('invalid input value for enum public.mood: "canary ""x" y', "invalid input value for enum public.mood"),
        ('column "a" of relation public."My T" is null', 'column "a" of relation public."My T" is null'),
        ('new row for relation "t" violates check constraint "c"', None),
        ('must be able to SET ROLE "owner"', None),
    ],
)
async def test_quoted_values_are_cut_and_names_are_not(said: str, shown: str | None) -> None:
    """Whatever the server complains about."""
    assert without_values(said) == (shown or said)


async def test_nothing_was_changed_is_said_only_when_the_server_says_so(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that committed a part of itself, and failed afterwards, is not said to have changed nothing."""
    monkeypatch.setattr(Guard, "lets_through", lambda _self, piece: bool(bare(piece.data)))
    monkeypatch.setattr(Executor, "_check", lambda _self, _statement: None)
    with pytest.raises(RestoreFailed, match=r"division by zero.*Part of it may be committed.*txid_status\(\d+\)"):
        await db.restore([b"CREATE TABLE half (id int);\nCOMMIT;\nSELECT 1 / 0;\n"])
    with pytest.raises(RestoreFailed, match=r"division by zero.*Nothing was changed"):
        await db.restore([b"SELECT 1 / 0;\n"])


async def test_a_lock_that_is_not_given_up_is_an_error_that_says_so(db: Any) -> None:
    """After ``lock_timeout`` seconds, though pg_dump's own text would wait for ever."""
    db.execute("CREATE TABLE t (id int)")
    with psycopg.connect(db.settings.full_conninfo()) as blocker:
        blocker.execute("SELECT FROM t")
        with pytest.raises(RestoreFailed, match=r"at DROP TABLE .*due to lock timeout.*stop the application"):
            await db.using(lock_timeout=0.1).restore([b"SET lock_timeout = 0;\nDROP TABLE IF EXISTS public.t;\n"])


async def test_limits_of_the_database_do_not_end_a_restore(db: Any) -> None:
    """Whoever set them thought of the application; with version 17 and later there is one for the transaction too."""
    name = db.value("SELECT current_database()")
    for limit in ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"):
        db.execute(f"ALTER DATABASE {name} SET {limit} = '200ms'")
    async with open_session(db.settings) as session:
        await run_sink(session, [b"SELECT pg_catalog.pg_sleep(0.3);\n"])
        await session.commit()
    assert session.report.committed


@both
async def test_limits_that_an_older_server_does_not_know_are_left_out() -> None:
    """A pg_dump of today writes them whatever server it dumps, and the session has set them already."""
    guard, cutter = Guard(), SqlCutter()
    text = b"SET lock_timeout = 0;\nSET transaction_timeout = 0;\nSET xmloption = content;\n"
    assert [guard.lets_through(piece) for piece in cutter.feed(text)] == [False, False, True]


async def test_two_transactions_at_once_are_refused(db: Any) -> None:
    """Whatever became of the lock that the jobs hold; a backup is refused too, naming the session."""
    async with open_session(db.settings):
        with pytest.raises(Busy, match=r"kleidia-restore-\w+ since"):
            async with open_session(db.settings):
                pass
        with pytest.raises(Busy, match=r"kleidia-restore-\w+ since"):
            async with hold_database(db.settings, "backup"):
                pass
    async with hold_database(db.settings, "restore"), open_session(db.settings):
        pass


async def test_what_blocks_a_drop_is_named_when_it_has_rows(db: Any) -> None:
    """A view that came later goes; a table keeps its rows, and the hint says what to do."""
    db.execute("CREATE TABLE t (id int)", "CREATE VIEW later AS SELECT * FROM t", "CREATE TABLE child () INHERITS (t)")
    sql = [b"DROP TABLE IF EXISTS public.t;\nCREATE TABLE public.t (id int);\n"]
    with pytest.raises(RestoreFailed, match=r"table public.child depends on table public.t\).*Drop what depends on it"):
        await db.restore(sql)
    assert db.value("SELECT count(*) FROM later") == 0
    db.execute("DROP TABLE child")
    session = await db.restore(sql)
    assert [warning for warning in session.report.warnings if "view public.later" in warning]
    assert db.query("SELECT FROM pg_class WHERE relname = 'later'") == []


async def test_killed_at_any_chunk_the_database_is_as_before(db: Any) -> None:
    """Preserved tables, large objects and all, to the row; when its session on the server ends."""
    db.execute(*SCHEMA, "CREATE TABLE backup_jobs (id serial, by int REFERENCES users)")
    text = b"".join(await db.dump())
    db.execute("INSERT INTO backup_jobs (by) VALUES (7)", "DELETE FROM keys WHERE id > 250", "SELECT lo_unlink(4711)")
    before = db.text()
    chunks = [text[at : at + 512] for at in range(0, len(text), 512)]
    moments = random.Random("server").sample(range(1, len(chunks) + 2), 6)

    async def restore(moment: int) -> None:
        async with open_session(db.settings) as session:

            def kill() -> None:
                db.execute(f"SELECT pg_terminate_backend(pid, 5000) {SESSIONS}")

            async def sink(sql: Inlet[bytes]) -> None:
                await session(_after(sql, moment, kill))

            await run_sink(sink, chunks)
            await session.commit()

    for moment in moments:
        with pytest.raises((RestoreFailed, DatabaseUnreachable)):
            await restore(moment)
        assert db.text() == before, f"killed at chunk {moment} of {len(chunks)}"


def _after(inlet: Any, count: int, action: Any) -> Any:
    """Calls ``action`` before the item after ``count`` items is handed on."""

    class Wrapped:
        left = count

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left == 0:
                action()
            item: bytes = await inlet.__anext__()
            return item

        def until_end(self) -> Any:
            return self

        async def batch(self) -> Any:
            return await inlet.batch()

    return Wrapped()


@both
async def test_cancelling_ends_a_statement_that_runs_on_the_server(db: Any, until: Any) -> None:
    """The server's session is ended too: its locks are gone when the session is left."""
    db.execute("CREATE TABLE t (id int)")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                async with open_session(db.settings) as session:
                    await run_sink(session, [b"LOCK TABLE public.t;\nSELECT pg_catalog.pg_sleep(3600);\n"])

            tasks.start_soon(run)
            await until(lambda: db.value(f"SELECT count(*) {SESSIONS} AND wait_event = 'PgSleep'"))
            tasks.cancel_scope.cancel()
    assert db.value(f"SELECT count(*) {SESSIONS}") == 0
    db.execute("DROP TABLE t")


@both
async def test_a_failing_upstream_rolls_back_and_keeps_its_error(db: Any) -> None:
    """What the sink does on the way out never hides why."""
    before = db.text()
    with pytest.raises(ValueError, match="the seal is broken"):
        async with open_session(db.settings) as session:
            await run_sink(session, [b"CREATE TABLE t (id int);\n"], ValueError("the seal is broken"))
    assert session.report.rolled_back
    assert db.text() == before


async def test_a_deferred_constraint_that_fails_at_commit_is_a_rollback(db: Any, make_role: Any) -> None:
    """COMMIT itself may fail; the outcome is known."""
    _, theirs = make_role(db)
    db.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    sql = (
        b"CREATE TABLE public.a (id int PRIMARY KEY);\n"
        b"CREATE TABLE public.b (id int REFERENCES public.a DEFERRABLE INITIALLY DEFERRED);\n"
        b"INSERT INTO public.b VALUES (1);\n"
    )
    with pytest.raises(RestoreFailed, match="violates foreign key constraint"):
        await theirs.restore([sql])
    assert db.query("SELECT relname FROM pg_class WHERE relname IN ('a', 'b')") == []


@both
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_lost_during_commit_is_settled(db: Any, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The server is asked over a second connection; killed before it is a rollback, killed after it a success."""
    async with open_session(db.settings) as session:
        await run_sink(session, [b"CREATE TABLE public.t (id int);\n"])
        if when == "before":
            db.execute(f"SELECT pg_terminate_backend(pid, 5000) {SESSIONS}")
            with pytest.raises((RestoreFailed, DatabaseUnreachable)):
                await session.commit()
        else:
            wire = session._wire
            assert wire is not None
            ending = wire.end_transaction

            def killed(how: str) -> bool:
                assert ending(how)
                wire.close()
                raise StatementRefused(b"")

            monkeypatch.setattr(wire, "end_transaction", killed)
            await session.commit()
            assert "the server says it was committed" in session.report.warnings[-1]
    assert session.report.committed is (when == "after")
    assert db.value("SELECT count(*) FROM pg_class WHERE relname = 't'") == (when == "after")


async def test_an_outcome_that_nobody_can_tell_is_said_to_be_uncertain(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the question to ask later."""
    monkeypatch.setattr(outcome, "SETTLING", 0.2)
    async with open_session(db.settings) as session:
        await run_sink(session, [b"SELECT 1;\n"])
        assert session._wire is not None
        session._wire.close()
        gone = db.using(conninfo="host=127.0.0.1 port=1 dbname=x user=y").settings
        monkeypatch.setattr(session, "settings", gone)
        with pytest.raises(CommitUncertain, match=r"SELECT txid_status\(\d+\)"):
            await session.commit()
        assert not session.report.committed


@both
async def test_commit_is_not_interrupted_by_a_cancellation(db: Any) -> None:
    """Its outcome must be known."""
    async with open_session(db.settings) as session:
        await run_sink(session, [b"CREATE TABLE public.t (id int);\n"])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.commit()
    assert session.report.committed
    assert db.value("SELECT count(*) FROM pg_class WHERE relname = 't'") == 1


async def test_a_role_that_may_not_set_the_replication_role_restores_all_the_same(db: Any, make_role: Any) -> None:
    """The order of pg_dump needs no help, and the report says so; the right can be granted without a superuser."""
    name, theirs = make_role(db)
    db.execute(f"ALTER DATABASE {db.value('SELECT current_database()')} OWNER TO {name}")
    theirs.execute(*SCHEMA)
    chunks = await theirs.dump()
    theirs.execute("DELETE FROM keys", "DELETE FROM users")
    session = await theirs.restore(chunks)
    assert not session.report.replica
    assert any("session_replication_role" in warning for warning in session.report.warnings)
    assert theirs.value("SELECT count(*) FROM keys JOIN users ON owner = users.id") == 500
    db.execute(f"GRANT SET ON PARAMETER session_replication_role TO {name}")
    session = await theirs.restore(chunks)
    assert session.report.replica
    assert session.report.warnings == []
    assert theirs.value("SELECT count(*) FROM keys JOIN users ON owner = users.id") == 500


async def test_floods_of_notices_and_results_do_not_block(db: Any) -> None:
    """What the archive makes the server say is drained."""
    sql = (
        b"SET client_min_messages = notice;\n"
        + b"DROP TABLE IF EXISTS public.nothing;\nSELECT repeat('x', 500);\n" * 5000
    )
    session = await db.restore([sql])
    assert session.report.committed


@pytest.mark.parametrize(
    ("schema", "table", "words"),
    [("pg_catalog", "pg_type", "drop or rename it"), ("public", "users", "Rows of the archive break that unique key")],
)
def test_a_name_that_is_taken_is_no_duplicate_row(schema: str, table: str, words: str) -> None:
    """The catalog's own unique keys are broken by names, those of tables by rows."""
    refused = StatementRefused(b"CREATE TYPE public.r AS RANGE (", "23505", "duplicate key", schema=schema, table=table)
    assert words in explain(PostgresSettings("dbname=x"), refused).hint
