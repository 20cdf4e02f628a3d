"""What is the directory's own: names, rights, links, full disks, and what reaches the disk when."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from kleidia_backup.stages.errors import (
    BucketMissing,
    ConfigurationError,
    KleidiaError,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)
from kleidia_backup.stages.stores.directory.store import DirectorySettings, DirectoryStore

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

PREFIX = "backups/"
NAME = f"{PREFIX}backup-full-20260117-120000.enc"


@pytest.fixture
async def store(store_directory: Path) -> AsyncIterator[DirectoryStore]:
    async with DirectoryStore(DirectorySettings(store_directory, PREFIX)) as entered:
        yield entered


def files(root: Path) -> list[str]:
    """Everything that is no folder, hidden files too."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


async def read(store: DirectoryStore, name: str) -> bytes:
    async with store.get(name) as body:
        return b"".join([chunk async for chunk in body])


def failing(code: int) -> Callable[..., int]:
    """A system call that fails."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


# Names --------------------------------------------------------------------------------------------------------

BAD = ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/./b", "folder/", ".hidden", "a/.hidden", "a\0b"]


@pytest.mark.parametrize("name", BAD)
async def test_names_that_lead_elsewhere(store: DirectoryStore, name: str) -> None:
    """Refused by every method before anything is touched."""
    attempts = (
        store.head(name),
        store.put(name, bytearray(b"x")),
        store.create(name, part_size=10),
        store.delete(name),
        read(store, name),
    )
    for attempt in attempts:
        with pytest.raises(ConfigurationError):
            await attempt


@pytest.mark.parametrize("prefix", ["/", "/abs/", "../", "a/../", ".hidden", "a//"])
async def test_prefixes_that_lead_elsewhere(store_directory: Path, prefix: str) -> None:
    """Refused when the settings are made."""
    with pytest.raises(ConfigurationError):
        DirectorySettings(store_directory, prefix)


async def test_a_name_that_is_too_long(store: DirectoryStore, store_directory: Path) -> None:
    """The operating system's limit is the operator's configuration."""
    with pytest.raises(ConfigurationError, match="name too long"):
        await store.put("x" * 250, bytearray(b"x"))
    assert files(store_directory) == []


@pytest.mark.parametrize("name", ["file/backup.enc", "file/deeper/backup.enc"])
async def test_a_folder_that_is_a_file(store: DirectoryStore, store_directory: Path, name: str) -> None:
    """Writing is a matter of configuration, reading finds nothing."""
    (store_directory / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="not a folder"):
        await store.put(name, bytearray(b"x"))
    with pytest.raises(ObjectMissing):
        await store.head(name)


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It may be a disk that is not mounted: never created, and noticed also when it goes away later."""
    path = tmp_path / "disk"
    with pytest.raises(BucketMissing, match="no directory"):
        async with DirectoryStore(DirectorySettings(path)):
            pass
    assert not path.exists()
    path.mkdir()
    async with DirectoryStore(DirectorySettings(path)) as store:
        path.rmdir()
        for attempt in (anext(store.list("")), store.put("name", bytearray(b"x")), store.abort_stale(timedelta())):
            with pytest.raises(BucketMissing):
                await attempt
    assert not path.exists()


# Links and other things that are no files ---------------------------------------------------------------------


