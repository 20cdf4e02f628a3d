"""Backup, wreck, restore, compare: against real servers and every kind of store."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from kleidia_backup import (
    ConfigurationError,
    DirectorySettings,
    Progress,
    Root,
    S3Settings,
    delete,
    download,
    inspect,
    list_archives,
    restore,
    verify,
)
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.formats.facts import archive_name
from kleidia_backup.pipeline.retention import uploads
from kleidia_backup.stages.stores.s3.store import S3Store
from kleidia_backup.stages.vault.kv.client import VaultClient

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


def s3(bucket: Bucket) -> S3Settings:
    return S3Settings(
        endpoint=bucket.server.endpoint,
        region="us-east-1",
        bucket=bucket.name,
        prefix="backups/",
        access_key_id=bucket.server.access_key,
        secret_access_key=bucket.server.secret_key,
        path_style=True,
    )


@pytest.mark.parametrize("kind", ["directory", "moto", "rclone"])
async def test_everything_comes_back(system: System, kind: str, bucket: Bucket, rclone_bucket: Bucket) -> None:
    """Rows and secrets are as at the backup, the job history as at the restore, and the reports say what happened."""
    stores: dict[str, DirectorySettings | S3Settings] = {
        "directory": system.store,
        "moto": s3(bucket),
        "rclone": s3(rclone_bucket),
    }
    store = stores[kind]
    seen: list[Progress] = []
    made = await backup(
        database=system.postgres, vault=system.vault, store=store, password=PASSWORD, on_progress=seen.append
    )
    assert made.name == archive_name("backups/", "full", made.created_at)
    assert (made.secrets, made.unreadable, made.warnings) == (33, (), ())
    assert {progress.phase for progress in seen} >= {"backup"}
    assert seen[-1].secrets == 33
    assert seen[-1].sql_total == seen[-1].sql_bytes == made.sql_bytes
    sizes = {stage.name: stage.bytes for stage in made.stages}
    assert list(sizes) == ["pg_dump", "vault", "assemble", "gzip", "seal", "sha256", "upload"]
    assert sizes["pg_dump"] == made.sql_bytes < sizes["assemble"]
    assert sizes["gzip"] + 16 == sizes["seal"] == sizes["sha256"] == sizes["upload"] < made.size
    assert all(stage.state == "finished" for stage in made.stages)
    assert all(stage.busy > 0 for stage in made.stages if stage.name in ("assemble", "gzip", "seal", "sha256"))
    rows, secrets = system.rows(), system.secrets()

    system.sql("INSERT INTO backup_jobs (status, triggered_by) VALUES ('running', 50)")
    history = system.sql("SELECT id, status FROM backup_jobs ORDER BY id")
    wreck(system)
    report = await restore(made.name, database=system.postgres, vault=system.vault, store=store, password=PASSWORD)
    restored = {stage.name: stage.bytes for stage in report.stages}
    read = ["download", "recheck", "sha256", "open", "gunzip", "split"]
    assert list(restored) == [*read, "postgresql", "vault"]
    assert [restored[name] for name in read[:5]] == [sizes["seal"]] * 3 + [sizes["gzip"], sizes["assemble"]]
    assert restored["postgresql"] == made.sql_bytes

    rows["backup_jobs"] = []
    now = system.rows() | {"backup_jobs": []}
    assert now == rows
    assert system.secrets() == secrets
    assert system.sql("SELECT id, status FROM backup_jobs ORDER BY id") == history
    assert (report.secrets, report.written, report.unchanged, report.failed_count) == (33, 12, 21, 0)
    assert report.seconds.keys() == {"prepare", "verify", "restore", "commit", "total"}
    assert [info.name for info in await list_archives(store)] == [made.name]


@both_formats
async def test_progress_of_secrets_is_that_of_the_vault(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that were read and wait for a slow vault are not shown as done."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    asked = 0
    seen: list[int] = []
    read = VaultClient.read

    async def slow(client: VaultClient, mount: str, path: str, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        await anyio.sleep(0.05)
        return await read(client, mount, path, **options)

    def note(progress: Progress) -> None:
        if progress.phase == "restore":
            assert progress.secrets <= asked
            seen.append(progress.secrets)

    monkeypatch.setattr(VaultClient, "read", slow)
    vault = replace(system.vault, workers=2)
    await restore(made.name, vault=vault, store=system.store, password=PASSWORD, on_progress=note)
    assert seen[-1] == asked == 33
    assert any(0 < each < 33 for each in seen)


@both_formats
async def test_upload_in_parts(system: System, bucket: Bucket) -> None:
    """An archive of several parts is one object with its header in front, and no upload is left open."""
    system.sql(
        "INSERT INTO notes (body) SELECT encode(sha512((n || 'x')::bytea), 'hex') FROM generate_series(1, 160000) n"
    )
    made = await backup(database=system.postgres, store=s3(bucket), password=PASSWORD, part_size=5 << 20)
    assert made.size > 2 * (5 << 20)
    checked = await verify(made.name, store=s3(bucket), password=PASSWORD)
    assert checked.size == made.size
    async with S3Store(s3(bucket)) as store, store.get(made.name) as chunks:
        stored = b"".join([chunk async for chunk in chunks])
    # That of V1 stands in its header, and leaves this out.
    found = checked.header.checksum or hashlib.sha256(stored).hexdigest()
    assert (len(stored), found) == (made.size, made.checksum)
    assert checked.rows == 160_650
    async with S3Store(s3(bucket)) as store:
        assert await store.abort_stale(older_than=timedelta(0)) == 0


async def test_a_backup_says_which_uploads_it_aborted(system: System) -> None:
    """Those of ours that are a day old; a younger one, which may be another job's, stays, and is not named."""
    folder = system.directory / "backups"
    folder.mkdir(exist_ok=True)
    for name, age in (("backup-full-20260101-000000.enc", 2), ("backup-full-20260102-000000.enc", 0.5)):
        left = folder / f".{name}.0123456789abcdef.part"
        left.write_bytes(b"x")
        os.utime(left, (0, time.time() - age * 24 * 3600))
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    assert made.aborted_uploads == ("backups/backup-full-20260101-000000.enc",)
    assert [path.name for path in folder.glob(".*.part")] == [".backup-full-20260102-000000.enc.0123456789abcdef.part"]
    again = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    assert again.aborted_uploads == ()


