"""What bad input gets: an error that names the cause and the next step, nothing written, nothing left behind."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from kleidia_backup import (
    ArchiveError,
    DamagedArchive,
    KleidiaError,
    PostgresSettings,
    Root,
    TokenAuth,
    VaultSettings,
    WrongPassword,
    delete,
    download,
    inspect,
    restore,
    verify,
)
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.verify import verify_password
from kleidia_backup.stages.errors import (
    Busy,
    ConfigurationError,
    DatabaseForbidden,
    DatabaseUnreachable,
    DumpFailed,
    JobTimeout,
    NotAnArchive,
    ObjectExists,
    ObjectMissing,
    StoreFull,
    ToolError,
    UnsupportedArchive,
    VaultForbidden,
    VaultMountMissing,
    VaultUnreachable,
)
from kleidia_backup.stages.pg.server.lock import hold_database

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def nothing_happens(system: System, error: type[KleidiaError], match: str) -> AsyncIterator[None]:
    """The body fails with ``error``, says ``match`` and a next step; both stores and the directory are as before."""
    before = system.rows(), system.secrets(), system.archives()
    with pytest.raises(error, match=match) as caught:
        yield
    assert caught.value.hint
    assert PASSWORD not in str(caught.value)
    assert (system.rows(), system.secrets(), system.archives()) == before


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# The archive ------------------------------------------------------------------------------------------------------


async def made_archive(system: System) -> Path:
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    return system.directory / made.name


async def restore_it(system: System, path: Path, password: str = PASSWORD) -> None:
    await restore(path.name, database=system.postgres, vault=system.vault, store=system.store, password=password)


async def test_wrong_password(system: System) -> None:
    """Told apart from damage, by restore, verify and the quick look."""
    path = await made_archive(system)
    async with nothing_happens(system, WrongPassword, "Wrong password, or the archive was changed on purpose"):
        await restore_it(system, path, PASSWORD.upper())
    async with nothing_happens(system, WrongPassword, "does not open"):
        await verify_password(path.name, store=system.store, password="wrong")
    assert (await verify_password(path.name, store=system.store, password=PASSWORD)).name.endswith(path.name)


@pytest.mark.parametrize(("at", "advice"), [(0.6, "opens its beginning"), (1.0, "opens its beginning"), (0.0, "case")])
async def test_a_ciphertext_that_was_changed_with_its_checksum(system: System, at: float, advice: str) -> None:
    """No disk does that. It is not called a wrong password alone, least of all where the beginning opens."""
    path = await made_archive(system)
    data = bytearray(path.read_bytes())
    start = 21 + int.from_bytes(data[17:21], "big") + 44
    before = hashlib.sha256(data[start:]).hexdigest().encode()
    for index in range(start + int(at * (len(data) - 1 - start)), len(data))[:40]:
        data[index] ^= 0x55
    after = hashlib.sha256(data[start:]).hexdigest().encode()
    assert before in data
    path.write_bytes(data.replace(before, after, 1))
    async with nothing_happens(system, WrongPassword, "^Wrong password, or the archive was changed on purpose: "):
        await restore_it(system, path)
    with pytest.raises(WrongPassword) as caught:
        await verify(path.name, store=system.store, password=PASSWORD)
    assert advice in caught.value.hint
    assert "who can write" in caught.value.hint


def flip(at: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        index = int(at * (len(data) - 1))
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]

    return change


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda d: d[:-1], DamagedArchive, "checksum"),
        (lambda d: d[: len(d) // 2], DamagedArchive, "checksum"),
        (lambda d: d[:300], DamagedArchive, "header|checksum"),
        (lambda d: d[:40], DamagedArchive, "ends inside its header"),
        (lambda d: d[:10], ArchiveError, "no kleidia-backup archive|first bytes"),
        (lambda d: b"", NotAnArchive, "no kleidia-backup archive"),
        (lambda d: d + b"\0", DamagedArchive, "checksum"),
        (flip(0.5), DamagedArchive, "checksum"),
        (flip(1), DamagedArchive, "checksum"),
        (lambda d: b"PGDMP" + d, NotAnArchive, "no kleidia-backup archive"),
        (lambda d: d.replace(b"BACKUP_V1", b"BACKUP_V3", 1), UnsupportedArchive, "another format version"),
        (lambda d: d.replace(b"BACKUP_V1", b"BACKUP_V2", 1), UnsupportedArchive, "facts say version 1"),
        (lambda d: d.replace(b'"version":1', b'"version":2', 1), UnsupportedArchive, "version 2"),
        (lambda d: d[:17] + b"\xff\xff\xff\xff" + d[21:], DamagedArchive, "claims a header of 4294967295"),
        (lambda d: d.replace(b'"includes_kv":true', b'"includes_kv":null', 1), DamagedArchive, "includes_kv"),
        (lambda d: d.replace(b'"backup_type":"full"', b'"backup_type":"vaul"', 1), DamagedArchive, "backup_type"),
    ],
    ids=range(16),
)
async def test_damaged_archive(
    system: System, change: Callable[[bytes], bytes], error: type[ArchiveError], match: str
) -> None:
    """Truncated, extended, flipped, foreign or future: refused before anything is written."""
    path = await made_archive(system)
    path.write_bytes(change(path.read_bytes()))
    async with nothing_happens(system, error, match):
        await restore_it(system, path)
    with pytest.raises(error, match=match):
        await verify(path.name, store=system.store, password=PASSWORD)


async def test_changed_header_is_found_by_the_sealed_one(system: System) -> None:
    """The clear-text header says that there are no secrets any more: the sealed one knows better."""
    path = await made_archive(system)
    path.write_bytes(path.read_bytes().replace(b'"includes_kv":true,"', b'"includes_kv":false"', 1))
    path.write_bytes(path.read_bytes().replace(b'"includes_kv":false"includes', b'"includes_kv":false,"include', 1))
    async with nothing_happens(system, DamagedArchive, "includes_kv is not what was sealed"):
        await restore_it(system, path)


async def test_archive_that_is_not_there(system: System) -> None:
    """A wrong name is said to be one, whatever is asked for."""
    for ask in (
        lambda: restore_it(system, Path("backup-full-20000101-000000.enc")),
        lambda: inspect("no.enc", system.store),
        lambda: delete("no.enc", system.store),
    ):
        async with nothing_happens(system, ObjectMissing, "no"):
            await ask()


async def test_foreign_files_are_not_deleted(system: System) -> None:
    """Delete removes archives, and nothing else that lies there."""
    (system.directory / "backups").mkdir()
    (system.directory / "backups" / "thesis.txt").write_text("the only copy")
    async with nothing_happens(system, NotAnArchive, "no kleidia-backup archive"):
        await delete("thesis.txt", system.store)


async def test_what_is_listed_can_be_deleted(system: System) -> None:
    """Also what is damaged and has a name that somebody chose."""
    (system.directory / "backups").mkdir()
    for name in ("monday.enc", "backup-full-20260101-000000.enc"):
        (system.directory / "backups" / name).write_text("damaged")
        await delete(name, system.store)
    assert system.archives() == []


@both_formats
async def test_second_backup_to_the_same_name(system: System) -> None:
    """The first one is not touched."""
    await backup(vault=system.vault, store=system.store, password=PASSWORD, name="mine.enc")
    async with nothing_happens(system, ObjectExists, "mine.enc"):
        await backup(vault=system.vault, store=system.store, password=PASSWORD, name="mine.enc")


# PostgreSQL -------------------------------------------------------------------------------------------------------


async def fail_backup(system: System, error: type[KleidiaError], match: str, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "database": system.postgres,
        "vault": system.vault,
        "store": system.store,
        "password": PASSWORD,
        "name": "new.enc",
    }
    async with nothing_happens(system, error, match):
        await backup(**arguments | changes)


async def test_tools(system: System, tmp_path: Path) -> None:
    """pg_dump missing, or too old for this server."""
    old = script(tmp_path / "pg_dump", 'echo "pg_dump (PostgreSQL) 12.1"')
    for tool, match in (("/nowhere/pg_dump", "pg_dump"), (old, "12")):
        await fail_backup(system, ToolError, match, database=replace(system.postgres, pg_dump=tool))


async def test_connections(system: System, postgres_server: PostgresServer) -> None:
    """Nobody there, a wrong password, no such database."""
    for error, match, change in (
        (DatabaseUnreachable, "cannot be reached", {"port": "1"}),
        (DatabaseForbidden, "refused the login", {"password": "wrong-password"}),
        (DatabaseUnreachable, "no database", {"dbname": "nowhere"}),
    ):
        parameters = psycopg.conninfo.conninfo_to_dict(system.conninfo) | change
        settings = replace(system.postgres, conninfo=psycopg.conninfo.make_conninfo("", **parameters))
        await fail_backup(system, error, match, database=settings)


@both_formats
@pytest.mark.parametrize("death", ["exit 1", "kill -9 $$", "echo 'pg_dump: error: disk on fire' >&2; exit 2"])
async def test_dump_that_fails_half_way_or_after_its_last_byte(
    system: System, tmp_path: Path, postgres_server: PostgresServer, death: str
) -> None:
    """A complete dump with a bad end is no dump."""
    real = postgres_server.bin_dir / "pg_dump"
    tool = script(tmp_path / "pg_dump", f'"{real}" "$@"\n[ "$1" = --version ] || {{ {death}; }}')
    await fail_backup(system, DumpFailed, "pg_dump", database=replace(system.postgres, pg_dump=tool))
    half = script(tmp_path / "pg_dump_half", f'"{real}" "$@" | head -c 2000\n[ "$1" = --version ] || {{ {death}; }}')
    await fail_backup(system, DumpFailed, "pg_dump", database=replace(system.postgres, pg_dump=half))


@both_formats
async def test_text_that_is_not_utf8(system: System, postgres_server: PostgresServer) -> None:
    """A SQL_ASCII database holds any bytes; JSON cannot, and no archive pretends."""
    name = "ascii_" + os.urandom(4).hex()
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            with psycopg.connect(postgres_server.conninfo(name), autocommit=True) as connection:
                connection.execute("CREATE TABLE t AS SELECT convert_from('\\xe9'::bytea, 'SQL_ASCII') AS latin1")
            settings = replace(system.postgres, conninfo=postgres_server.conninfo(name))
            await fail_backup(system, DumpFailed, "invalid byte sequence.*UTF8", database=settings)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@both_formats
async def test_restore_that_postgresql_refuses(system: System) -> None:
    """Something that depends on a dropped table and is not in the archive: rolled back, and no secret touched."""
    path = await made_archive(system)
    system.sql("CREATE TABLE later () INHERITS (notes)")
    system.yubikeys.put("0003/piv", {"pin": "newer"})
    async with nothing_happens(system, KleidiaError, "depend"):
        await restore_it(system, path)


@both_formats
async def test_two_jobs_on_one_database(system: System) -> None:
    """A restore refuses to run beside a backup, and says who is there."""
    path = await made_archive(system)
    async with hold_database(system.postgres, "backup"), nothing_happens(system, Busy, "kleidia-backup backup"):
        await restore_it(system, path)


# The vault --------------------------------------------------------------------------------------------------------


@both_formats
async def test_vault_that_does_not_answer_or_refuses(system: System) -> None:
    """Each has its own error, in a backup and in a restore."""
    path = await made_archive(system)
    for error, match, settings in (
        (
            VaultUnreachable,
            "127.0.0.1:1|reached",
            replace(system.vault, address="http://127.0.0.1:1", start_budget=0.2),
        ),
        (VaultForbidden, "token", replace(system.vault, auth=TokenAuth("s.wrong"))),
        (VaultMountMissing, "nowhere", replace(system.vault, roots=(Root("", "nowhere"), system.vault.roots[1]))),
    ):
        await fail_backup(system, error, match, vault=settings)
        async with nothing_happens(system, error, match):
            await restore_it(replace(system, vault=settings), path)


@both_formats
async def test_archive_with_secrets_that_no_root_takes(system: System) -> None:
    """Found in the first reading, before anything is written."""
    path = await made_archive(system)
    roots = (replace(system.vault.roots[1], prefix="other/"),)
    async with nothing_happens(system, ConfigurationError, "root"):
        await restore_it(replace(system, vault=replace(system.vault, roots=roots)), path)


# The job ----------------------------------------------------------------------------------------------------------


@both_formats
@pytest.mark.parametrize("after", range(0, 12, 2))
async def test_cancelled_backup_leaves_nothing(system: System, after: int) -> None:
    """Cancelled at any progress: no object, no temporary file, no child process."""
    count = 0

    def cancel(_: object) -> None:
        nonlocal count
        count += 1
        if count > after:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await backup(
            database=system.postgres,
            vault=slow(system.vault),
            store=system.store,
            password=PASSWORD,
            part_size=64 << 10,
            on_progress=cancel,
        )
    # What was made before the cancellation arrived is complete.
    for name in system.archives():
        await verify(name, store=replace(system.store, prefix=""), password=PASSWORD)


def slow(vault: VaultSettings) -> VaultSettings:
    return replace(vault, workers=1)


@both_formats
async def test_time_limit(system: System) -> None:
    """A job that does not end in time is stopped, and leaves nothing."""
    await fail_backup(system, JobTimeout, "limit", timeout=0.05)


async def test_nothing_to_do(system: System) -> None:
    """No source, no password: refused before anything is asked."""
    await fail_backup(system, ConfigurationError, "nothing to back up", database=None, vault=None)
    await fail_backup(system, ConfigurationError, "password is empty", password="")


@both_formats
async def test_no_space_left(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the temporary file goes, the error says so."""
    real = os.pwrite

    def full(fd: int, data: Any, offset: int) -> int:
        if offset > 0 or len(data) > 100:
            raise OSError(28, "No space left on device")
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    await fail_backup(system, StoreFull, "space")


@both_formats
async def test_download_to_a_full_disk(system: System) -> None:
    """A write that takes only a part is not a success, even if it is the last one."""
    path = await made_archive(system)
    copy = system.directory.parent / "copy.enc"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size - 1, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match="cannot be written"):
            await download(path.name, copy, system.store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in system.directory.parent.iterdir()] == ["store"]


def test_settings_hide_their_secrets(system: System) -> None:
    """No repr shows a password or a token."""
    text = repr([system.postgres, system.vault, system.store, PostgresSettings("postgresql://u:canary-1@h/d")])
    assert "canary-1" not in text
    assert system.vault.auth.token not in text  # type: ignore[union-attr]
