"""Objects that stay: Object Lock and legal holds, and what a bucket shows of another time, on real servers."""

from __future__ import annotations

import contextlib
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup.demo.servers.s3 import Bucket, S3Server
from kleidia_backup.stages.errors import (
    ConfigurationError,
    ObjectMissing,
    ObjectRetained,
    StoreError,
)
from kleidia_backup.stages.stores.directory.store import DirectorySettings
from kleidia_backup.stages.stores.locks import Allowed, Lock, hold, locks_of
from kleidia_backup.stages.stores.names import probes
from kleidia_backup.stages.stores.past import store_at
from kleidia_backup.stages.stores.s3.bucket import Bucket as S3Bucket
from kleidia_backup.stages.stores.s3.client import open_client
from kleidia_backup.stages.stores.s3.store import S3Settings, S3Store
from kleidia_backup.stages.stores.s3.whole import remove_ours

from ..seaweedfs import WRITER
from .conftest import PREFIX, Broken, settings_for
from .faults import answer
from .test_contract import names, read, sample, upload

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
SMALL = f"{PREFIX}backup-vault-20260117-120000.enc"
PART = 5 * 1024 * 1024


def versions(bucket: Bucket) -> int:
    """How many versions and markers a bucket has."""
    with contextlib.closing(bucket.server.client()) as client:
        answer = client.list_object_versions(Bucket=bucket.name, Prefix=bucket.under)
        return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))


def next_second() -> datetime:
    """Wait until no second is the same as before, for stores tell times in seconds; the time between."""
    time.sleep(1.05 - time.time() % 1)
    between = datetime.now(UTC)
    time.sleep(1.05 - time.time() % 1)
    return between


async def test_what_is_locked_stays(locking_bucket: Bucket) -> None:
    """Archives of both ways of storing them, until then; nothing else is locked, and no upload that was aborted."""
    before = datetime.now(UTC) + timedelta(days=3)
    mode = "governance" if locking_bucket.under else "compliance"  # which nobody could lift on a store of somebody's
    async with S3Store(settings_for(locking_bucket, lock_mode=mode, lock_days=3)) as store:
        large = await upload(store, NAME, sample(PART + 17), PART)
        small = await store.put(SMALL, bytearray(b"small"))
        for info in (large, small):
            lock = await store.lock_of(info.name)
            assert lock.mode == mode
            assert lock.until is not None
            assert abs(lock.until - before) < timedelta(minutes=1)
            with pytest.raises(ObjectRetained, match="locked") as failed:
                await store.delete(info.name, pin=info)
            assert (failed.value.until, failed.value.held) == (lock.until, False)
        other = await store.put(f"{PREFIX}other.json", bytearray(b"{}"))
        await store.delete(other.name, pin=other)
        await (await store.create(f"{PREFIX}backup-x.enc", part_size=PART)).abort()
        assert await names(store.list(PREFIX)) == [NAME, SMALL]
        assert set(await locks_of(store, [NAME, SMALL, f"{PREFIX}gone.enc"])) == {NAME, SMALL}
    assert (locking_bucket.uploads(), versions(locking_bucket)) == ([], 2)


async def test_a_locked_archive_gets_another_beginning(locking_bucket: Bucket) -> None:
    """The lock goes with it and is no shorter than it was; the version with the old beginning stays."""
    async with S3Store(settings_for(locking_bucket, lock_mode="governance", lock_days=9)) as store:
        old = await store.put(NAME, bytearray(sample(1000)))
        assert await hold(store, NAME, on=True)
        lock = await store.lock_of(NAME)
    async with S3Store(settings_for(locking_bucket)) as store:
        new = await store.replace_start(NAME, bytearray(b"new"), skip=3, pin=old)
        assert await store.lock_of(NAME) == lock
        assert lock.held
        assert await read(store, NAME, pin=new) == b"new" + sample(1000)[3:]
        assert await read(store, NAME, pin=old) == sample(1000)


