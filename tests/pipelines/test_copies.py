"""Second copies: on each kind of store, both formats, and whatever goes wrong with them."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from kleidia_backup import DirectorySettings, S3Settings, backup, restore, rewrap, verify
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.formats.v2.head import MAX_HEAD, Head
from kleidia_backup.pipeline.archives.actions import pin, unpin
from kleidia_backup.pipeline.copies import one
from kleidia_backup.pipeline.copies.deleting import delete_copies
from kleidia_backup.pipeline.copies.settings import Copy
from kleidia_backup.pipeline.copies.sync import CopyReport, sync_copies
from kleidia_backup.stages.errors import DatabaseError
from kleidia_backup.stages.stores.base import ObjectInfo, StoreSettings
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from ..buckets import s3_settings
from ..stores.faults import Forward, fault_proxy
from .conftest import PASSWORD, System, leading_to

# The servers are there before anybody counts processes.
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("bucket", "rclone_bucket")]

_NEW = "another battery staple"
_MIB = 1 << 20


def s3(bucket: Bucket, **changes: Any) -> S3Settings:
    """Settings for a test server, with short pauses."""
    return s3_settings(bucket, **{"prefix": "offsite/", "attempts": 2, "backoff": 0.01, **changes})


@pytest.fixture(params=["directory", "moto", "rclone"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSettings]:
    """Each kind of store for the copy, with parts of 5 MiB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "PART", 5 * _MIB)
        if request.param == "directory":
            (tmp_path / "offsite").mkdir()
            yield DirectorySettings(tmp_path / "offsite", "offsite/")
        else:
            yield s3(request.getfixturevalue("bucket" if request.param == "moto" else "rclone_bucket"))


def copy_to(store: StoreSettings, **rules: Any) -> Copy:
    """The first and only copy."""
    return Copy(number=1, name="offsite", store=store, **rules)


async def sync(system: System, copy: Copy, **given: Any) -> CopyReport:
    """Fill it."""
    (report,) = await sync_copies(system.store, [copy], **given)
    return report


