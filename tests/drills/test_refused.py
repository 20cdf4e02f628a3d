"""What a drill does not do, and what it says of servers that are unfit: nothing about the archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup import ConfigurationError, DrillCheck, Root, Scratch
from kleidia_backup.formats.facts import Facts
from kleidia_backup.pipeline.drills.kept import check_reports
from kleidia_backup.stages.errors import ObjectMissing

from ..archive_format import both_formats
from ..pipelines.test_plan import write_archive
from .conftest import Bench, nothing

pytestmark = pytest.mark.anyio


@both_formats
@pytest.mark.parametrize("part", ["database", "vault folder", "whole mount"])
async def test_what_is_backed_up_is_never_written_to(bench: Bench, part: str) -> None:
    """Neither under another address; it says so before anything is written, and no report is kept."""
    await bench.backup()
    rows, secrets = bench.system.rows(), bench.system.secrets()
    live = bench.system
    # Another name for the same server.
    database = replace(live.postgres, conninfo=make_conninfo(live.conninfo, host="localhost"))
    vault = replace(live.vault, address=live.vault.address.replace("127.0.0.1", "localhost"))
    folder = {"vault folder": "kleidia/below", "whole mount": ""}.get(part, "")
    every: dict[str, dict[str, Any]] = {
        "database": {"database": database},
        "vault folder": {"vault": replace(vault, roots=(Root("", live.application.path, folder),))},
        "whole mount": {"vault": replace(vault, roots=(Root("", live.yubikeys.path, folder),))},
    }
    changes = every[part]
    for own in (True, False):
        with pytest.raises(ConfigurationError, match="never writes to what is backed up"):
            await bench.drill(scratch=bench.scratch(**changes, own=own))
    assert (live.rows(), live.secrets()) == (rows, secrets)
    assert not bench.reports.exists()
    assert bench.left == 2


async def test_a_live_system_that_does_not_say_who_it_is(bench: Bench) -> None:
    """It might be the scratch one: refused, unless that was started for the drill."""
    await bench.backup()
    gone = replace(bench.system.postgres, conninfo=make_conninfo(bench.system.conninfo, port="1"))
    with pytest.raises(ConfigurationError, match="Nobody can tell"):
        await bench.drill(database=gone, scratch=bench.scratch(own=False))
    assert bench.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert (await bench.drill(database=gone)).verdict == "proven"


async def test_servers_that_lack_something(bench: Bench) -> None:
    """An extension: the environment is unfit, and nothing was restored."""
    name = write_archive(bench.system, "CREATE EXTENSION IF NOT EXISTS nowhere_to_be_found;\n")
    report = await bench.drill(name)
    assert (report.verdict, report.cause) == ("inconclusive", "environment")
    assert "nowhere_to_be_found" in report.reason
    assert "says nothing about the archive" in report.next_step
    assert bench.left == 1


async def test_a_role_without_rights(bench: Bench) -> None:
    """It cannot restore: the environment again."""
    await bench.backup(vault=None)
    with psycopg.connect(bench.database.full_conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS drill_poor")
        connection.execute("CREATE ROLE drill_poor LOGIN PASSWORD 'poor'")
    try:
        poor = replace(
            bench.database, conninfo=make_conninfo(bench.database.conninfo, user="drill_poor", password="poor")
        )
        report = await bench.drill(scratch=bench.scratch(database=poor, own=False))
    finally:
        bench.sql("DROP ROLE drill_poor")
    assert (report.verdict, report.cause) == ("inconclusive", "environment")
    assert report.database is None


async def test_no_server_for_a_part(bench: Bench) -> None:
    """Half a drill proves nothing."""
    await bench.backup()
    report = await bench.drill(scratch=bench.scratch(vault=None))
    assert (report.verdict, report.cause) == ("inconclusive", "environment")


async def test_a_wrong_password_and_too_little_time(bench: Bench) -> None:
    """Neither says anything about the archive."""
    await bench.backup()
    report = await bench.drill(password="not the one")
    assert (report.verdict, report.cause) == ("inconclusive", "password")

    async def slow() -> None:
        await anyio.sleep(60)

    report = await bench.drill(scratch=bench.scratch(slow), timeout=8.0)
    assert (report.verdict, report.cause) == ("inconclusive", "time limit")
    assert bench.left == 1


async def test_a_drill_that_is_cancelled(bench: Bench) -> None:
    """It cleans up, and leaves a report that says so."""
    await bench.backup()

    async def stop() -> None:
        scope.cancel()
        await anyio.sleep(60)

    with anyio.CancelScope() as scope:
        await bench.drill(scratch=bench.scratch(stop))
    assert scope.cancelled_caught
    assert bench.left == 1
    assert [each.verdict for each in check_reports(bench.reports)] == ["inconclusive"]


async def test_there_is_no_such_archive(bench: Bench) -> None:
    """Nothing to report on."""
    with pytest.raises(ObjectMissing):
        await bench.drill()
    await bench.backup()
    with pytest.raises(ObjectMissing):
        await bench.drill("backup-nowhere.enc")


async def test_what_cannot_be_cleaned_up_is_said(bench: Bench) -> None:
    """The verdict stands."""
    await bench.backup()
    inner = bench.scratch(nothing)

    @asynccontextmanager
    async def make(facts: Facts, needed: int) -> AsyncIterator[Scratch]:
        async with inner(facts, needed) as made:
            yield made
        raise ConfigurationError("The scratch mount stays.", hint="Remove it.")

    report = await bench.drill(scratch=make)
    assert (report.verdict, report.cleaned_up) == ("proven", False)
    assert report.left_behind == "The scratch mount stays. Remove it."


@pytest.mark.parametrize(
    "given",
    [{"name": "x"}, {"name": "", "sql": "SELECT 1", "expect": "1"}, {"name": "x", "sql": "SELECT 1", "secret": "y"}],
)
def test_checks_that_cannot_be_used(given: dict[str, str]) -> None:
    """Neither of both, or both."""
    with pytest.raises(ConfigurationError, match=r"drill\.checks"):
        DrillCheck(**given)