async def test_symbolic_links_are_not_followed(store: DirectoryStore, store_directory: Path, tmp_path: Path) -> None:
    """A link in an archive's place is no archive; a linked folder is refused; what they point to is left alone."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (store_directory / "link").symlink_to(outside / "file")
    (store_directory / "folder").symlink_to(outside)
    for attempt in (store.head("link"), read(store, "link"), store.delete("link")):
        with pytest.raises(ObjectMissing):
            await attempt
    with pytest.raises(ObjectExists):
        await store.put("link", bytearray(b"x"))
    for attempt in (store.head("folder/file"), store.put("folder/new", bytearray(b"x")), anext(store.list("folder/"))):
        with pytest.raises(ConfigurationError, match="symbolic link"):
            await attempt
    assert [info.name async for info in store.list("")] == []
    assert files(outside) == ["file"]


async def test_only_regular_files_are_listed(store: DirectoryStore, store_directory: Path) -> None:
    """No folders, pipes, hidden files, unfinished uploads, or names that are no text."""
    await store.put(NAME, bytearray(b"x"))
    unfinished = await store.create(f"{PREFIX}backup-b.enc", part_size=10)
    (store_directory / PREFIX / "folder").mkdir()
    (store_directory / PREFIX / ".hidden").write_text("x")
    os.mkfifo(store_directory / PREFIX / "pipe")
    os.close(os.open(bytes(store_directory / PREFIX) + b"/\xff", os.O_CREAT))
    assert [info.name async for info in store.list("")] == [NAME]
    for attempt in (store.head(f"{PREFIX}pipe"), read(store, f"{PREFIX}pipe"), read(store, f"{PREFIX}folder")):
        with pytest.raises(ObjectMissing):
            await attempt
    await unfinished.abort()


async def test_the_root_may_be_a_link(store_directory: Path, tmp_path: Path) -> None:
    """That is how operators move a directory to another disk."""
    link = tmp_path / "link"
    link.symlink_to(store_directory)
    async with DirectoryStore(DirectorySettings(link, PREFIX)) as store:
        await store.put(NAME, bytearray(b"x"))
        assert await read(store, NAME) == b"x"
    assert files(store_directory) == [NAME]


# Files --------------------------------------------------------------------------------------------------------


async def test_files_belong_to_their_owner_alone(store: DirectoryStore, store_directory: Path) -> None:
    """Also while they are being written, whatever the umask."""
    before = os.umask(0)
    try:
        begun = await store.create(NAME, part_size=10)
        unfinished = files(store_directory)
        modes = [stat.S_IMODE((store_directory / name).stat().st_mode) for name in unfinished]
        await begun.put_part(1, bytearray(b"x"))
        await begun.complete(1)
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert unfinished[0].startswith(f"{PREFIX}.backup-full-20260117-120000.enc.")
    assert stat.S_IMODE((store_directory / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((store_directory / PREFIX).stat().st_mode) == 0o700


async def test_everything_is_on_the_disk_before_it_is_visible(
    store: DirectoryStore, store_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced, then named, then its folder and the one above are synced."""
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def spy_fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        events.append("file" if path.name.endswith(".part") else path.name)
        fsync(file)

    def spy_link(source: Path, target: Path, *, follow_symlinks: bool) -> None:
        events.append("link")
        link(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "link", spy_link)
    await store.put(NAME, bytearray(b"data"))
    assert events == ["file", "link", "backups", store_directory.name]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
async def test_a_file_system_without_hard_links(
    store: DirectoryStore, store_directory: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The name is claimed in another way, which refuses a taken one as well."""
    monkeypatch.setattr(os, "link", failing(code))
    begun = [await store.create(NAME, part_size=10) for _ in range(2)]
    for each in begun:
        await each.put_part(1, bytearray(b"data"))
    info = await begun[0].complete(4)
    with pytest.raises(ObjectExists):
        await begun[1].complete(4)
    await begun[1].abort()
    assert info.is_same(await store.head(NAME))
    assert await read(store, NAME) == b"data"
    assert files(store_directory) == [NAME]


async def test_a_file_changed_in_place(store: DirectoryStore, store_directory: Path) -> None:
    """As many bytes in the same file are another object all the same."""
    pin = await store.put(NAME, bytearray(b"first"))
    path = store_directory / NAME
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(ObjectChanged):
        async with store.get(NAME, pin=pin):
            pass


async def test_a_file_that_shrinks_while_it_is_read(store: DirectoryStore, store_directory: Path) -> None:
    """Too few bytes are an error, not an end."""
    await store.put(NAME, bytearray(3 << 20))

    async def read_and_cut() -> None:
        async with store.get(NAME) as body:
            async for _ in body:
                os.truncate(store_directory / NAME, 1 << 20)

    with pytest.raises(StoreUnreachable, match="shorter"):
        await read_and_cut()


# Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EFBIG, StoreFull),
        (errno.EACCES, StoreForbidden),
        (errno.EROFS, StoreForbidden),
        (errno.EIO, StoreUnreachable),
        (errno.ESTALE, StoreUnreachable),
        (errno.EMFILE, StoreError),
    ],
)
@pytest.mark.parametrize("call", ["pwrite", "fsync", "open"])
async def test_errors_of_the_operating_system(
    store: DirectoryStore,
    store_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    error: type[KleidiaError],
) -> None:
    """Each has a class, the system's words and a next step; whatever fails, nothing is left."""
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(code))
        with pytest.raises(error) as caught:
            await store.put(NAME, bytearray(b"data"))
    assert type(caught.value) is error
    assert os.strerror(code) in caught.value.message
    assert caught.value.hint
    assert files(store_directory) == []