async def large(system: System, name: str = "backup-vault-20260101-000000.enc") -> Path:
    """An archive of 12 MiB, three parts: a head that is one's, and any bytes, for nobody decrypts it."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD, name="small.enc", format="v2")
    small = system.directory / made.name
    path = system.directory / "backups" / name
    path.write_bytes(small.read_bytes() + secrets.token_bytes(12 * _MIB))
    small.unlink()
    return path


async def content(store: StoreSettings, name: str) -> bytes:
    """What a store has under a name."""
    async with store.open() as opened, opened.get(store.prefix + name) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_copy_is_the_archive(system: System, there: StoreSettings) -> None:
    """Of both formats, byte for byte, copied once; restored from there. New key slots come after, and nothing else."""
    given: dict[str, Any] = {"vault": system.vault, "store": system.store, "password": PASSWORD}
    made = {each: (await backup(name=f"of-{each}.enc", format=each, **given)).name for each in ("v1", "v2")}
    big, copy = await large(system), copy_to(there)
    dry = await sync(system, copy, dry_run=True)
    assert (len(dry.copied), {each.state for each in dry.states}, dry.ok) == (3, {"missing"}, False)
    report = await sync(system, copy)
    assert (report.error, report.warnings, report.ok, report.lag) == ("", (), True, 0.0)
    assert report.bytes == sum(path.stat().st_size for path in (system.directory / "backups").iterdir())
    for name in ("of-v1.enc", "of-v2.enc", big.name):
        assert await content(there, name) == (system.directory / "backups" / name).read_bytes()
    again = await sync(system, copy)
    assert (again.copied, again.bytes, again.ok) == ((), 0, True)

    await rewrap(made["v2"], store=system.store, password=PASSWORD, new_password=_NEW)
    assert {each.archive: each.state for each in (await sync(system, copy, dry_run=True)).states} == {
        "of-v1.enc": "ok",
        "of-v2.enc": "differs",
        big.name: "ok",
    }
    report = await sync(system, copy)  # somebody may have destroyed them there
    assert (report.copied, [each.state for each in report.states].count("differs")) == ((), 1)
    assert "--new-slots" in next(each.hint for each in report.states if each.state == "differs")
    await verify("of-v2.enc", store=there, password=PASSWORD)
    report = await sync(system, copy, new_slots=True)
    assert (report.copied, report.ok) == (("of-v2.enc",), True)
    assert await content(there, "of-v2.enc") == (system.directory / made["v2"]).read_bytes()
    system.yubikeys.delete("0001/piv")
    await restore("of-v2.enc", vault=system.vault, store=there, password=_NEW)
    assert "0001/piv" in system.secrets()["yubikeys"]
    await verify("of-v1.enc", store=there, password=PASSWORD)


async def test_a_wrong_archive_replaces_no_good_copy(system: System, tmp_path: Path) -> None:
    """What changed in the first store in more than its slots is told; the copy stays. The same one is recognized."""
    (tmp_path / "offsite").mkdir()
    there = DirectorySettings(tmp_path / "offsite")
    path, copy = await large(system), copy_to(there)
    before = path.read_bytes()
    assert (await sync(system, copy)).ok
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    report = await sync(system, copy)
    assert ([each.state for each in report.states], report.copied, report.ok) == (["differs"], (), False)
    assert report.warnings
    assert (there.path / path.name).read_bytes() == before
    path.write_bytes(before)  # as from a backup of the disk: another file with the same bytes
    for record in (there.path / "copies").iterdir():
        record.unlink()
    written = (there.path / path.name).stat().st_mtime_ns
    assert (await sync(system, copy)).ok
    assert (there.path / path.name).stat().st_mtime_ns == written
    assert len(list((there.path / "copies").iterdir())) == 1


async def test_a_copy_has_a_retention_of_its_own(system: System, tmp_path: Path) -> None:
    """What is too old there is not copied, and removed if we put it there; what others put there stays."""
    (tmp_path / "offsite").mkdir()
    there = DirectorySettings(tmp_path / "offsite")
    path = await large(system)
    for year in (2020, 2021, 2022):
        (path.parent / f"backup-vault-{year}0101-000000.enc").write_bytes(path.read_bytes()[: 70 * 1024])
    assert (await sync(system, copy_to(there))).ok
    (there.path / "backup-vault-20190101-000000.enc").write_bytes(b"somebody else's")
    (path.parent / "backup-vault-20220101-000000.enc").unlink()
    rules = copy_to(there, retention_days=30, keep_at_least=2)
    dry = await sync(system, rules, dry_run=True)
    report = await sync(system, rules)
    assert dry.deleted == report.deleted == tuple(f"backup-vault-{year}0101-000000.enc" for year in (2020, 2021))
    assert [each.archive for each in report.states] == [path.name]
    found = sorted(each.name for each in there.path.iterdir())
    years = ("backup-vault-20190101-000000.enc", "backup-vault-20220101-000000.enc", path.name)
    assert found == [*years, "copies"]


async def test_a_copy_keeps_the_newest_that_a_drill_proved(system: System, tmp_path: Path) -> None:
    """However old it is, also when it is gone elsewhere; while nobody can say which that is, nothing is deleted."""
    (tmp_path / "offsite").mkdir()
    there = DirectorySettings(tmp_path / "offsite")
    path = await large(system)
    names = [f"backup-vault-{year}0101-000000.enc" for year in (2020, 2021, 2022, 2023)]
    for name in names:
        (path.parent / name).write_bytes(path.read_bytes()[: 70 * 1024])
    assert (await sync(system, copy_to(there))).ok
    (path.parent / names[1]).unlink()
    rules = copy_to(there, retention_days=30, keep_at_least=1)

    async def away(_: Collection[str]) -> Collection[str]:
        raise DatabaseError("The records do not answer.")

    async def drilled(asked: Collection[str]) -> Collection[str]:
        assert {*asked} <= {*names, path.name}
        return {*names[:2]} & {*asked}

    report = await sync(system, rules, proven=away)
    assert (report.deleted, report.ok, len(report.warnings)) == ((), True, 1)
    assert "The records do not answer." in report.warnings[0]
    assert (await sync(system, rules, proven=drilled)).deleted == (names[0], *names[2:])
    assert (there.path / names[1]).exists()


async def test_what_could_not_be_copied_keeps_no_other_from_staying(system: System, tmp_path: Path) -> None:
    """While new archives do not get there, the newest good copies stay, however old: they may be all that is left."""
    (tmp_path / "offsite").mkdir()
    there = DirectorySettings(tmp_path / "offsite")
    path = await large(system, "backup-vault-20210101-000000.enc")
    (path.parent / "backup-vault-20200101-000000.enc").write_bytes(path.read_bytes()[: 70 * 1024])
    assert (await sync(system, copy_to(there))).ok
    (path.parent / "backup-vault-20260101-000000.enc").write_bytes(b"no archive")
    rules = copy_to(there, retention_days=30, keep_at_least=1)
    dry = await sync(system, rules, dry_run=True)
    assert dry.deleted == ("backup-vault-20200101-000000.enc", path.name)  # were the new one copied
    report = await sync(system, rules)
    assert [each.state for each in report.states] == ["failed"]
    assert report.deleted == ("backup-vault-20200101-000000.enc",)
    assert (there.path / path.name).exists()


async def test_a_pinned_copy_is_not_deleted(system: System, tmp_path: Path) -> None:
    """Neither by who deletes copies, nor by a run that was under way when its archive or the copy was pinned."""
    there = DirectorySettings(tmp_path / "offsite")
    there.path.mkdir()
    path = await large(system, "backup-vault-20200101-000000.enc")
    for each in ("20210101", "20260101"):
        (path.parent / f"backup-vault-{each}-000000.enc").write_bytes(path.read_bytes()[: 70 * 1024])
    assert (await sync(system, copy_to(there))).ok
    await pin(path.name, there)
    gone, warnings = await delete_copies(path.name, [copy_to(there)])
    assert (gone, len(warnings), "pinned" in warnings[0]) == ([], 1, True)
    await unpin(path.name, there)

    class PinnedMeanwhile(DirectoryStore):
        async def unfinished(self) -> frozenset[str]:  # the last that is asked before anything is deleted
            found = await super().unfinished()
            await pin(path.name, there)
            await pin("backup-vault-20210101-000000.enc", system.store)
            return found

    late = copy_to(leading_to(PinnedMeanwhile(there), there), retention_days=30, keep_at_least=1)
    report = await sync(system, late)
    assert (report.deleted, report.warnings) == ((), ())
    assert (there.path / path.name).exists()


class _Lying(DirectoryStore):
    """Gives other bytes than it was given, from the second MiB on."""

    @contextlib.asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def lies(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            at = start
            async for chunk in chunks:
                yield bytes(len(chunk)) if at >= _MIB else chunk
                at += len(chunk)

        async with super().get(name, start=start, end=end, pin=pin) as chunks:
            yield lies(chunks)


async def test_a_good_copy_outlives_a_wrong_reading_of_its_new_slots(system: System, tmp_path: Path) -> None:
    """A store that reads wrong once its copy got new key slots still has the copy; the next run finds it good."""
    there = DirectorySettings(tmp_path / "offsite")
    there.path.mkdir()
    path = await large(system)

    class LyingLater(_Lying):
        lies = False

        async def replace_start(self, name: str, data: bytearray, *, skip: int, pin: ObjectInfo) -> ObjectInfo:
            made = await super().replace_start(name, data, skip=skip, pin=pin)
            self.lies = True
            return made

        def get(self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None) -> Any:
            kind = _Lying if self.lies else DirectoryStore
            return kind.get(self, name, start=start, end=end, pin=pin)

    copy = copy_to(leading_to(LyingLater(there), there))
    assert (await sync(system, copy)).ok
    data = bytearray(path.read_bytes())
    head = Head.parse(bytes(data[:MAX_HEAD]))
    data[head.size - 1] ^= 1  # as new slots do, with their MAC
    path.write_bytes(data)
    (failed,) = (await sync(system, copy, new_slots=True)).states
    assert failed.state == "failed"
    assert (there.path / path.name).read_bytes() == data
    assert (await sync(system, copy_to(there))).ok


async def test_a_store_that_fails(system: System, tmp_path: Path) -> None:
    """Its report says so; the others get their copies. One that gives other bytes loses what it was given."""
    away, good = DirectorySettings(tmp_path / "away"), DirectorySettings(tmp_path / "good")
    lying = DirectorySettings(tmp_path / "lying")
    for each in (good, lying):
        each.path.mkdir()
    path = await large(system)
    stores = {"away": away, "lying": leading_to(_Lying(lying), lying), "good": good}
    copies = [Copy(number=number, name=name, store=store) for number, (name, store) in enumerate(stores.items(), 1)]
    reports = {each.copy: each for each in await sync_copies(system.store, copies)}
    assert reports["away"].error
    assert not reports["away"].ok
    (failed,) = reports["lying"].states
    assert (failed.state, hashlib.sha256(path.read_bytes()).hexdigest() in failed.error) == ("failed", True)
    assert [each for each in lying.path.rglob("*") if each.is_file()] == []
    assert 0 < reports["lying"].lag < 3600
    assert reports["good"].ok


_SCRIPT = """
import sys, anyio
from pathlib import Path
from kleidia_backup import DirectorySettings, S3Settings
from kleidia_backup.pipeline.copies import one
from kleidia_backup.pipeline.copies.settings import Copy
from kleidia_backup.pipeline.copies.sync import sync_copies
one.PART = 5 << 20
first, bucket, endpoint, key, secret = sys.argv[1:]
store = S3Settings(bucket, endpoint=endpoint, region="us-east-1", prefix="offsite/", access_key_id=key,
    secret_access_key=secret, path_style=True)
