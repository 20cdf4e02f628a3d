"""What cannot be brought back is refused by its name, and everything is as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages.errors import (
    Busy,
    ConfigurationError,
    DatabaseForbidden,
    DatabaseUnreachable,
    KleidiaError,
    RestoreFailed,
)
from kleidia_backup.stages.pg.databases import another as making
from kleidia_backup.stages.pg.server.lock import hold_database
from kleidia_backup.stages.pg.tables import scratch
from kleidia_backup.stages.pg.tables.session import TablesSession

from ...archive_format import both_formats
from ...databases import without_sessions
from .lab import Lab

pytestmark = pytest.mark.anyio


@both_formats
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("usres", r"no table .*nearest names: public\.users"),
        ("app.users", r"no table .*nearest names: public\.users"),
        ('"Odd Name"', r'no table .*nearest names: app\.Odd "Name'),
        ("kleidia_backup.jobs", "product's own"),
        ("backup_jobs", "preserve"),
        ("a.b.c", "not the name of a table"),
    ],
)
async def test_no_such_table(lab: Lab, table: str, said: str) -> None:
    """The nearest names are told."""
    await lab.backup()
    before = lab.dump()
    with pytest.raises(ConfigurationError, match=said):
        await lab.restore(table)
    assert lab.dump() == before


async def test_several_have_the_name(lab: Lab) -> None:
    """Then it takes the schema."""
    lab.sql("CREATE TABLE app.users (id int)")
    await lab.backup()
    with pytest.raises(ConfigurationError, match=r"app\.users, public\.users"):
        await lab.restore("users")
    assert (await lab.restore("app.users")).rows == 0


#: What the target loses, and what the error names.
LACKING = [
    ("DROP TABLE users CASCADE; DROP TYPE mood", "users", "mood"),
    ("DROP TABLE users CASCADE; DROP FUNCTION touch CASCADE", "users", "touch"),
    ("DROP SCHEMA app CASCADE", 'app."Odd ""Name"', "app"),
    ("DROP TABLE notes; DROP TABLE users", "notes", "users"),
]


@both_formats
@pytest.mark.parametrize(("lost", "table", "named"), LACKING)
async def test_what_the_target_lacks(lab: Lab, lost: str, table: str, named: str) -> None:
    """It is named."""
    await lab.backup()
    lab.sql(lost)
    before = lab.dump()
    with pytest.raises(RestoreFailed, match=named) as caught:
        await lab.restore(table)
    assert caught.value.effect == "nothing"
    assert lab.dump() == before


async def test_an_extension_that_the_server_lacks(lab: Lab, postgres_server: PostgresServer) -> None:
    """It matters to the tables that need it, and to no other."""
    lab.sql("CREATE EXTENSION hstore; CREATE TABLE pairs (id int, h hstore)")
    lab.sql("CREATE VIEW noted AS SELECT n.id, ''::hstore FROM notes n; COMMENT ON VIEW noted IS 'of public.notes'")
    lab.sql("CREATE FUNCTION h(n notes) RETURNS hstore LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    await lab.backup()
    before = lab.dump()
    control = postgres_server.bin_dir.parent / "share" / "extension" / "hstore.control"
    if not control.is_file():
        control = next(postgres_server.bin_dir.parent.rglob("hstore.control"))
    away = control.rename(control.with_suffix(".away"))
    try:
        assert (await lab.restore("notes")).rows == 200
        with pytest.raises(RestoreFailed, match="hstore"):
            await lab.restore("pairs")
    finally:
        away.rename(control)
    assert lab.dump() == before


@both_formats
async def test_what_depends_on_it(lab: Lab) -> None:
    """What is not made again is named, as is a view that does not fit the table as the archive has it."""
    await lab.backup()
    lab.sql("ALTER TABLE users ADD COLUMN more text; CREATE VIEW shouting AS SELECT shout, more FROM users")
    lab.sql("CREATE TABLE child (more int) INHERITS (notes)")
    lab.sql("CREATE FUNCTION loud(u users) RETURNS text LANGUAGE sql AS 'SELECT u.shout'")
    lab.sql("CREATE POLICY louder ON other USING (v IN (SELECT loud(u) FROM users u))")
    before = lab.dump()
    with pytest.raises(RestoreFailed, match=r"policy louder on table public\.other depends"):
        await lab.restore("users")
    assert lab.dump() == before
    lab.sql("DROP POLICY louder ON other")
    before = lab.dump()
    with pytest.raises(RestoreFailed, match=r"CREATE VIEW public\.shouting: column .more. does not exist") as caught:
        await lab.restore("users")
    assert ("--as" in caught.value.hint, caught.value.effect) == (True, "nothing")
    with pytest.raises(RestoreFailed, match=r"table public\.child depends"):
        await lab.restore("notes")
    assert lab.dump() == before


async def test_without_createdb(lab: Lab) -> None:
    """The right is named, and what to do."""
    await lab.backup()
    lab.sql("DROP ROLE IF EXISTS no_createdb; CREATE ROLE no_createdb LOGIN PASSWORD 'x'")
    try:
        away = replace(
            lab.postgres, conninfo=psycopg.conninfo.make_conninfo(lab.conninfo, user="no_createdb", password="x")
        )
        with pytest.raises(DatabaseForbidden, match="may not create databases") as caught:
            await lab.restore("users", database=away)
        assert [each.verb for each in caught.value.rights] == ["CREATEDB"]
        assert (caught.value.effect, "CREATEDB" in caught.value.hint) == ("nothing", True)
    finally:
        lab.sql(without_sessions("no_createdb"))
        lab.sql("DROP ROLE no_createdb")


async def test_another_restore(lab: Lab) -> None:
    """It is waited for by nobody."""
    await lab.backup()
    async with hold_database(lab.postgres, "backup"):
        with pytest.raises(Busy):
            await lab.restore("users")


@both_formats
@pytest.mark.parametrize("how", ["fails", "is cancelled", "loses the server"])
@pytest.mark.parametrize("lost", ["", "ALTER TABLE users ADD COLUMN more text", "DROP TABLE users CASCADE"])
async def test_an_end_in_the_middle(lab: Lab, how: str, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is as before, and no scratch database is left."""
    await lab.backup()
    if lost:
        lab.sql(lost)
    before = lab.dump()
    scope = anyio.CancelScope()
    after = TablesSession._after

    def ending(self: TablesSession) -> None:
        after(self)
        if how == "fails":
            raise RestoreFailed("made up")
        if how == "is cancelled":
            anyio.from_thread.run_sync(scope.cancel)
        else:
            lab.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^kleidia-restore'"
            )
            self._connected().script("SELECT 1")

    monkeypatch.setattr(TablesSession, "_after", ending)
    failure: KleidiaError | None = None
    with scope:
        try:
            await lab.restore("users")
        except (RestoreFailed, DatabaseUnreachable) as exc:
            failure = exc
    assert (failure is None) == (how == "is cancelled")
    assert lab.dump() == before
    assert lab.scratch() == []