async def test_nothing_older_shows_below_what_was_deleted(locking_bucket: Bucket) -> None:
    """A version with other key slots is hidden, and kept; what somebody stored since then is left alone."""
    async with S3Store(settings_for(locking_bucket)) as store:
        old = await store.put(NAME, bytearray(b"old slots"))
        new = await store.replace_start(NAME, bytearray(b"new"), skip=3, pin=old)
        await store.delete(NAME, pin=new)
        assert await names(store.list(PREFIX)) == []
        assert await read(store, NAME, pin=old) == b"old slots"


async def test_what_failed_is_hidden_where_it_cannot_be_removed(locking_bucket: Bucket) -> None:
    """A locked object that an upload left, which failed at its very end, is in no listing."""
    settings = settings_for(locking_bucket)
    async with open_client(settings) as client:
        bucket = S3Bucket(client, settings)
        await bucket.put(NAME, bytearray(b"data"), "mark", Lock("governance", datetime.now(UTC) + timedelta(days=1)))
        await remove_ours(bucket, NAME, "mark", 4)
    assert locking_bucket.keys() == []


async def test_a_legal_hold(locking_bucket: Bucket) -> None:
    """On it stays, off it goes."""
    async with S3Store(settings_for(locking_bucket)) as store:
        info = await store.put(NAME, bytearray(b"data"))
        assert await hold(store, NAME, on=True)
        with pytest.raises(ObjectRetained, match="legal hold") as failed:
            await store.delete(NAME, pin=info)
        assert (failed.value.until, failed.value.held) == (None, True)
        assert await hold(store, NAME, on=False)
        await store.delete(NAME, pin=info)
        with pytest.raises(ObjectMissing):
            await hold(store, NAME, on=True)
    assert versions(locking_bucket) == 0


async def test_what_the_bucket_allows(locking_bucket: Bucket) -> None:
    """Found out with probes, of which nothing is left."""
    async with S3Store(settings_for(locking_bucket)) as store:
        assert await store.check() == ()
        found = await store.allowed()
    assert found == Allowed(versions=True, locks=True, deletes_versions=True, lifts_locks=True)
    assert versions(locking_bucket) == 0


async def test_a_key_that_lifts_no_lock(seaweed_server: S3Server) -> None:
    """It is known for one by the same probes; what it could not remove is hidden."""
    bucket = seaweed_server.create_bucket(f"test-{secrets.token_hex(6)}", locks=True)
    key, secret = WRITER
    async with S3Store(settings_for(bucket, access_key_id=key, secret_access_key=secret)) as store:
        found = await store.allowed()
        assert found == Allowed(versions=True, locks=True, deletes_versions=True, lifts_locks=False)
        assert await store.check() == ()
        assert await names(store.list(PREFIX)) == []


async def test_a_key_that_deletes_no_versions(broken_moto: Broken) -> None:
    """What it deletes is hidden, and it is known for one; nothing but a lock is taken for a lock."""
    bucket = broken_moto.bucket
    with contextlib.closing(bucket.server.client()) as client:
        client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    refused = answer(403, "AccessDenied")
    async with S3Store(broken_moto.settings()) as store:
        info = await store.put(NAME, bytearray(b"data"))
        broken_moto.proxy.fail("DeleteObject", refused)
        await store.delete(NAME, pin=info)
        assert await names(store.list(PREFIX)) == []
        assert await read(store, NAME, pin=info) == b"data"
        broken_moto.proxy.fail("DeleteObject", refused)
        assert (await store.allowed()).deletes_versions is False
        assert await names(store.list(PREFIX)) == []


