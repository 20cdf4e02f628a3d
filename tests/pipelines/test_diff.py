"""What is different between archives of both formats, and between an archive and the servers as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kleidia_backup import (
    ConfigurationError,
    DamagedArchive,
    DiffReport,
    WrongPassword,
    backup,
    diff,
)
from kleidia_backup.pipeline.parts.request import Format
from kleidia_backup.pipeline.reports import words

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

_FORMATS = pytest.mark.parametrize(("first", "second"), [("v1", "v1"), ("v1", "v2"), ("v2", "v1"), ("v2", "v2")])
_OBJECTS = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE moods (id int GENERATED ALWAYS AS IDENTITY, mood mood, note text DEFAULT 'a;b');
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$
-- a comment in a body
SELECT 2 * n; $$;
CREATE VIEW happy AS SELECT * FROM moods WHERE mood = 'happy';
COMMENT ON TABLE moods IS 'of people';
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
INSERT INTO parted SELECT generate_series(1, 9);
CREATE TABLE "odd; -- Name" (line text);
INSERT INTO "odd; -- Name" VALUES (E'\\\\.'), (E'a\\nb'), (';');
"""


async def made(system: System, archive_format: Format, **options: Any) -> str:
    """A new archive's name."""
    parts: dict[str, Any] = {"database": system.postgres, "vault": system.vault} | options
    return (await backup(store=system.store, password=PASSWORD, format=archive_format, **parts)).name


async def between(system: System, old: str, new: str) -> DiffReport:
    """Their differences."""
    return await diff(old, new, store=system.store, password=PASSWORD)


async def with_live(system: System, old: str, **options: Any) -> DiffReport:
    """The differences from an archive to the servers."""
    parts: dict[str, Any] = {"database": system.postgres, "vault": system.vault} | options
    return await diff(old, store=system.store, password=PASSWORD, **parts)


def change(system: System) -> None:
    """Something of everything; the row that is another one has as many bytes as before."""
    system.sql("DELETE FROM notes WHERE id <= 20")
    system.sql("UPDATE users SET name = 'canary' WHERE id = 7")
    system.sql("CREATE TABLE added (id int)")
    system.sql("DROP TABLE parted")
    system.sql("ALTER TABLE moods ADD COLUMN since timestamptz")
    system.yubikeys.put("0003/piv", {"management_key": "canary-of-the-vault"})
    system.yubikeys.put("9999/piv", {"pin": "canary-of-the-vault"})
    system.application.delete("kleidia/jwt-secret/also")


def check(report: DiffReport, *, contents: bool) -> None:
    """The report says what ``change`` did; ``contents``: also that rows are others."""
    assert not report.equal
    tables = {each.name: (each.change, each.old_rows, each.new_rows) for each in report.tables}
    expected = {
        "public.notes": ("rows", 500, 480),
        "public.added": ("new", None, 0),
        "public.parted": ("gone", None, None),
        "public.parted_1": ("gone", 9, None),
    }
    if contents:
        expected["public.users"] = ("content", 50, 50)
    assert tables == expected
    assert (report.secrets_new, report.secrets_gone) == (("yubikeys/9999/piv",), ("jwt-secret/also",))
    assert (report.secrets_changed, report.secrets_equal) == (("yubikeys/0003/piv",), 31)
    assert not report.schema_equal
    assert report.schema is not None
    lines = set(report.schema)
    assert "+    since timestamp with time zone" in lines
    assert "+CREATE TABLE public.added (" in lines
    assert "-CREATE TABLE public.parted (" in lines
    assert any(line.startswith("@@ -") for line in lines)
    assert not [line for line in lines if "setval" in line or "COPY" in line or "restrict" in line]
    text = str(words.as_json(report))
    assert "canary" not in text
    assert report.schema[:2] == (f"--- {report.old}", f"+++ {report.new}")


@_FORMATS
async def test_equal_archives(system: System, first: Format, second: Format) -> None:
    """Of one system, whatever the formats: the DDL is the same to the byte, as are rows and secrets."""
    system.sql(_OBJECTS)
    report = await between(system, await made(system, first), await made(system, second))
    assert report.equal, report
    assert (report.tables, report.schema, report.uncompared) == ((), (), ())
    assert report.counted_alone == 0
    assert (report.secrets_equal, report.compared) == (33, ("database", "vault"))


