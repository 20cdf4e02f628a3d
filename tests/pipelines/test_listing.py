"""Listings by when archives were made, and ``latest``: one archive, however often it was touched since."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup import (
    ConfigurationError,
    Known,
    backup,
    contents,
    convert,
    delete,
    download,
    inspect,
    list_archives,
    presign,
    verify,
    verify_password,
)
from kleidia_backup.pipeline.archives.listing import newest_in
from kleidia_backup.stages.errors import ObjectMissing

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

_DAY = timedelta(days=1)


@pytest.fixture
async def three(system: System) -> list[str]:
    """One archive under three names: of a year ago, of yesterday, and under a name of its own with today's head.

    That of a year ago was touched last, as a change of its slots does.
    """
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD, name="mine.enc", format="v2")
    now = datetime.now(UTC)
    names = [f"backups/backup-vault-{now - age:%Y%m%d-%H%M%S}.enc" for age in (365 * _DAY, _DAY)]
    for name, touched in zip(names, (now + timedelta(minutes=1), now - _DAY), strict=True):
        shutil.copy(system.directory / made.name, system.directory / name)
        os.utime(system.directory / name, (touched.timestamp(), touched.timestamp()))
    (system.directory / "backups/backup-folder").mkdir()
    shutil.copy(system.directory / made.name, system.directory / "backups/backup-folder/other.enc")
    return [names[0], names[1], made.name]


async def test_newest_is_what_was_made_last(system: System, three: list[str]) -> None:
    """Not what was touched last, nor a file that is no archive, nor one in a folder below."""
    (system.directory / "backups/rubbish.enc").write_bytes(b"rubbish")
    os.utime(system.directory / "backups/rubbish.enc", (2**31, 2**31))
    assert await newest_in(system.store) == three[2]
    await delete(three[2], system.store)
    assert await newest_in(system.store) == three[1]
    await delete("latest", system.store)
    assert await newest_in(system.store) == three[0]
    await delete("latest", system.store)
    with pytest.raises(ObjectMissing) as caught:
        await newest_in(system.store)
    assert "latest" in caught.value.message


async def test_every_function_takes_latest(system: System, three: list[str]) -> None:
    """As it takes the name."""
    store, newest = system.store, three[2]
    assert (await inspect("latest", store))[0].name == newest
    assert (await verify("latest", store=store, password=PASSWORD)).name == newest
    assert (await verify_password("latest", store=store, password=PASSWORD)).name == newest
    assert (await contents("latest", store=store, password=PASSWORD)).name == newest
    size = await download("latest", system.directory / "copy", store)
    assert size == (system.directory / newest).stat().st_size
    with pytest.raises(ConfigurationError):  # it was found; a directory has no URLs
        await presign("latest", store)
    made = await convert("latest", store=store, format="v1", password=PASSWORD)
    assert made.source == newest


async def test_a_listing_says_what_it_knows(system: System, three: list[str]) -> None:
    """Newest first, when each was made, and nothing that nobody said."""
    found = await list_archives(system.store)
    assert [each.name for each in found] == three[::-1]
    assert {each.backup_type for each in found} == {"vault"}
    made = [each.created_at for each in found]
    assert all(each is not None for each in made)
    assert all(each.known == Known(pinned=False) for each in found)
    assert Known().pinned is None
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    (first, *others) = await list_archives(system.store, records={three[2]: Known(verified=moment, copies=())})
    assert (first.known.verified, first.known.copies, first.known.proven) == (moment, (), None)
    assert all(each.known == Known(pinned=False) for each in others)


async def test_type_since_and_limit_choose(system: System, three: list[str]) -> None:
    """Alone and together; the moment is that of the backup, not of the store's last change."""
    store, now = system.store, datetime.now(UTC)
    assert await list_archives(store, backup_type="full") == []
    assert [each.name for each in await list_archives(store, backup_type="vault", limit=1)] == [three[2]]
    assert [each.name for each in await list_archives(store, since=now - 2 * _DAY)] == [three[2], three[1]]
    (system.directory / "backups/rubbish.enc").write_bytes(b"rubbish")
    assert [each.name for each in await list_archives(store, since=now - 2 * _DAY)] == [three[2], three[1]]
    rubbish = next(each for each in await list_archives(store) if each.name.endswith("rubbish.enc"))
    assert (rubbish.created_at, rubbish.backup_type) == (None, "")


async def test_junk_hides_no_archive(system: System, three: list[str]) -> None:
    """Names of ours with other contents, as many as a page has and newer than all: a page of archives is shown."""
    for number in range(40):
        name = f"backups/backup-full-20990101-0000{number:02}.enc"
        (system.directory / name).write_bytes(b"KLEIDIA_BACKUP_V1, or so" * number)
    found = await list_archives(system.store, limit=2)
    assert [each.name for each in found] == [three[2], three[1]]
    assert [each.name for each in await list_archives(system.store, limit=40)] == three[::-1]
    assert await newest_in(system.store) == three[2]
