"""Every version of PostgreSQL that is there: what it holds comes back the same, over itself and into another."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kleidia_backup import DirectorySettings, backup, diff, restore, verify
from kleidia_backup.pipeline.plan import plan_restore
from kleidia_backup.stages.errors import RestoreFailed

from ..clusters import Version, find_installations
from ..dumps import count_rows, difference, dump, run_script
from ..formats import second_writer as writer
from ..restores.test_hostile import write
from .conftest import schema

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("wheels_tools")]

PASSWORD = "correct horse battery staple"
GetVersion = Callable[[int], Version]
NewDatabase = Callable[..., str]

#: The rows of preserved tables are in no archive.
_WITHOUT = "--exclude-table-data=backup_jobs"


def test_the_versions_that_are_required_are_there() -> None:
    """A run that asks for versions (``KLEIDIA_TEST_PG_REQUIRED="13 18"``) fails when one is missing."""
    required = {int(major) for major in os.environ.get("KLEIDIA_TEST_PG_REQUIRED", "18").split()}
    assert required <= find_installations().installed.keys(), find_installations()


async def test_a_database_comes_back_as_it_was(
    major: int, tool: Path, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Backup, verification and dry run say yes, and afterwards the newest pg_dump says what it said before."""
    this = version(major)
    source, empty = new_database_of(this.server), new_database_of(this.server)
    run_script(source, schema(this.major))
    before, moved = dump(source), dump(source, _WITHOUT)
    made = await backup(database=this.settings(source, tool), store=store, password=PASSWORD)
    checked = await verify(made.name, store=store, password=PASSWORD)
    assert checked.rows == count_rows(moved)
    for conninfo, expected, options in ((source, before, ()), (empty, moved, (_WITHOUT,))):
        target = this.settings(conninfo)
        plan = await plan_restore(made.name, database=target, store=store, password=PASSWORD)
        assert plan.blockers == ()
        await restore(made.name, database=target, store=store, password=PASSWORD)
        assert not difference(expected, dump(conninfo, *options))