@_FORMATS
async def test_different_archives(system: System, first: Format, second: Format) -> None:
    """Each difference is named, and nothing of a value."""
    system.sql(_OBJECTS)
    old = await made(system, first)
    change(system)
    new = await made(system, second)
    check(await between(system, old, new), contents=True)


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_live(system: System, archive_format: Format) -> None:
    """Nothing is different right after a backup; after changes it is what an archive would say, but for contents."""
    system.sql(_OBJECTS)
    old = await made(system, archive_format)
    before = system.rows(), system.secrets()
    report = await with_live(system, old)
    assert report.equal, report
    assert report.counted_alone > 0
    assert report.uncompared == ()  # preserved tables are left out on both sides
    assert (system.rows(), system.secrets()) == before
    change(system)
    check(await with_live(system, old), contents=False)


async def test_audit_logs_that_were_left_out(system: System) -> None:
    """Are neither gone nor empty: their rows are not compared, with an archive that has them nor with the database."""
    old, new = await made(system, "v1", include_audit=False), await made(system, "v2")
    report = await between(system, old, new)
    assert (report.equal, report.uncompared) == (True, ("public.audit_logs",))
    report = await with_live(system, old)
    assert (report.equal, report.uncompared) == (True, ())


async def test_parts(system: System) -> None:
    """Only what both sides have is compared; nothing in common is refused."""
    vault, full = await made(system, "v2", database=None), await made(system, "v1")
    report = await between(system, vault, full)
    assert (report.equal, report.compared, report.tables) == (True, ("vault",), ())
    database = await made(system, "v2", vault=None)
    assert (await between(system, full, database)).compared == ("database",)
    with pytest.raises(ConfigurationError) as caught:
        await between(system, vault, database)
    assert caught.value.effect == "nothing"
    with pytest.raises(ConfigurationError):
        await with_live(system, database, database=None)
    assert (await with_live(system, full, vault=None)).compared == ("database",)


async def test_secrets_that_nobody_can_compare(system: System) -> None:
    """Below no root, or the product's own: they are not called gone."""
    old = await made(system, "v2", database=None)
    roots = (replace(system.vault.roots[0], prefix="app/"), system.vault.roots[1])
    report = await with_live(system, old, database=None, vault=replace(system.vault, roots=roots))
    assert report.secrets_gone == ()
    assert report.secrets_new == ("app/empty", "app/jwt-secret", "app/jwt-secret/also")
    assert len(report.warnings) == 1
    own = (f"{system.application.path}/kleidia/jwt-secret",)
    report = await with_live(system, old, database=None, vault=replace(system.vault, own=own))
    assert (report.equal, report.secrets_equal) == (True, 32)


async def test_metadata_and_versions(system: System) -> None:
    """Between archives of format V2, and an archive and the vault as it is; V1 knows nothing of it."""
    kv = system.application
    server, every = kv.server, replace(system.vault, versions=0)

    def post(path: str, body: object) -> None:
        assert server.request("POST", f"{kv.path}/{path}", body)[0] in {200, 204}

    for name in ("tagged", "old", "dead", "same"):
        kv.put(f"kleidia/{name}", {"a": 1})
        kv.put(f"kleidia/{name}", {"a": 2})
    post("delete/kleidia/dead", {"versions": [2]})
    old = await made(system, "v2", database=None, vault=every)
    first = await made(system, "v1", database=None)
    assert (await with_live(system, old, database=None, vault=every)).equal
    post("metadata/kleidia/tagged", {"custom_metadata": {"owner": "me"}})
    post("destroy/kleidia/old", {"versions": [1]})
    post("destroy/kleidia/dead", {"versions": [2]})
    new = await made(system, "v2", database=None, vault=every)
    for report in (await between(system, old, new), await with_live(system, old, database=None, vault=every)):
        assert (report.equal, report.secrets_changed, report.secrets_new, report.secrets_gone) == (False, (), (), ())
        assert report.secrets_metadata == ("tagged",)
        assert report.secrets_versions == ("dead", "old")
    assert (await between(system, first, new)).equal


