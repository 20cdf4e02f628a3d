"""A drill fails when something did not come back: one test for each comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from kleidia_backup import DrillCheck

from ..archive_format import both_formats, v2_thorough
from ..pipelines.test_plan import write_archive
from .conftest import Bench

pytestmark = pytest.mark.anyio

Damage = Callable[[Bench], object]


def sql(text: str) -> Damage:
    """Damage by SQL in the scratch database."""
    return lambda bench: bench.sql(text)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "rows missing": (sql("DELETE FROM notes WHERE id > 40"), "a table has another number of rows"),
    "all rows missing": (sql("TRUNCATE notes"), "a table has another number of rows"),
    "a value changed": (sql("UPDATE users SET name = 'other' WHERE id = 7"), "a table has other rows"),
    "a row twice, another gone": (
        sql("ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_pkey; UPDATE audit_logs SET id = 1 WHERE id = 2"),
        "a table has other rows",
    ),
    "a column lost": (sql("ALTER TABLE notes DROP COLUMN data"), "a table has other rows"),
    "a table lost": (sql("DROP TABLE notes"), "a table is missing"),
    "a table too many": (sql("CREATE TABLE planted (id int)"), "a table that the archive does not make"),
    "a view lost": (sql("DROP VIEW names"), "a view or a sequence is missing"),
    "a sequence set back": (sql("SELECT setval('users_id_seq', 1)"), "a sequence has another value"),
    "a constraint lost": (sql("ALTER TABLE notes DROP CONSTRAINT notes_user_id_fkey"), "a constraint is missing"),
    "a constraint not valid": (
        sql("UPDATE pg_constraint SET convalidated = false WHERE conname = 'notes_user_id_fkey'"),
        "a constraint is not valid",
    ),
    "an index lost": (sql("DROP INDEX notes_body"), "an index is missing"),
    "an index not valid": (
        sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notes_body'::regclass"),
        "an index is not valid",
    ),
    "a function lost": (sql("DROP FUNCTION number_of_users()"), "a routine is missing"),
    "a function unusable": (
        sql(
            "SET check_function_bodies = off;"
            "CREATE OR REPLACE FUNCTION number_of_users() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM gone'"
        ),
        "a routine cannot be used",
    ),
    "a secret changed": (
        lambda bench: bench.mount.put("yubikeys/0003/piv", {"pin": 0}),
        "secrets have another value",
    ),
    "a secret lost": (lambda bench: bench.mount.delete("jwt-secret"), "secrets are missing"),
    "a secret too many": (lambda bench: bench.mount.put("planted", {"a": 1}), "secrets that the archive does not have"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_did_not_come_back(bench: Bench, damage: str) -> None:
    """The scratch side is damaged between the restore and the comparison."""
    bench.system.sql("CREATE VIEW names AS SELECT name FROM users")
    bench.system.sql("CREATE INDEX notes_body ON notes (md5(body))")
    bench.system.sql("CREATE FUNCTION number_of_users() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM users'")
    await bench.backup()
    change, check = DAMAGES[damage]
    report = await bench.drill(scratch=bench.damaging(lambda: change(bench)))
    assert (report.verdict, report.cause) == ("failed", "archive"), report.reason
    assert check in {failure.check for failure in report.failures}
    assert report.next_step.startswith("Do not rely on this archive")
    assert bench.left == 1


def described(bench: Bench, path: str, body: object) -> object:
    """Damage by a request to the scratch vault."""
    return bench.mount.server.request("POST", f"{bench.mount.path}/{path}", body)


DESCRIBED: dict[str, tuple[Damage, str]] = {
    "other metadata": (
        lambda bench: described(bench, "metadata/jwt-secret", {"custom_metadata": {"owner": "other"}}),
        "secrets have other metadata or settings",
    ),
    "other settings": (
        lambda bench: described(bench, "metadata/jwt-secret", {"max_versions": 9}),
        "secrets have other metadata or settings",
    ),
    "an older version lost": (
        lambda bench: described(bench, "destroy/jwt-secret", {"versions": [1]}),
        "secrets have other versions",
    ),
    "a deleted one with a value": (
        lambda bench: described(bench, "undelete/gone", {"versions": [1]}),
        "secrets that the archive does not have",
    ),
}


@pytest.mark.parametrize("damage", [None, *DESCRIBED])
async def test_what_a_vault_keeps_besides_values(bench: Bench, damage: str | None) -> None:
    """Metadata, settings of keys and versions are compared where the archive has them."""
    kv = bench.system.application
    kv.server.request("POST", f"{kv.path}/metadata/kleidia/jwt-secret", {"custom_metadata": {"owner": "me"}})
    kv.put("kleidia/jwt-secret", {"newer": True})
    kv.put("kleidia/gone", {"a": 1})
    kv.server.request("DELETE", f"{kv.path}/data/kleidia/gone")
    await bench.backup(format="v2", database=None, vault=replace(bench.system.vault, versions=0))
    change, check = (lambda _: None, "") if damage is None else DESCRIBED[damage]
    report = await bench.drill(scratch=bench.damaging(lambda: change(bench)))
    assert report.vault is not None
    assert report.vault.metadata_compared == report.vault.versions_compared == report.vault.secrets_in_archive
    if damage is None:
        assert (report.verdict, report.failures) == ("proven", ())
        (file,) = bench.system.directory.glob("backups/*.enc")
        assert report.archive.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (report.archive.store, report.archive.lock) == (bench.system.store.where, "unknown")
        assert report.environment is not None
        assert report.environment.vault_version.split(".")[0].isdigit()
    else:
        assert report.verdict == "failed"
        assert check in {failure.check for failure in report.failures}


TABLES = """
CREATE TABLE public.one (id integer, at timestamp with time zone);
COPY public.one (id, at) FROM stdin;
1\t2026-01-01 00:00:00+00
2\t2026-01-02 00:00:00+00
\\.
ALTER TABLE ONLY public.one ADD CONSTRAINT one_pkey PRIMARY KEY (id);
"""
CONTRADICTIONS = {
    "rows that it deletes again": ("DELETE FROM public.one WHERE id = 2;", "a table has another number of rows"),
    "rows that it changes again": ("UPDATE public.one SET id = 3 WHERE id = 2;", "a table has other rows"),
    "a table that it drops again": ("DROP TABLE public.one;", "a table is missing"),
    "a constraint that it spoils": (
        "UPDATE pg_catalog.pg_constraint SET convalidated = false WHERE conname = 'one_pkey';",
        "a constraint is not valid",
    ),
    "a function for which it has no table": (
        """SET check_function_bodies = false;
        CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT id FROM public.nowhere';""",
        "a routine cannot be used",
    ),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
