"""The database that PostgreSQL's own regression tests leave behind comes back the same, as pg_upgrade is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kleidia_backup import DirectorySettings, backup, diff, restore, verify
from kleidia_backup.pipeline.plan import plan_restore

from ..dumps import count_rows, difference, dump
from .conftest import LeftBehind

pytestmark = [
    pytest.mark.regress,
    pytest.mark.anyio,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("wheels_tools"),
]

PASSWORD = "correct horse battery staple"
GetLeftBehind = Callable[[int], LeftBehind]


def test_the_scripts_do_what_they_do_for_postgresql(regression: int, left_behind: GetLeftBehind) -> None:
    """All but a handful give the very output that PostgreSQL expects, so the database is the one that is meant."""
    made = left_behind(regression)
    assert made.scripts > 200
    assert len(made.others) < 5, made.others


@pytest.mark.parametrize("place", ["empty", "itself"])
async def test_the_regression_database_comes_back(
    regression: int,
    place: str,
    left_behind: GetLeftBehind,
    new_database_of: Callable[..., str],
    store: DirectorySettings,
) -> None:
    """Backup, verification and dry run say yes, and pg_dump says the same before and after, to the last row."""
    made = left_behind(regression)
    before = dump(made.conninfo, any_column_order=True)
    settings = made.version.settings(made.conninfo)
    archive = await backup(database=settings, store=store, password=PASSWORD)
    checked = await verify(archive.name, store=store, password=PASSWORD)
    assert checked.rows == count_rows(before)
    target = made.conninfo
    if place == "empty":
        target = new_database_of(made.version.server, "TEMPLATE template0")
    plan = await plan_restore(archive.name, database=made.version.settings(target), store=store, password=PASSWORD)
    assert plan.blockers == ()
    await restore(archive.name, database=made.version.settings(target), store=store, password=PASSWORD)
    assert not difference(before, dump(target, any_column_order=True))


async def test_nothing_is_different_right_after_a_backup(
    regression: int, left_behind: GetLeftBehind, store: DirectorySettings
) -> None:
    """Between archives of both formats, and the database as it is."""
    made = left_behind(regression)
    database = made.version.settings(made.conninfo)
    one = await backup(database=database, store=store, password=PASSWORD, format="v1")
    two = await backup(database=database, store=store, password=PASSWORD, format="v2")
    for name, other in ((one.name, None), (two.name, None), (one.name, two.name)):
        report = await diff(name, other, database=database, store=store, password=PASSWORD)
        assert report.equal, report