async def test_bad_inputs(system: System) -> None:
    """A wrong password, a damaged archive, a root that is not there: errors, and no comparison."""
    old, new = await made(system, "v1"), await made(system, "v2")
    with pytest.raises(WrongPassword):
        await diff(old, new, store=system.store, password="another")
    for name in (old, new):
        path = system.directory / name
        whole = path.read_bytes()
        data = bytearray(whole)
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises((DamagedArchive, WrongPassword)):
            await between(system, old, new)
        path.write_bytes(whole)


async def test_a_schema_that_is_too_large(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still known whether it is the same; only the lines are not there."""
    old = await made(system, "v1")
    system.sql("CREATE TABLE added (id int)")
    new = await made(system, "v2")
    monkeypatch.setattr("kleidia_backup.pipeline.diff.compare.MOST_STATEMENTS", 3)
    report = await between(system, old, new)
    assert (report.equal, report.schema_equal, report.schema) == (False, False, None)
    assert (await between(system, old, old)).equal


#: What only a dump with rows fills.
_FILLED = r"""
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM notes;
CREATE SEQUENCE "back\slash";
SELECT lo_from_bytea(4711, 'x');
GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
COMMENT ON LARGE OBJECT 4711 IS 'it''s \';
"""
#: pg_dump copies each partition into the root, since the hash of an enum's value is another on each server.
_BY_ROOT = """
CREATE TYPE state AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
CREATE TABLE states (state state, n int) PARTITION BY HASH (state);
CREATE TABLE states_0 PARTITION OF states FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE states_1 PARTITION OF states FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO states SELECT s, 1 FROM unnest(enum_range(NULL::state)) s;
"""


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_what_only_a_dump_with_rows_fills(system: System, archive_format: Format) -> None:
    """Materialized views, values of sequences and large objects do not count; a view's definition does."""
    system.sql(_FILLED)
    old = await made(system, archive_format, vault=None)
    system.sql("SELECT nextval('\"back\\slash\"'), lo_create(4712), lo_unlink(4711)")
    report = await with_live(system, old)
    assert (report.equal, report.uncompared) == (True, ()), report
    system.sql("DROP MATERIALIZED VIEW sums")
    system.sql("CREATE MATERIALIZED VIEW sums AS SELECT sum(id) AS n FROM notes")
    assert not (await with_live(system, old)).schema_equal


@_FORMATS
async def test_tables_that_are_copied_by_parts(system: System, first: Format, second: Format) -> None:
    """Several COPY statements fill one: all of them are compared, in whatever order processes dump them."""
    system.sql(_BY_ROOT)
    system.sql("ANALYZE")
    old = await made(system, first, vault=None)
    several = replace(system.postgres, jobs=3 if second == "v2" else 1, large_table=1)
    report = await between(system, old, await made(system, second, vault=None, database=several))
    assert (report.equal, report.uncompared, report.counted_alone) == (True, (), 0), report
    for part in ("states_0", "states_1"):
        system.sql(f"UPDATE {part} SET n = 2 WHERE state IN (SELECT max(state) FROM {part})")
        new = await made(system, second, vault=None)
        report = await between(system, old, new)
        assert [(each.name, each.change) for each in report.tables] == [("public.states", "content")]
        old = new


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_configuration_of_extensions(system: System, archive_format: Format) -> None:
    """A dump has those rows of such a table that the extension's condition names, and nothing of its other tables."""
    system.sql("CREATE EXTENSION citext; CREATE TABLE configured (id int); CREATE TABLE of_it (id int)")
    system.sql("ALTER EXTENSION citext ADD TABLE configured; ALTER EXTENSION citext ADD TABLE of_it")
    system.sql("CREATE TABLE heir () INHERITS (configured)")
    system.sql("INSERT INTO configured VALUES (1), (2), (3)")
    system.sql("INSERT INTO heir VALUES (1), (2)")
    system.sql(
        "UPDATE pg_extension SET extconfig = ARRAY['configured'::regclass], extcondition = '{WHERE id > 1}'"
        " WHERE extname = 'citext'"
    )
    old = await made(system, archive_format, vault=None)
    report = await with_live(system, old)
    assert report.equal, report
    system.sql("INSERT INTO configured VALUES (0), (4), (5)")
    report = await with_live(system, old)
    assert [(each.name, each.old_rows, each.new_rows) for each in report.tables] == [("public.configured", 3, 5)]
