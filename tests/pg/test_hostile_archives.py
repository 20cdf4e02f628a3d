"""What an archive's SQL could do to the process that restores it: hold it up, fill its memory, speak through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import psutil
import psycopg
import pytest

from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.pg.session import open_session

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SLOW = b"""
CREATE TABLE public.t (a text);
CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow();
ALTER TABLE public.t ENABLE ALWAYS TRIGGER slow;
COPY public.t (a) FROM stdin;
"""


class Watch:
    """The longest time in which nothing else ran in this process, in seconds; how much it grew, in bytes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.held = 0.0
        self.grown = 0

    async def look(self) -> None:
        while True:
            begin = monotonic()
            await anyio.sleep(0.01)
            self.held = max(self.held, monotonic() - begin)
            self.grown = max(self.grown, self._process.memory_info().rss - self._before)


@asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    """Watch this process meanwhile."""
    watch = Watch()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.look)
        await anyio.sleep(0.1)
        yield watch
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()


async def test_a_lock_that_a_drop_waits_for_holds_up_nothing_else(db: Any) -> None:
    """Whatever the server waits for, the rest of this process runs, and could cancel."""
    db.execute("CREATE TABLE t (a int)")
    with psycopg.connect(db.settings.full_conninfo()) as other:
        other.execute("LOCK TABLE t")
        async with watched() as watch:
            with pytest.raises(RestoreFailed, match="lock timeout"):
                await db.using(lock_timeout=4.0).restore(
                    [b"DROP TABLE IF EXISTS public.t;\nCREATE TABLE public.t (a int);\n"]
                )
    assert watch.held < 3  # not the four seconds: another process may hold this one up for one


async def test_the_end_of_rows_holds_up_nothing_else(db: Any) -> None:
    """Triggers and checks run when the rows are there: half a second for each."""
    async with watched() as watch:
        await db.restore([SLOW + b"1\n2\n3\n4\n5\n6\n7\n8\n\\.\n"])
    assert watch.held < 3


async def test_rows_that_the_server_does_not_take_wait_where_they_come_from(db: Any) -> None:
    """Not in this process."""
    taken = 0

    def text() -> Iterator[bytes]:
        nonlocal taken
        yield SLOW
        for _ in range(200):
            yield (b"x" * 1023 + b"\n") * 1024
            taken += MIB

    async with watched() as watch:
        with anyio.move_on_after(4):
            async with open_session(db.settings) as session:
                await run_sink(session, text())
    assert session.report.rolled_back
    assert taken < 50 * MIB
    assert watch.grown < 50 * MIB


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT pg_catalog.repeat('x', 1000) FROM pg_catalog.generate_series(1, 200000);",
        b"SELECT pg_catalog.lo_unlink(oid), pg_catalog.repeat('x', 200000) FROM pg_catalog.pg_largeobject_metadata;",
        b"LISTEN x;\nSELECT count(pg_notify('x', n || repeat('y', 7000))) FROM generate_series(1, 30000) n;",
        (
            b"SET client_min_messages = warning;\n"
            b"DO $$ BEGIN FOR i IN 1..200 LOOP RAISE WARNING '%', repeat('x', 1000000); END LOOP; END $$;"
        ),
    ],
    ids=["rows", "rows of the cleaning part", "notifications", "warnings"],
)
async def test_what_the_server_answers_does_not_pile_up(db: Any, statement: bytes) -> None:
    """Two hundred megabytes that nobody asked for."""
    db.execute("SELECT lo_create(0) FROM generate_series(1, 1000)")
    async with watched() as watch:
        await db.restore([statement + b"\nCREATE TABLE public.t (a int);\n"])
    assert db.value("SELECT to_regclass('public.t') IS NOT NULL")
    assert watch.grown < 50 * MIB


async def test_an_error_of_any_length_is_one_short_line(db: Any) -> None:
    """Its text is the archive's."""
    text = b"DO $$ BEGIN RAISE EXCEPTION '%', repeat(E'x\\n', 1000000); END $$;\n"
    with pytest.raises(RestoreFailed) as caught:
        await db.restore([text])
    assert len(caught.value.message) < 1500