async def test_no_space_left_in_the_middle(store: DirectoryStore, store_directory: Path) -> None:
    """A real limit of the system, met by a part that fits half."""
    begun = await store.create(NAME, part_size=1 << 20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        with pytest.raises(StoreFull):
            await begun.put_part(1, bytearray(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await begun.abort()
    assert files(store_directory) == []


async def test_an_error_after_the_name_was_given(
    store: DirectoryStore, store_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the folder cannot be synced, complete fails, and abort takes the object away again."""
    begun = await store.create(NAME, part_size=10)
    await begun.put_part(1, bytearray(b"data"))
    fsync = os.fsync

    def fail_for_folders(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(file)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_for_folders)
        with pytest.raises(StoreUnreachable):
            await begun.complete(4)
    assert files(store_directory) == [NAME]
    await begun.abort()
    assert files(store_directory) == []


@pytest.mark.parametrize(("call", "missing"), [("pwrite", ("write",)), ("unlink", ("delete",)), ("walk", ("list",))])
async def test_check_names_the_missing_right(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, call: str, missing: tuple[str, ...]
) -> None:
    """Each right that is denied is named; without the right to write, the rest cannot be tried."""
    if call == "unlink":
        unlink = Path.unlink

        def keep_archives(path: Path, missing_ok: bool = False) -> None:
            if path.suffix == ".enc":
                failing(errno.EACCES)()
            unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", keep_archives)
    else:
        monkeypatch.setattr(os, call, failing(errno.EACCES))
    assert await store.check() == missing


# Cleaning up --------------------------------------------------------------------------------------------------


async def test_cancelled_while_a_thread_writes(
    store: DirectoryStore, store_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ends before the cancellation goes on, so abort removes all that it wrote."""
    writing, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow(file: int, data: bytes, offset: int) -> int:
        writing.set()
        go_on.wait(10)
        return pwrite(file, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    begun = await store.create(NAME, part_size=10)
    async with anyio.create_task_group() as group:
        group.start_soon(begun.put_part, 1, bytearray(b"data"))
        await anyio.to_thread.run_sync(writing.wait, 10)
        group.cancel_scope.cancel()
        go_on.set()
    await begun.abort()
    assert files(store_directory) == []


async def test_stale_uploads(store: DirectoryStore, store_directory: Path) -> None:
    """Old ones with a name of ours are removed; fresh ones, and files that only look alike, are not."""
    folder = store_directory / PREFIX
    await store.put(NAME, bytearray(b"data"))
    random = "0123456789abcdef"
    old = [f".backup-old.enc.{random}.part", f".other.enc.{random}.part", ".backup-old.enc.part", "backup-old"]
    for name in old:
        (folder / name).write_text("x")
        os.utime(folder / name, (0, time.time() - 3 * 24 * 3600))
    fresh = await store.create(f"{PREFIX}backup-new.enc", part_size=10)
    assert await store.abort_stale(timedelta(days=1)) == 1
    assert not (folder / old[0]).exists()
    await fresh.abort()
    assert files(store_directory) == sorted([NAME, *(PREFIX + name for name in old[1:])])


async def test_a_closed_folder_below_is_passed_over(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of a mounted disk has a lost+found that only root may look into; it stops neither list nor backup."""
    (store_directory / "lost+found").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    async with DirectoryStore(DirectorySettings(store_directory)) as store:
        await store.put("backup-full-20260101-000000.enc", bytearray(b"x"))
        assert [info.name async for info in store.list("")] == ["backup-full-20260101-000000.enc"]
        assert await store.abort_stale(timedelta(0)) == 0
