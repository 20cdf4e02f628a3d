"""Jobs in processes that are killed: at random moments, and where it hurts. What they leave is whole, or nothing."""

from __future__ import annotations

import os
import random
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Literal, TypeAlias

import anyio
import psutil
import pytest

from kleidia_backup import DirectorySettings, S3Settings
from kleidia_backup.pipeline.undo import undo_restore
from kleidia_backup.stages.archive.download import read_range
from kleidia_backup.stages.errors import UnfinishedRestore
from kleidia_backup.stages.vault.undo.journal import unfinished

from ..archive_format import both_formats, current
from ..stores.faults import operation
from .judging import Job, Settings, run
from .killable import Killable
from .proxy import Strike, http_proxy, pg_proxy, stall, vault_operation
from .site import PART, PASSWORD, PREFIX, Site, contents

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left", "as_expected")]

Server: TypeAlias = Literal["postgres", "vault", "store"]


def restoring(site: Site, settings: Settings) -> dict[str, Any]:
    """The arguments of a restore from the directory, where a real key opens the archive."""
    servers = {"database": settings.database, "vault": settings.vault}
    return {**servers, "store": site.directory_settings(), "password": PASSWORD, "state": site.journal}


def backing_up(settings: Settings, store: S3Settings | DirectorySettings) -> dict[str, Any]:
    """The arguments of a backup."""
    part = PART if isinstance(store, S3Settings) else 64 * 1024
    servers = {"database": settings.database, "vault": settings.vault}
    return {**servers, "store": store, "password": PASSWORD, "part_size": part, "format": current()}


def direct(site: Site) -> Settings:
    """Settings that lead to each server without a detour. No limit is near: a job may end by being killed alone."""
    database, vault = site.database.settings(connect_timeout=60), site.vault_settings(patient=True)
    return Settings(database, vault, site.store_settings(operation_timeout=60.0, read_timeout=60.0))


def nobody_works_on(site: Site) -> None:
    """Wait until the children of a killed job have ended, which nobody tells to: their pipes do."""
    named = [each for each in psutil.process_iter(["cmdline"]) if f"dbname={site.database.name}" in str(each.info)]
    assert all(has_ended(each) for each in named)
    site.database.nobody_holds_it()