@pytest.mark.parametrize(
    "text",
    [
        (
            b"CREATE MATERIALIZED VIEW public.m AS SELECT x::regclass FROM public.s WITH NO DATA;\n"
            b"REFRESH MATERIALIZED VIEW public.m;\n"
        ),
        (
            b"CREATE MATERIALIZED VIEW public.m AS SELECT current_setting(x) FROM public.s WITH NO DATA;\n"
            b"REFRESH MATERIALIZED VIEW public.m;\n"
        ),
        b"CREATE TABLE public.t AS SELECT x::regrole FROM public.s;\n",
        b"ALTER TABLE public.s ADD CHECK (x::regclass::oid > 0);\n",
        b"CREATE TABLE public.t (x regclass);\nCOPY public.t (x) FROM stdin;\ncanary.value\n\\.\n",
        (
            b"CREATE FUNCTION public.f(t text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'not %', t; END $$;\n"
            b"ALTER TABLE public.s ADD CHECK (public.f(x));\n"
        ),
    ],
)
async def test_no_value_stands_where_a_name_stands(db: Any, text: bytes) -> None:
    """A row's value that is looked for as a name, or that a function puts in its error."""
    with pytest.raises(RestoreFailed) as caught:
        await db.restore([b"CREATE TABLE public.s AS SELECT 'canary.value'::text AS x;\n" + text])
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"


async def test_names_that_the_statement_has_are_shown(db: Any) -> None:
    """They are no values."""
    with pytest.raises(RestoreFailed, match='column "nowhere" of relation "t" does not exist'):
        await db.restore([b"CREATE TABLE public.t (x int);\nCOPY public.t (nowhere) FROM stdin;\n1\n\\.\n"])
    with pytest.raises(RestoreFailed, match='null value in column "x" of relation "t" violates'):
        await db.restore([b"CREATE TABLE public.t (x int NOT NULL);\nCOPY public.t (x) FROM stdin;\n\\N\n\\.\n"])


@pytest.mark.parametrize(
    "statement",
    [
        b"COMMENT ON CONSTRAINT fk ON public.t IS '\xe9';\n",
        b'COMMENT ON CONSTRAINT "\xe9" ON public.t IS NULL;\n',
        b'ALTER EVENT TRIGGER "\xe9" ENABLE ALWAYS;\n',
    ],
)
async def test_bytes_that_are_no_text_are_refused_by_the_server(db: Any, statement: bytes) -> None:
    """In the statements that are held back."""
    text = (
        b"CREATE TABLE public.t (a int PRIMARY KEY);\n"
        b"ALTER TABLE ONLY public.t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES public.t(a);\n"
    )
    with pytest.raises(RestoreFailed, match="invalid byte sequence"):
        await db.restore([text + statement])


async def test_an_answer_in_another_encoding_is_not_read(db: Any) -> None:
    """Nobody asked for it."""
    await db.restore([b"SET client_encoding = 'LATIN1';\nSELECT '\xe9';\nCREATE TABLE public.t (a int);\n"])
    assert db.value("SELECT to_regclass('public.t') IS NOT NULL")


CHECKED = b"""SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.positive(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN sign(i) = 1; END $$;
CREATE FUNCTION public.sign(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.sign(i)::int';
CREATE DOMAIN public."TABLE x" AS int CONSTRAINT d CHECK (public.positive(VALUE));
COMMENT ON CONSTRAINT d ON DOMAIN public."TABLE x" IS 'why';
CREATE TABLE public.t (a int CONSTRAINT c CHECK (public.positive(a)), b public."TABLE x");
COMMENT ON CONSTRAINT c ON public.t IS 'so';
COPY public.t (a, b) FROM stdin;
1\t2
\\.
"""


@pytest.mark.parametrize("path", [(), ("public",)])
async def test_checks_that_call_functions_come_back(db: Any, path: tuple[str, ...]) -> None:
    """Whatever the search path is, and whatever their tables and domains are called."""
    session = await db.restore([CHECKED], search_path=path)
    assert session.report.warnings == []
    assert db.query(
        "SELECT conname::text, convalidated, obj_description(oid) FROM pg_constraint"
        " WHERE conname IN ('c', 'd') ORDER BY 1"
    ) == [("c", True, "so"), ("d", True, "why")]