async def test_several_jobs_dump_the_same(
    major: int, tool: Path, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """With every table of a page a large one: what they dumped together is restored as the database that it was."""
    this = version(major)
    source, empty = new_database_of(this.server), new_database_of(this.server)
    run_script(source, schema(this.major))
    run_script(source, "ANALYZE")
    database = replace(this.settings(source, tool), jobs=3, large_table=1)
    made = await backup(database=database, store=store, password=PASSWORD, format="v2")
    assert [stage.name for stage in made.stages if "rows" in stage.name] == ["pg_dump rows", "pg_dump rows 2"]
    assert not [warning for warning in made.warnings if "One pg_dump" in warning]
    await restore(made.name, database=this.settings(empty), store=store, password=PASSWORD)
    assert not difference(dump(source, _WITHOUT), dump(empty, _WITHOUT))


#: What a whole dump has and one of the schema alone has not, and rows that are elsewhere than their tables.
_FILLED = r"""
CREATE SEQUENCE app."back\slash;'";
SELECT nextval('app."back\slash;''"');
COMMENT ON LARGE OBJECT 4711 IS 'a \; '' and
another line';
GRANT ALL ON LARGE OBJECT 4711 TO kleidia_reader WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 4712 TO PUBLIC;
REVOKE UPDATE ON LARGE OBJECT 4712 FROM postgres;
SELECT lo_create(4713);
REVOKE ALL ON LARGE OBJECT 4713 FROM postgres;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO kleidia_reader;
SET SESSION AUTHORIZATION kleidia_reader;
GRANT SELECT ON LARGE OBJECT 4711 TO kleidia_owner;
RESET SESSION AUTHORIZATION;
CREATE MATERIALIZED VIEW app."odd ; -- view" AS SELECT * FROM app.moods;
CREATE MATERIALIZED VIEW app.of_a_key AS SELECT id, name, count(*) AS n FROM app.people GROUP BY id;
COMMENT ON MATERIALIZED VIEW app.of_a_key IS 'made behind the key of another';
CREATE MATERIALIZED VIEW app.of_views AS SELECT count(*) FROM app.of_a_key, app."odd ; -- view";
CREATE TABLE app.by_mood (mood app.mood) PARTITION BY HASH (mood);
CREATE TABLE app.by_mood_0 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.by_mood_1 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.by_mood SELECT unnest(enum_range(NULL::app.mood)) FROM generate_series(1, 3);
CREATE TABLE app.configured (id int, name text);
INSERT INTO app.configured VALUES (1, 'the extension''s'), (2, 'mine');
CREATE TABLE app.of_the_extension (id int);
INSERT INTO app.of_the_extension VALUES (1);
CREATE SEQUENCE app.numbers;
ALTER EXTENSION citext ADD TABLE app.configured;
ALTER EXTENSION citext ADD TABLE app.of_the_extension;
ALTER EXTENSION citext ADD SEQUENCE app.numbers;
UPDATE pg_extension SET extconfig = ARRAY['app.configured'::regclass, 'app.numbers'::regclass],
    extcondition = ARRAY['WHERE id > 1', ''] WHERE extname = 'citext';
CREATE SUBSCRIPTION far CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE);
ANALYZE;
"""


@pytest.mark.parametrize("strings", ["on", "off"])
async def test_right_after_a_backup_nothing_is_different(
    strings: str, major: int, tool: Path, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Between archives of both formats, one and several processes, and the database as it is."""
    this = version(major)
    source = new_database_of(this.server)
    run_script(source, schema(this.major))
    run_script(source, _FILLED)
    run_script(
        source, f"ALTER DATABASE {conninfo_to_dict(source)['dbname']} SET standard_conforming_strings = {strings}"
    )
    database = this.settings(source, tool)
    several = replace(database, jobs=3, large_table=1)
    try:
        one = await backup(database=database, store=store, password=PASSWORD, format="v1")
        two = await backup(database=several, store=store, password=PASSWORD, format="v2")
        for name, other in ((one.name, None), (two.name, None), (one.name, two.name)):
            report = await diff(name, other, database=database, store=store, password=PASSWORD)
            assert report.equal, report
            assert {each for each in report.uncompared if "by_mood" not in each} == set()
    finally:
        run_script(source, "DROP SUBSCRIPTION far")


async def test_what_was_wrecked_comes_back(
    major: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """After rows, tables, functions and types are gone or others, a restore brings back the database of the archive."""
    this = version(major)
    source = new_database_of(this.server)
    run_script(source, schema(this.major))
    before = dump(source)
    made = await backup(database=this.settings(source), store=store, password=PASSWORD)
    run_script(
        source,
        "DELETE FROM app.people WHERE id BETWEEN 50 AND 150; UPDATE app.base SET b = 'wrong';"
        "DROP TABLE app.bookings, audit_logs;"
        "DROP MATERIALIZED VIEW app.moods CASCADE; DROP PUBLICATION part; DROP FOREIGN DATA WRAPPER dummy CASCADE;"
        "ALTER DOMAIN app.small DROP CONSTRAINT odd; REVOKE SELECT ON app.calm FROM kleidia_reader CASCADE;"
        "SELECT setval('app.shared', 500), lo_unlink(4711), lo_put(4712, 0, 'x');"
        "CREATE OR REPLACE FUNCTION app.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 3';",
    )
    target = this.settings(source)
    plan = await plan_restore(made.name, database=target, store=store, password=PASSWORD)
    assert plan.blockers == ()
    await restore(made.name, database=target, store=store, password=PASSWORD)
    assert not difference(before, dump(source))


async def test_strings_with_backslashes_of_another_setting(
    major: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """A database with standard_conforming_strings off, where pg_dump writes its strings otherwise."""
    this = version(major)
    source, empty = new_database_of(this.server), new_database_of(this.server)
    run_script(
        source,
        f"ALTER DATABASE {conninfo_to_dict(source)['dbname']} SET standard_conforming_strings = off",
    )
    run_script(
        source,
        r"""
        SET escape_string_warning = off;
        CREATE TABLE slashes (id int PRIMARY KEY, t text DEFAULT 'a\\b''c\\', CHECK (t <> '\\'''));
        INSERT INTO slashes VALUES (1, 'x\\y'), (2, '''\\\\');
        COMMENT ON TABLE slashes IS 'it''s \\ and \\''; --';
        CREATE FUNCTION slash() RETURNS text LANGUAGE sql AS 'SELECT ''\\\\''; -- \\';
        CREATE VIEW shown AS SELECT 'v\\''' AS v, slash() AS s;
        """,
    )
    before = dump(source)
    made = await backup(database=this.settings(source), store=store, password=PASSWORD)
    run_script(source, "DELETE FROM slashes")
    for conninfo in (source, empty):
        await restore(made.name, database=this.settings(conninfo), store=store, password=PASSWORD)
        assert not difference(before, dump(conninfo))


async def test_the_owner_without_superuser(
    major: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Who owns the database and all in it backs it up and restores it, with preserved rows, on every version."""
    this = version(major)
    source = new_database_of(this.server, "OWNER kleidia_owner")
    run_script(source, "ALTER ROLE kleidia_owner LOGIN PASSWORD 'owner'; ALTER SCHEMA public OWNER TO kleidia_owner")
    owner = make_conninfo(source, user="kleidia_owner", password="owner")
    run_script(
        owner,
        """
        CREATE TYPE state AS ENUM ('open', 'done');
        CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
        CREATE TABLE backup_jobs (id serial PRIMARY KEY, state state, by_user int REFERENCES users ON DELETE SET NULL);
        CREATE INDEX ON backup_jobs (state);
        CREATE VIEW counts AS SELECT id, name, (SELECT count(*) FROM backup_jobs WHERE by_user = u.id) FROM users u;
        INSERT INTO users (name) SELECT 'user ' || i FROM generate_series(1, 10) i;
        INSERT INTO backup_jobs (state, by_user) VALUES ('done', 1);
        """,
    )
    made = await backup(database=this.settings(owner), store=store, password=PASSWORD)
    run_script(owner, "INSERT INTO backup_jobs (state, by_user) VALUES ('open', 2)")
    before = dump(source)
    run_script(owner, "UPDATE users SET name = 'wrong'; INSERT INTO users (name) VALUES ('more')")
    target = this.settings(owner)
    plan = await plan_restore(made.name, database=target, store=store, password=PASSWORD)
    assert plan.blockers == ()
    await restore(made.name, database=target, store=store, password=PASSWORD)
    assert not difference(before, dump(source))


async def test_a_right_that_a_newer_pg_dump_does_not_write_is_told(
    major: int, tool: Path, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """From 15 on PUBLIC has no CREATE on the schema public; before, it may have lost it, and no archive says so."""
    this = version(major)
    source = new_database_of(this.server)
    run_script(source, "REVOKE CREATE ON SCHEMA public FROM PUBLIC;")
    made = await backup(database=this.settings(source, tool), store=store, password=PASSWORD)
    assert any("schema public" in warning for warning in made.warnings) is (this.major < 15)


async def test_no_version_loses_rows_behind_an_end_of_rows_among_them(
    major: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings, store_directory: Path
) -> None:
    """Before 18 a server stops at such an end, wherever in a line it is, and says so by a number alone."""
    this = version(major)
    target = new_database_of(this.server)
    text = "CREATE TABLE public.t (a text);\nCOPY public.t (a) FROM stdin;\none\ntwo\\.\nthree\nfour\n\\.\n"
    write(store_directory, "rows.enc", text)
    with pytest.raises(RestoreFailed) as caught:
        await restore("rows.enc", database=this.settings(target), store=store, password=writer.PASSWORD)
    assert ("2 of 4 rows" in caught.value.message) is (this.major < 18)
    assert "COPY public.t" in caught.value.message
    assert caught.value.effect == "nothing"
    assert "public.t" not in dump(target)


async def test_what_stands_in_the_way_of_later_kinds_is_told(
    major: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Collations, operators, text search and statistics of the archive are known to the catalog of every version."""
    this = version(major)
    source = new_database_of(this.server)
    run_script(
        source,
        'CREATE COLLATION co FROM "C"; CREATE TEXT SEARCH CONFIGURATION ts (copy = simple);'
        "CREATE OPERATOR === (function = int4eq, leftarg = int, rightarg = int);"
        "CREATE TABLE t (a int, b text); CREATE STATISTICS st ON a, b FROM t;",
    )
    before = dump(source)
    made = await backup(database=this.settings(source), store=store, password=PASSWORD)
    run_script(
        source,
        "DROP STATISTICS st; CREATE TABLE later (x text, y text); CREATE STATISTICS st ON x, y FROM later;"
        "CREATE INDEX later_i ON later (x COLLATE co); CREATE VIEW later_v AS SELECT 1 OPERATOR(public.===) 2 AS e;"
        "CREATE INDEX later_t ON later USING gin (to_tsvector('ts', x)); CREATE PUBLICATION later_p FOR TABLE t;",
    )
    target = this.settings(source)
    plan = await plan_restore(made.name, database=target, store=store, password=PASSWORD)
    report = await restore(made.name, database=target, store=store, password=PASSWORD)
    assert plan.blockers == ()
    for name in ("later_i", "later_t", "later_v", "public.st"):
        assert any(name in warning for warning in plan.warnings), name
        assert any(name in warning for warning in report.warnings), name
    assert "ALTER PUBLICATION later_p ADD TABLE ONLY public.t;" in dump(source)
    run_script(source, "DROP TABLE later; DROP PUBLICATION later_p;")
    assert not difference(before, dump(source))