@pytest.mark.parametrize("locking_bucket", ["moto", "seaweedfs"], indirect=True)
async def test_a_bucket_that_locks_everything(locking_bucket: Bucket) -> None:
    """It says so, and what cannot be removed is hidden."""
    with contextlib.closing(locking_bucket.server.client()) as client:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
        client.put_object_lock_configuration(
            Bucket=locking_bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
    async with S3Store(settings_for(locking_bucket)) as store:
        assert await store.check() == ()
        found = await store.allowed()
        assert (found.default_mode, found.default_days, found.deletes_versions) == ("governance", 2, None)
        assert await names(store.list(PREFIX)) == []


async def test_a_bucket_without_locks(seaweed_bucket: Bucket) -> None:
    """Nothing is stored unlocked that was to be locked; other times are not known; nothing can be held."""
    async with S3Store(settings_for(seaweed_bucket)) as store:
        await store.put(SMALL, bytearray(b"data"))
        assert await store.allowed() == Allowed(versions=False, locks=False)
        assert not await hold(store, SMALL, on=True)
        assert await locks_of(store, [SMALL]) == {}
    async with S3Store(settings_for(seaweed_bucket, lock_mode="compliance", lock_days=1)) as store:
        with pytest.raises(StoreError):
            await store.put(NAME, bytearray(b"data"))
        with pytest.raises(StoreError):
            await upload(store, NAME, sample(10), PART)
    async with store_at(settings_for(seaweed_bucket), datetime.now(UTC)).open() as store_then:
        with pytest.raises(ConfigurationError, match="keeps no versions"):
            await store_then.head(SMALL)
    assert (seaweed_bucket.keys(), seaweed_bucket.uploads()) == ([SMALL], [])


async def test_a_store_that_takes_no_notice_of_locks(bucket: Bucket) -> None:
    """Moto begins an upload with a lock where it knows none: what was stored is not left unlocked."""
    async with S3Store(settings_for(bucket, lock_mode="compliance", lock_days=1)) as store:
        begun = await store.create(NAME, part_size=PART)
        await begun.put_part(1, bytearray(b"data"))
        with pytest.raises(StoreError, match="without the lock"):
            await begun.complete(4)
        await begun.abort()
    assert (bucket.keys(), bucket.uploads()) == ([], [])


async def test_as_it_was(locking_bucket: Bucket) -> None:
    """Deleted and replaced objects are there at times before that; nothing can be changed at another time."""
    settings = settings_for(locking_bucket)
    async with S3Store(settings) as store:
        await store.put(NAME, bytearray(b"first"))
        await store.put(SMALL, bytearray(b"other"))
        between = next_second()
        await store.delete(NAME)
        locking_bucket.put(SMALL, b"planted")
        locking_bucket.put(f"{PREFIX}later.enc", b"later")
        assert await names(store.list(PREFIX)) == [SMALL, f"{PREFIX}later.enc"]
    async with store_at(settings, between).open() as then:
        assert await names(then.list(PREFIX)) == [NAME, SMALL]
        for name, data in ((NAME, b"first"), (SMALL, b"other")):
            pin = await then.head(name)
            assert await read(then, name, start=1, pin=pin) == data[1:]
            assert await read(then, name) == data
        with pytest.raises(ObjectMissing, match="There was no"):
            await then.head(f"{PREFIX}later.enc")
        with pytest.raises(ConfigurationError, match="only be read"):
            await then.delete(NAME)
        with pytest.raises(ConfigurationError, match="only be read"):
            await then.put(f"{PREFIX}new.enc", bytearray(b"new"))
    async with store_at(settings, datetime.now(UTC)).open() as now:
        assert await names(now.list(PREFIX)) == [SMALL, f"{PREFIX}later.enc"]
    async with store_at(settings, between - timedelta(days=1)).open() as before:
        assert await names(before.list(PREFIX)) == []
    assert probes(PREFIX) not in " ".join(locking_bucket.keys())


def test_a_directory_has_no_past(tmp_path: object) -> None:
    """It keeps nothing of what was deleted."""
    with pytest.raises(ConfigurationError, match="no other time"):
        store_at(DirectorySettings("/nowhere"), datetime.now(UTC))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"lock_mode": "for ever", "lock_days": 3},
        {"lock_mode": "governance", "lock_days": 3, "checksum": "none"},
        {"lock_mode": "compliance", "lock_days": 0},
    ],
)
def test_locks_that_cannot_be(fields: dict[str, object]) -> None:
    """No such mode, no days, and no checksum, which such stores want."""
    with pytest.raises(ConfigurationError):
        S3Settings("bucket", **fields)  # type: ignore[arg-type]
