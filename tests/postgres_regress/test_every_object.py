"""A database with an object of every kind, by statements of ours: on every version that this machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from kleidia_backup import DirectorySettings, backup, diff, restore, verify
from kleidia_backup.pipeline.parts.request import Format
from kleidia_backup.pipeline.plan import plan_restore

from ..clusters import Version
from ..dumps import count_rows, difference, dump, run_script
from ..versions.conftest import schema

pytestmark = [
    pytest.mark.regress,
    pytest.mark.anyio,
    pytest.mark.usefixtures("wheels_tools"),
]

PASSWORD = "correct horse battery staple"
EVERY_OBJECT = Path(__file__).parent / "every_object.sql"
OWN_PG_DUMP = Path(__file__).parent / "own_pg_dump.sql"
GetVersion = Callable[[int], Version]
NewDatabase = Callable[..., str]

#: The rows of preserved tables are in no archive.
_WITHOUT = "--exclude-table-data=backup_jobs"

#: Catalogs of the whole server, of which a dump of one database holds nothing.
_OF_THE_SERVER = {"pg_authid", "pg_auth_members", "pg_database", "pg_tablespace", "pg_parameter_acl"}

#: Each letter by which a catalog tells kinds apart, and the letters that must be there. What only newer versions have
#: stands with that version.
_KINDS: dict[tuple[str, str], dict[int, str]] = {
    ("pg_class", "relkind"): {13: "rStivmcfpI"},
    ("pg_class", "relpersistence"): {13: "pu"},
    ("pg_class", "relreplident"): {13: "dfi"},
    ("pg_proc", "prokind"): {13: "fapw"},
    ("pg_proc", "provolatile"): {13: "isv"},
    ("pg_proc", "proparallel"): {13: "sru"},
    ("pg_type", "typtype"): {13: "bcderp", 14: "m"},
    ("pg_constraint", "contype"): {13: "cfpuxt", 18: "n"},
    ("pg_constraint", "confdeltype"): {13: "acrnd"},
    ("pg_constraint", "confmatchtype"): {13: "fs"},
    ("pg_partitioned_table", "partstrat"): {13: "rlh"},
    ("pg_attribute", "attidentity"): {13: "ad"},
    ("pg_attribute", "attgenerated"): {13: "s", 18: "v"},
    ("pg_trigger", "tgenabled"): {13: "ODRA"},
    ("pg_rewrite", "ev_type"): {13: "1234"},
    ("pg_policy", "polcmd"): {13: "*aw"},
    ("pg_event_trigger", "evtenabled"): {13: "ODRA"},
    ("pg_cast", "castcontext"): {13: "aie"},
    ("pg_cast", "castmethod"): {13: "fib"},
    ("pg_default_acl", "defaclobjtype"): {13: "rSfTn", 18: "L"},
    ("pg_collation", "collprovider"): {13: "c", 17: "b"},
    ("pg_am", "amtype"): {13: "it"},
}


def _load(version: Version, conninfo: str) -> None:
    run_script(conninfo, schema(version.major))
    run_script(conninfo, EVERY_OBJECT.read_text(encoding="utf-8"))
    if version.installation.pg_dump:
        run_script(conninfo, OWN_PG_DUMP.read_text(encoding="utf-8"))


def test_there_is_an_object_of_every_kind(major: int, version: GetVersion, new_database_of: NewDatabase) -> None:
    """Every catalog with objects has one of ours, and so has every letter that tells kinds apart within one."""
    this = version(major)
    conninfo = new_database_of(this.server)
    _load(this, conninfo)
    others = _OF_THE_SERVER if this.installation.pg_dump else _OF_THE_SERVER | {"pg_subscription"}
    with psycopg.connect(conninfo) as connection:
        catalogs = connection.execute(
            "SELECT relname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'oid'"
            " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
        ).fetchall()
        assert len(catalogs) > 30
        for (catalog,) in catalogs:
            if catalog not in others:
                found = connection.execute(f"SELECT FROM {catalog} WHERE oid >= 16384 LIMIT 1".encode()).fetchall()
                assert found, f"nothing of ours in {catalog}"
        for (catalog, column), letters in _KINDS.items():
            own = "attrelid" if catalog == "pg_attribute" else "partrelid" if column == "partstrat" else "oid"
            question = f"SELECT DISTINCT {column}::text FROM {catalog} WHERE {own} >= 16384"
            there = {letter for (letter,) in connection.execute(question.encode())}
            wanted = {letter for since, known in letters.items() if since <= major for letter in known}
            assert wanted <= there, (catalog, column, wanted - there)


@pytest.mark.parametrize("place", ["empty", "itself", "empty, by several jobs"])
async def test_every_object_comes_back(
    major: int, place: str, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Backup, verification and dry run say yes, and pg_dump says the same before and after, to the last row.

    The archive is made by the server's own pg_dump where there is one.
    """
    this = version(major)
    source = new_database_of(this.server)
    _load(this, source)
    before = dump(source, any_column_order=True)
    moved = dump(source, _WITHOUT, any_column_order=True)
    database = this.settings(source, this.installation.pg_dump)
    if several := place.endswith("jobs"):  # every table of a page is a large one
        run_script(source, "VACUUM")
        database = replace(database, jobs=4, large_table=1)
    made = await backup(database=database, store=store, password=PASSWORD, format="v2" if several else "v1")
    assert several == any(stage.name == "pg_dump rows" for stage in made.stages)
    checked = await verify(made.name, store=store, password=PASSWORD)
    assert checked.rows == count_rows(moved)
    empty = place != "itself"
    target = new_database_of(this.server) if empty else source
    plan = await plan_restore(made.name, database=this.settings(target), store=store, password=PASSWORD)
    assert plan.blockers == ()
    await restore(made.name, database=this.settings(target), store=store, password=PASSWORD)
    after = dump(target, *([_WITHOUT] if empty else []), any_column_order=True)
    assert not difference(moved if empty else before, after)


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_nothing_is_different_right_after_a_backup(
    major: int, archive_format: Format, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """Between the archive and the database as it is, whatever objects it has."""
    this = version(major)
    source = new_database_of(this.server)
    _load(this, source)
    database = this.settings(source, this.installation.pg_dump)
    made = await backup(database=database, store=store, password=PASSWORD, format=archive_format)
    report = await diff(made.name, database=database, store=store, password=PASSWORD)
    assert report.equal, report