def has_ended(process: psutil.Process) -> bool:
    """Whether a process ends within ten seconds; whoever inherited it may take longer to notice."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


async def judge_restore(site: Site, settings: Settings) -> str:
    """The database is as before, to the row, or as in the archive; so are the secrets, when they were put back."""
    nobody_works_on(site)
    database, _ = site.state()
    restored = database == site.original[0]
    assert restored or database == site.wrecked[0]
    left = unfinished(site.journal)
    if left:
        _, refused = await run("restore", site, direct(site))
        assert isinstance(refused.error, UnfinishedRestore)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kleidia_backup.stages.vault.undo.undo.LATE_ARRIVAL", 0.2)
            undone = await undo_restore(vault=settings.vault, database=settings.database, state=site.journal)
        assert (undone.left_count, undone.committed) == (0, restored)
    assert site.state() == (site.original if restored else site.wrecked)
    if restored:
        site.wreck_database()
        site.wreck_vault()
    return f"{'restored' if restored else 'as before'}{', after an undo' if left else ''}"


async def judge_backup(site: Site, store: S3Settings | DirectorySettings) -> str:
    """No archive is there, or a whole one; what was begun goes with the next backup (after a day; here at once)."""
    nobody_works_on(site)
    assert site.state() == site.wrecked
    async with store.open() as target:
        stale = await target.abort_stale(timedelta(0))
        archives = [info async for info in target.list(PREFIX) if info.name not in site.archives]
        for info in archives:
            assert contents(await read_range(target, info, 0, info.size), quick=False) == site.content
            await target.delete(info.name)
    assert site.uploads() == []
    assert site.keys() == site.archives
    if isinstance(store, DirectorySettings):
        assert not [path for path in store.path.rglob("*") if path.is_file()]
    assert len(archives) + stale <= 1
    return "a whole archive" if archives else "an upload, aborted" if stale else "nothing"


# At random -----------------------------------------------------------------------------------------------------------


async def at_random(
    sites: list[Site],
    killable: list[Killable],
    job: Job,
    options: Callable[[Site], dict[str, Any]],
    judge: Callable[[Site], Awaitable[str]],
    *,
    count: int,
) -> list[str]:
    """Kill the job at many moments, spread over the time that it takes undisturbed; what was there each time."""
    ends: list[str] = []
    for _ in range(2):  # the first one finds everything cold
        began = monotonic()
        async with killable[0].run(job, sites[0].archive, options(sites[0])) as ended:
            await ended()
        seconds = monotonic() - began
        ends.append(await judge(sites[0]))
    chance = random.Random(20251222)
    # Several at the same time take longer.
    moments = [1.3 * seconds * (number + chance.random()) / count for number in range(count)]

    async def lane(site: Site, victim: Killable) -> None:
        while moments:
            moment = moments.pop()
            async with victim.run(job, site.archive, options(site)) as ended:
                with anyio.move_on_after(moment):
                    await ended()
            ends.append(await judge(site))

    async with anyio.create_task_group() as tasks:
        for site, victim in zip(sites, killable, strict=True):
            tasks.start_soon(lane, site, victim)
    return ends


@both_formats
async def test_restore_at_random(sites: list[Site], killable: list[Killable]) -> None:
    """Never in between, no lock, and the next restore works."""
    ends = await at_random(
        sites,
        killable,
        "restore",
        lambda site: restoring(site, direct(site)),
        lambda site: judge_restore(site, direct(site)),
        count=15,
    )
    assert ends[:2] == 2 * ["restored"]
    assert ends.count("as before") > 1


@both_formats
@pytest.mark.parametrize("kind", ["s3", "directory"])
async def test_backup_at_random(kind: str, sites: list[Site], killable: list[Killable], tmp_path: Path) -> None:
    """No archive is visible that is not whole."""

    def store(site: Site) -> S3Settings | DirectorySettings:
        return site.store_settings() if kind == "s3" else DirectorySettings(tmp_path / site.bucket.name, PREFIX)

    for site in sites:
        (tmp_path / site.bucket.name).mkdir()
    ends = await at_random(
        sites,
        killable,
        "backup",
        lambda site: backing_up(direct(site), store(site)),
        lambda site: judge_backup(site, store(site)),
        count=7,
    )
    assert ends[:2] == 2 * ["a whole archive"]
    assert ends.count("nothing") > 1


# Where it hurts ------------------------------------------------------------------------------------------------------

Release: TypeAlias = Callable[[], Awaitable[None]]


@asynccontextmanager
async def stalled(site: Site, server: Server, plan: Strike) -> AsyncIterator[tuple[Settings, Release]]:
    """Settings with one server that falls silent at a message, and a function that lets it speak again."""
    settings = direct(site)
    if server == "postgres":
        async with pg_proxy("127.0.0.1", site.database.server.port) as postgres:
            postgres.plan = (plan, "client" if plan.only.startswith("Q") else "server", "stall")
            yield (
                replace(settings, database=site.database.settings(postgres.listens, connect_timeout=60)),
                postgres.release,
            )
        return
    vault = server == "vault"
    async with http_proxy(
        site.vault.address if vault else site.bucket.server.endpoint, vault_operation if vault else operation
    ) as proxy:
        proxy.plan = (plan, stall)

        async def release() -> None:
            proxy.plan = None

        if vault:
            yield replace(settings, vault=site.vault_settings(proxy.endpoint, patient=True)), release
        else:
            yield replace(settings, store=site.store_settings(proxy.endpoint)), release


@both_formats
@pytest.mark.parametrize(
    ("server", "message", "number", "end"),
    [
        ("vault", "POST data", 0, "as before, after an undo"),
        ("vault", "POST data", 8, "as before, after an undo"),
        ("postgres", "Q COMMIT", 0, "as before, after an undo"),
        ("postgres", "C COMMIT", 0, "restored, after an undo"),
    ],
)
async def test_restore_where_it_hurts(
    server: Server, message: str, number: int, end: str, sites: list[Site], killable: list[Killable]
) -> None:
    """While it writes secrets, before COMMIT arrives, before its answer does."""
    site, plan = sites[0], Strike({number}, only=message)
    async with stalled(site, server, plan) as (settings, release):
        async with killable[0].run("restore", site.archive, restoring(site, settings)):
            await plan.struck.wait()
        await release()
        assert await judge_restore(site, settings) == end


@both_formats
@pytest.mark.parametrize(
    ("server", "message", "number", "end"),
    [
        ("postgres", "d", 5, "nothing"),
        ("store", "CreateMultipartUpload", 0, "nothing"),
        ("store", "UploadPart", 2, "an upload, aborted"),
        ("store", "CompleteMultipartUpload", 0, "an upload, aborted"),
        ("store", "HeadObject", 3, "a whole archive"),
    ],
)
async def test_backup_where_it_hurts(
    server: Server, message: str, number: int, end: str, sites: list[Site], killable: list[Killable]
) -> None:
    """While it dumps, begins an upload, sends a part, ends the upload, looks at what is there."""
    site, plan = sites[0], Strike({number}, only=message)
    async with stalled(site, server, plan) as (settings, release):
        async with killable[0].run("backup", "", backing_up(settings, settings.store)):
            await plan.struck.wait()
        await release()
        assert await judge_backup(site, site.store_settings()) == end