async def test_a_backup_says_which_uploads_to_a_bucket_it_aborted(
    system: System, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise on S3, where no upload can be made to look a day old."""
    monkeypatch.setattr(uploads, "stale_after", lambda _: timedelta(seconds=-60))
    name = f"{s3(bucket).prefix}backup-full-20260101-000000.enc"
    async with S3Store(s3(bucket)) as store:
        await (await store.create(name, part_size=5 << 20)).put_part(1, bytearray(b"x"))
    made = await backup(vault=system.vault, store=s3(bucket), password=PASSWORD)
    assert made.aborted_uploads == (name,)
    assert bucket.uploads() == []


@both_formats
@pytest.mark.parametrize("kind", ["database", "vault"])
async def test_partial_archives_leave_the_other_part_alone(system: System, kind: str) -> None:
    """A database-only archive does not touch the vault, a vault-only one not the database."""
    parts = {"database": system.postgres} if kind == "database" else {"vault": system.vault}
    made = await backup(store=system.store, password=PASSWORD, **parts)
    assert made.backup_type == kind
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    wrecked = system.rows(), system.secrets()
    await restore(made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    now = system.rows(), system.secrets()
    if kind == "database":
        assert now[1] == wrecked[1]
        assert now[0] | {"backup_jobs": []} == rows | {"backup_jobs": []}
    else:
        assert now == (wrecked[0], secrets)


@both_formats
async def test_audit_logs_can_be_left_out_and_then_stay_as_they_are(system: System) -> None:
    """Without audit logs the archive has none, and a restore keeps the live ones."""
    made = await backup(database=system.postgres, store=system.store, password=PASSWORD, include_audit=False)
    _, preamble = await inspect(made.name, system.store)
    assert not preamble.header.includes_audit
    system.sql("INSERT INTO audit_logs (action) VALUES ('later')")
    await restore(made.name, database=system.postgres, store=system.store, password=PASSWORD)
    assert system.sql("SELECT count(*) FROM audit_logs") == [(101,)]


@both_formats
async def test_restore_elsewhere(system: System, kv_mount, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Into other mounts and another folder: the archive does not know where its secrets came from."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    other, keys = kv_mount(2), kv_mount(2)
    roots = (Root("", other.path, "elsewhere/deep"), Root("yubikeys/", keys.path, "k"))
    await restore(made.name, vault=replace(system.vault, roots=roots), store=system.store, password=PASSWORD)
    assert other.get("elsewhere/deep/jwt-secret") == system.application.get("kleidia/jwt-secret")
    assert keys.get("k/0007/piv") == system.yubikeys.get("0007/piv")
    assert len(other.all()) + len(keys.all()) == 33


@both_formats
async def test_download_and_delete(system: System) -> None:
    """A download is the archive byte for byte, never over an existing file; delete removes it."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    target = system.directory.parent / "copy.enc"
    assert await download(made.name, target, system.store) == made.size
    assert target.read_bytes() == (system.directory / made.name).read_bytes()
    with pytest.raises(ConfigurationError, match="exists already"):
        await download(made.name, target, system.store)
    short = made.name.removeprefix("backups/")
    assert (
        await verify(short, store=DirectorySettings(system.directory, prefix="backups/"), password=PASSWORD)
    ).secrets == 33
    await delete(short, system.store)
    assert system.archives() == []
