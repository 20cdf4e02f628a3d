"""A prefix is a folder: what lies directly in it is ours, what lies below or beside it is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, S3Settings, delete, list_archives, restore, verify
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.formats.errors import NotAnArchive
from kleidia_backup.service.control.backup_settings import BackupSettings, changed

from ..archive_format import backup
from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

Store = DirectorySettings | S3Settings


@pytest.fixture(params=["directory", "moto"])
def under(request: pytest.FixtureRequest, system: System, bucket: Bucket) -> Callable[[str], Store]:
    """The same place with another prefix."""

    def made(prefix: str) -> Store:
        if request.param == "directory":
            return DirectorySettings(system.directory, prefix)
        return S3Settings(
            bucket.name,
            endpoint=bucket.server.endpoint,
            region="us-east-1",
            prefix=prefix,
            access_key_id=bucket.server.access_key,
            secret_access_key=bucket.server.secret_key,
            path_style=True,
        )

    return made


async def test_neither_folders_below_nor_names_beside_are_listed(system: System, under: Callable[[str], Store]) -> None:
    """Each of four installations sees its own archives only, with a slash in its configuration or without."""
    made = {}
    for prefix in ("app/", "app/sub/", "apple", ""):
        made[prefix] = (await backup(vault=system.vault, store=under(prefix), password=PASSWORD)).name
    assert [name.rpartition("backup-")[0] for name in made.values()] == ["app/", "app/sub/", "apple/", ""]
    for prefix, name in made.items():
        for written in {prefix, prefix.rstrip("/")}:
            assert [each.name for each in await list_archives(under(written))] == [name]
            assert (await verify(name, store=under(written), password=PASSWORD)).name == name
    with pytest.raises(NotAnArchive, match="folder below"):
        await delete(made["app/sub/"], under("app/"))
    with pytest.raises(NotAnArchive, match="folder below"):
        await delete(made["app/sub/"].removeprefix("app/"), under("app"))
    await delete(made["app/"], under("app"))
    assert await list_archives(under("app")) == []
    assert len(await list_archives(under("app/sub"))) == 1


async def test_a_name_with_a_folder_is_refused(system: System, under: Callable[[str], Store]) -> None:
    """No listing would show it. With the prefix before it a name is as good as without."""
    for name in ("sub/mine.enc", "app/sub/mine.enc"):
        with pytest.raises(ConfigurationError, match="has a folder"):
            await backup(vault=system.vault, store=under("app"), password=PASSWORD, name=name)
    assert await list_archives(under("")) == []
    made = await backup(vault=system.vault, store=under("app"), password=PASSWORD, name="app/mine.enc")
    assert [each.name for each in await list_archives(under("app"))] == [made.name] == ["app/mine.enc"]
    await restore("mine.enc", vault=system.vault, store=under("app"), password=PASSWORD)


@pytest.mark.parametrize("prefix", ["/abs/", "/", "a//b/", "../a/", "a/./b", "a/..", "a\0b/"])
async def test_what_is_no_folder_is_refused(system: System, under: Callable[[str], Store], prefix: str) -> None:
    """Before the store is asked: one line that says what a prefix looks like."""
    with pytest.raises(ConfigurationError) as caught:
        under(prefix)
    assert "relative" in caught.value.hint or "a folder such as" in caught.value.hint


def test_the_services_prefix_is_a_folder_too() -> None:
    """Saved without its slash, it is stored with it."""
    assert changed(BackupSettings(), {"prefix": "team"}).prefix == "team/"
    assert changed(BackupSettings(), {"prefix": ""}).prefix == ""
    assert replace(BackupSettings(bucket="b"), prefix="old").s3("").prefix == "old/"
