"""Archives of one version in a server of another: up they work, down they work or are refused whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from kleidia_backup import DirectorySettings, KleidiaError, PostgresSettings, backup, restore
from kleidia_backup.pipeline.plan import plan_restore

from ..clusters import Version
from ..dumps import difference, dump, rows, run_script
from .conftest import schema

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("wheels_tools")]

PASSWORD = "correct horse battery staple"
GetVersion = Callable[[int], Version]
NewDatabase = Callable[..., str]


@dataclass(frozen=True)
class Archived:
    """An archive of all that a version knows, and the rows that are in it."""

    name: str
    store: DirectorySettings
    rows: list[str]


ArchiveOf = Callable[[Version], Awaitable[Archived]]


@pytest.fixture(scope="session")
def archives() -> dict[int, Archived]:
    """The archives of each version that were made already."""
    return {}


@pytest.fixture
def archive_of(
    archives: dict[int, Archived], new_database_of: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> ArchiveOf:
    """Gives the archive of a version; it is made once."""

    async def get(this: Version) -> Archived:
        if this.major not in archives:
            source, store = new_database_of(this.server), DirectorySettings(tmp_path_factory.mktemp("archives"))
            run_script(source, schema(this.major))
            made = await backup(database=this.settings(source), store=store, password=PASSWORD)
            archives[this.major] = Archived(made.name, store, of_archive(source))
        return archives[this.major]

    return get


def of_archive(conninfo: str) -> list[str]:
    """The rows that an archive has: all but those of preserved tables, and the sequence of their keys."""
    return [line for line in rows(conninfo) if "backup_jobs" not in line]


async def _refused(name: str, target: PostgresSettings, store: DirectorySettings) -> KleidiaError | None:
    try:
        await restore(name, database=target, store=store, password=PASSWORD)
    except KleidiaError as error:
        return error
    return None


async def test_an_older_archive_in_a_newer_server(
    older: int,
    newer: int,
    version: GetVersion,
    new_database_of: NewDatabase,
    archive_of: ArchiveOf,
) -> None:
    """Every row, sequence value and large object arrives, in an empty database and over the newer version's own."""
    old, new = version(older), version(newer)
    archive = await archive_of(old)
    empty, used = (new_database_of(new.server) for _ in range(2))
    run_script(used, schema(old.major))
    run_script(used, "DELETE FROM app.people WHERE id BETWEEN 50 AND 150")
    for conninfo in (empty, used):
        target = new.settings(conninfo)
        plan = await plan_restore(archive.name, database=target, store=archive.store, password=PASSWORD)
        assert plan.blockers == ()
        await restore(archive.name, database=target, store=archive.store, password=PASSWORD)
        assert not difference(archive.rows, of_archive(conninfo))


async def test_a_newer_archive_in_an_older_server(
    older: int,
    newer: int,
    version: GetVersion,
    new_database_of: NewDatabase,
    archive_of: ArchiveOf,
) -> None:
    """It is restored whole, or refused with both versions named and the database as it was; the dry run warns."""
    old, new = version(older), version(newer)
    archive = await archive_of(new)
    used = new_database_of(old.server)
    run_script(used, schema(old.major))
    before = dump(used)
    target = old.settings(used)
    plan = await plan_restore(archive.name, database=target, store=archive.store, password=PASSWORD)
    said = " ".join((*plan.blockers, *plan.warnings))
    assert str(older) in said
    assert str(newer) in said
    if refused := await _refused(archive.name, target, archive.store):
        assert str(newer) in str(refused), refused
        assert "\n" not in refused.message
        assert not difference(before, dump(used))
    else:
        assert not difference(archive.rows, of_archive(used))


async def test_what_both_versions_know_goes_down(
    older: int, newer: int, version: GetVersion, new_database_of: NewDatabase, store: DirectorySettings
) -> None:
    """A schema without anything that the older version lacks: every row arrives, or nothing is changed."""
    old, new = version(older), version(newer)
    source, used = new_database_of(new.server), new_database_of(old.server)
    run_script(
        source,
        "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 50) i;"
        "CREATE TABLE u (t int REFERENCES t); INSERT INTO u VALUES (1); CREATE VIEW v AS SELECT id FROM t",
    )
    run_script(used, "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (0, 'live')")
    before = dump(used)
    made = await backup(database=new.settings(source), store=store, password=PASSWORD)
    if refused := await _refused(made.name, old.settings(used), store):
        assert str(newer) in str(refused), refused
        assert not difference(before, dump(used))
    else:
        assert not difference(rows(source), rows(used))