async def test_deferred_triggers_run_before_the_commit(db: Any) -> None:
    """What they refuse is refused while nothing else was written."""
    text = b"""CREATE TABLE public.t (a int);
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE unique_violation; END';
CREATE CONSTRAINT TRIGGER z AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.f();
ALTER TABLE public.t ENABLE ALWAYS TRIGGER z;
INSERT INTO public.t VALUES (1);
"""
    async with open_session(db.settings) as session:
        with pytest.raises(RestoreFailed, match="unique_violation"):
            await run_sink(session, [text])
    assert session.report.rolled_back


async def test_our_statements_mean_what_they_mean(db: Any) -> None:
    """Temporary types, another role and another path do not change what stays of tables that the archive has not."""
    db.execute(
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL'",
        "CREATE FUNCTION ok(int) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "CREATE TABLE stays (a int, b text, CONSTRAINT c CHECK (ok(a) AND lower(b) = 'x'))",
    )
    before = db.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c'")
    text = b"""SELECT pg_catalog.set_config('search_path', '', false);
DROP FUNCTION IF EXISTS public.ok(integer);
CREATE FUNCTION public.ok(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE TYPE pg_temp.text AS ENUM ('a');
CREATE TYPE pg_temp.oid AS ENUM ('a');
SET search_path = evil, pg_catalog;
SET SESSION AUTHORIZATION pg_monitor;
"""
    session = await db.restore([text])
    assert session.report.warnings == []
    assert db.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c'") == before


async def test_a_user_mapping_that_the_archive_lacks_is_not_lost_silently(db: Any) -> None:
    """Its server is made again; one that the archive has is made again too, and no word of it."""
    db.execute(
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (user 'one')",
    )
    chunks = await db.dump()
    assert (await db.restore(chunks)).report.warnings == []
    db.execute("CREATE USER MAPPING FOR public SERVER there OPTIONS (user 'two')")
    session = await db.restore(chunks)
    assert [warning for warning in session.report.warnings if "user mapping for public on server there" in warning]
    assert db.value("SELECT array_agg(umoptions::text) FROM pg_user_mappings") == ["{user=one}"]


@pytest.mark.parametrize(
    "statement",
    [
        b"DELETE FROM pg_temp.kleidia_rows_1;",
        b"UPDATE pg_temp.kleidia_rows_1 SET s = 'evil';",
        b"INSERT INTO pg_temp.kleidia_rows_1 VALUES (2, 'evil');",
        b"TRUNCATE pg_temp.kleidia_rows_1;\nINSERT INTO pg_temp.kleidia_rows_1 VALUES (1, 'evil');",
        b"ALTER TABLE pg_temp.kleidia_rows_1 ALTER s TYPE text USING 'evil';",
        b"DROP TABLE pg_temp.kleidia_rows_1;",
        b"DELETE FROM pg_temp.kleidia_fk;",
        b"DO $$ BEGIN EXECUTE 'DELETE FROM pg_temp.' || 'kleidia_keep'; END $$;",
        b"CREATE OR REPLACE VIEW pg_temp.kleidia_composite AS SELECT 0::oid id, '{}'::text[] names, NULL types;",
        (
            b"CREATE TRIGGER z BEFORE INSERT ON pg_temp.kleidia_now FOR EACH ROW EXECUTE FUNCTION"
            b" suppress_redundant_updates_trigger();"
        ),
    ],
)
async def test_what_is_remembered_of_preserved_tables_is_not_touched(db: Any, statement: bytes) -> None:
    """Or nothing is restored."""
    db.execute("CREATE TABLE backup_jobs (id int PRIMARY KEY, s text)", "INSERT INTO backup_jobs VALUES (1, 'one')")
    db.execute("CREATE TABLE f (id int REFERENCES backup_jobs)")
    before = db.text()
    with pytest.raises(RestoreFailed):
        await db.restore([b"CREATE TABLE public.t (a int);\n" + statement + b"\nCREATE TABLE public.u (a int);\n"])
    assert db.text() == before