async def test_one_that_was_left_behind(lab: Lab) -> None:
    """The scratch database of a process that was killed is dropped by the next restore; one in use is not."""
    await lab.backup()
    lab.sql("CREATE DATABASE kleidia_scratch_0123456789abcdef")
    lab.sql("CREATE DATABASE kleidia_scratch_fedcba9876543210")
    held = psycopg.connect(lab.conninfo, application_name="kleidia_scratch_fedcba9876543210")
    try:
        await lab.restore("users")
        assert lab.scratch() == [("kleidia_scratch_fedcba9876543210",)]
    finally:
        held.close()
        lab.sql("DROP DATABASE kleidia_scratch_fedcba9876543210")


@both_formats
@pytest.mark.parametrize("where", ["while it is made", "while it is filled", "while rows come"])
async def test_a_cancellation(lab: Lab, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scratch database is left, whenever it comes: also when the server makes one that nobody waits for any more."""
    await lab.backup()
    before = lab.dump()
    scope = anyio.CancelScope()
    create = making.statement

    def creating(*arguments: Any) -> Any:
        if where == "while it is made":
            anyio.from_thread.run_sync(scope.cancel)
        return create(*arguments)

    def see(progress: Progress) -> None:
        if progress.phase == {"while it is filled": "plan", "while rows come": "restore"}.get(where):
            scope.cancel()

    monkeypatch.setattr(scratch, "statement", creating)
    with scope:
        await lab.restore("users", on_progress=see)
    assert scope.cancelled_caught
    assert (lab.dump(), lab.scratch()) == (before, [])
    assert lab.sql("SELECT FROM pg_stat_activity WHERE application_name ~ '^kleidia'") == []


@both_formats
async def test_grants_to_a_role_that_is_gone(lab: Lab) -> None:
    """Also when they are of a part of the table, or a thousand statements of others were refused before."""
    lab.sql("DROP ROLE IF EXISTS passing; CREATE ROLE passing; CREATE TABLE zz (id int); GRANT SELECT ON zz TO passing")
    lab.sql("GRANT USAGE ON SEQUENCE notes_id_seq TO passing")
    lab.sql(
        "DO $$ BEGIN FOR n IN 1..1010 LOOP EXECUTE format('CREATE VIEW v%s AS SELECT 1', n);"
        " EXECUTE format('GRANT SELECT ON v%s TO passing', n); END LOOP; END $$"
    )
    await lab.backup()
    lab.sql("DROP OWNED BY passing; DROP ROLE passing; DROP TABLE notes; DROP TABLE zz")
    before = lab.dump()
    with pytest.raises(RestoreFailed, match=r'part "public"\."notes_id_seq" .*role "passing" does not exist'):
        await lab.restore("notes")
    with pytest.raises(RestoreFailed, match=r'table "public"\."zz" .*role "passing" does not exist'):
        await lab.restore("zz")
    assert lab.dump() == before


async def test_a_key_of_another_that_has_no_place(lab: Lab) -> None:
    """A foreign key that refers to columns which are not unique in the archive would be lost."""
    await lab.backup()
    lab.sql("ALTER TABLE users ADD UNIQUE (name); CREATE TABLE c (name text REFERENCES users (name))")
    before = lab.dump()
    with pytest.raises(RestoreFailed, match=r"foreign key c_name_fkey of public\.c cannot be made again") as caught:
        await lab.restore("users")
    assert caught.value.effect == "nothing"
    assert lab.dump() == before


HASHED = """
CREATE TYPE colour AS ENUM ('red', 'green', 'blue', 'white');
CREATE TABLE paints (c colour, n int) PARTITION BY HASH (c);
CREATE TABLE paints_0 PARTITION OF paints FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE paints_1 PARTITION OF paints FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (n);
CREATE TABLE paints_1_all PARTITION OF paints_1 DEFAULT;
INSERT INTO paints SELECT (enum_range(NULL::colour))[1 + n % 4], n FROM generate_series(1, 40) n;
"""


@both_formats
@pytest.mark.parametrize("table", ["paints_0", pytest.param("paints_1", marks=pytest.mark.thorough), "paints_1_all"])
@pytest.mark.parametrize(
    "options", [{}, pytest.param({"copy": "paints_2"}, marks=pytest.mark.thorough)], ids=["itself", "copy"]
)
async def test_a_partition_whose_rows_are_among_those_of_all(lab: Lab, table: str, options: dict[str, str]) -> None:
    """pg_dump writes them so where a hash of an enum is decisive: it was emptied. All of them together come back."""
    lab.sql(HASHED)
    await lab.backup()
    before = lab.dump()
    with pytest.raises(ConfigurationError, match=r"no rows of .*paints_.* of \"public\".\"paints\" together") as caught:
        await lab.restore(table, **options)
    assert 'Restore "public"."paints"' in caught.value.hint
    assert lab.dump() == before
    lab.sql("TRUNCATE paints")
    await lab.restore("paints")
    assert lab.dump() == before


@both_formats
async def test_a_table_whose_rows_were_left_out(lab: Lab, tmp_path: Path) -> None:
    """Whatever the reason: a pg_dump that leaves some out, as that of a standby does with unlogged tables."""
    program = tmp_path / "pg_dump"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] || set -- --exclude-table-data=other "$@"\n'
        f'exec "{lab.postgres.pg_dump}" "$@"\n'
    )
    program.chmod(0o755)
    settings, lab.postgres = lab.postgres, replace(lab.postgres, pg_dump=str(program))
    await lab.backup()
    lab.postgres = settings
    before = lab.dump()
    with pytest.raises(ConfigurationError, match=r"no rows of \S+other\S+ by itself\."):
        await lab.restore("other")
    assert lab.dump() == before