async def test_archives_that_open_well_and_hold_less_than_they_say(bench: Bench, what: str) -> None:
    """Written by another writer: the SQL takes back what it brought."""
    more, check = CONTRADICTIONS[what]
    name = write_archive(bench.system, TABLES + more + "\n")
    report = await bench.drill(name)
    assert (report.verdict, report.cause) == ("failed", "archive"), report.reason
    assert check in {failure.check for failure in report.failures}


async def test_the_same_values_written_in_another_way_are_no_damage(bench: Bench) -> None:
    """Times of another zone, numbers with other digits, and rows of partitions in another order."""
    text = """
CREATE TABLE public.one (id integer, at timestamp with time zone, n double precision);
COPY public.one (id, at, n) FROM stdin;
1\t2026-01-01 02:00:00+02\t1.50
2\t2026-01-02 12:30:00+05:30\t1e3
\\.
CREATE TABLE public.parts (id integer) PARTITION BY HASH (id);
CREATE TABLE public.part_0 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.part_1 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
COPY public.parts (id) FROM stdin;
1
2
3
\\.
COPY public.parts (id) FROM stdin;
4
5
\\.
"""
    report = await bench.drill(write_archive(bench.system, text))
    assert (report.verdict, report.failures) == ("proven", ())
    assert report.database is not None
    assert [(table.name, table.rows_restored) for table in report.database.tables] == [
        ("public.one", 2),
        ("public.parts", 5),
    ]
    wrong = bench.damaging(lambda: bench.sql("UPDATE public.one SET n = 1.25 WHERE id = 1"))
    report = await bench.drill(write_archive(bench.system, text), scratch=wrong)
    assert [(failure.check, failure.name) for failure in report.failures] == [("a table has other rows", "public.one")]


@v2_thorough
async def test_a_changed_archive_fails(bench: Bench) -> None:
    """One byte, in the middle."""
    name = await bench.backup()
    path = bench.system.directory / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = await bench.drill()
    assert (report.verdict, report.cause) == ("failed", "archive"), report.reason
    assert report.environment is None
    assert bench.left == 0


@both_formats
async def test_checks_of_the_configuration(bench: Bench) -> None:
    """Each is held against what was restored."""
    await bench.backup()
    good = (
        DrillCheck(name="users", sql="SELECT count(*) > 0 FROM users", expect="true"),
        DrillCheck(name="number", sql="SELECT count(*) FROM notes", expect="500"),
        DrillCheck(name="key", secret="jwt-secret"),
    )
    report = await bench.drill(checks=good)
    assert report.verdict == "proven"
    assert [check.passed for check in report.checks] == [True, True, True]


BAD_CHECKS = {
    "another value": (DrillCheck(name="x", sql="SELECT count(*) FROM users", expect="51"), "50"),
    "no table": (DrillCheck(name="x", sql="SELECT 1 FROM nowhere", expect="1"), "SQLSTATE 42P01"),
    "no row": (DrillCheck(name="x", sql="SELECT 1 WHERE false", expect="1"), "no row"),
    "two columns": (DrillCheck(name="x", sql="SELECT 1, 2", expect="1"), "2 columns"),
    "it writes": (DrillCheck(name="x", sql="DELETE FROM users RETURNING 1", expect="1"), "SQLSTATE 25006"),
    "no secret": (DrillCheck(name="x", secret="jwt-secre"), "not there"),
}


@pytest.mark.parametrize("what", BAD_CHECKS)
async def test_a_check_that_does_not_pass(bench: Bench, what: str) -> None:
    """The verdict is failed, and due to the check."""
    check, found = BAD_CHECKS[what]
    await bench.backup()
    report = await bench.drill(checks=(check,))
    assert (report.verdict, report.cause, report.failures) == ("failed", "check", ())
    assert [(each.name, each.found, each.passed) for each in report.checks] == [("x", found, False)]