copy = Copy(number=1, name="offsite", store=store)
anyio.run(sync_copies, DirectorySettings(Path(first), "backups/"), [copy])
"""


@pytest.mark.parametrize("kind", ["moto", "rclone"])
async def test_a_killed_copy_goes_on(
    system: System, kind: str, bucket: Bucket, rclone_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kill -9`` at the third part: the next run sends that one alone, and the copy is the archive."""
    monkeypatch.setattr(one, "PART", 5 * _MIB)
    found = bucket if kind == "moto" else rclone_bucket
    path, server, reached = await large(system), found.server, anyio.Event()

    async def stall(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        reached.set()
        await anyio.sleep(60)
        return web.Response(status=503)

    async with fault_proxy(server.endpoint) as proxy:
        proxy.fail("UploadPart", _third(stall), times=1000)
        arguments = [str(system.directory), found.name, proxy.endpoint, server.access_key, server.secret_key]
        process = await anyio.open_process([sys.executable, "-c", _SCRIPT, *arguments])
        try:
            with anyio.fail_after(60):
                await reached.wait()
                while len(_stored(found)) < 2:  # noqa: ASYNC110 - only the server knows
                    await anyio.sleep(0.05)
        finally:
            process.kill()
            await process.aclose()
    assert found.keys() == []
    async with fault_proxy(server.endpoint) as proxy:
        copy = copy_to(s3(found, endpoint=proxy.endpoint))
        dry = await sync(system, copy, dry_run=True)
        assert [each.state for each in dry.states] == ["copying"]
        assert (await sync(system, copy)).ok
        sent = [each.query["partNumber"] for each in proxy.seen if each.operation == "UploadPart"]
    assert sent == ["3"]
    assert await content(s3(found), path.name) == path.read_bytes()


def _third(fault: Callable[..., Any]) -> Callable[..., Any]:
    async def act(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        if request.query["partNumber"] == "3":
            answer: web.StreamResponse = await fault(request, forward)
            return answer
        return await forward()

    return act


def _stored(bucket: Bucket) -> list[int]:
    """The numbers of the parts that the store has of its one unfinished upload."""
    with contextlib.closing(bucket.server.client()) as client:
        (upload,) = client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
        where = {"Bucket": bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        return [each["PartNumber"] for each in client.list_parts(**where).get("Parts", [])]


async def test_a_partial_file_is_gone_on_with(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run left is kept where it is right, and written again where it is not."""
    monkeypatch.setattr(one, "PART", 5 * _MIB)
    path = await large(system)
    data = path.read_bytes()
    offsite = tmp_path / "offsite"
    offsite.mkdir()
    partial = offsite / f".{path.name}.{'0' * 16}.part"
    partial.write_bytes(data[: 5 * _MIB] + bytes(3 * _MIB))
    node, copy = partial.stat().st_ino, copy_to(DirectorySettings(offsite))
    assert [each.state for each in (await sync(system, copy, dry_run=True)).states] == ["copying"]
    assert (await sync(system, copy)).ok
    assert ((offsite / path.name).stat().st_ino, (offsite / path.name).read_bytes() == data) == (node, True)
    assert [each.name for each in offsite.iterdir() if each.name.startswith(".")] == []
