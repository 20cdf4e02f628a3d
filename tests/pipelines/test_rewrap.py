"""Other key slots for an archive: in a directory and on S3, and whatever cuts it off in the middle."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
from aiobotocore.client import AioBaseClient  # type: ignore[import-untyped]

from kleidia_backup import (
    ConfigurationError,
    Keys,
    PrivateKey,
    S3Settings,
    SigningKey,
    UnknownSigner,
    WrongPassword,
    backup,
    inspect,
    list_archives,
    restore,
    rewrap,
    verify,
)
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.formats.errors import UnsupportedArchive
from kleidia_backup.formats.v2.head import Head
from kleidia_backup.stages.errors import ObjectChanged
from kleidia_backup.stages.stores.s3 import multipart
from kleidia_backup.stages.stores.s3 import replace as module

from ..buckets import s3_settings
from .conftest import PASSWORD, System

# The servers are there before anybody counts processes.
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("bucket")]

FIRST, SECOND = (PrivateKey.generate("x25519") for _ in range(2))
SIGNING = SigningKey.generate()
NEW_PASSWORD = "another battery staple"
KEYS = Keys(recipients=(FIRST.public,), signing_key=SIGNING)
TRUST = Keys(trusted_signers=(SIGNING.public,))
#: Enough for three parts of an upload.
LARGE = 24


def by(key: PrivateKey) -> Keys:
    """What a host with this key has."""
    return replace(TRUST, private_keys=(key,))


def s3(bucket: Bucket, **changes: Any) -> S3Settings:
    """Settings for the test server, with short pauses."""
    return s3_settings(bucket, attempts=3, backoff=0.01, **changes)


@pytest.fixture(params=["directory", "moto"])
def store(request: pytest.FixtureRequest, system: System) -> Iterator[Any]:
    """Each kind of store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", 5 << 20)
        yield system.store if request.param == "directory" else s3(request.getfixturevalue("bucket"))


async def made(system: System, store: Any, keys: Keys = KEYS, *, large: bool = False, **given: Any) -> str:
    """An archive of the vault."""
    if large:
        for n in range(LARGE):
            system.yubikeys.put(f"large/{n}", {"data": secrets.token_urlsafe(500_000)})
    given = {"format": "v2", "password": PASSWORD, **given}
    return (await backup(vault=system.vault, store=store, keys=keys, **given)).name


async def types(name: str, store: Any) -> list[str]:
    """The types of an archive's slots."""
    _, head = await inspect(name, store)
    assert isinstance(head, Head)
    return [slot.members()["type"] for slot in head.slots]


async def test_slots_come_and_go(system: System, store: Any) -> None:
    """Each change opens the archive for somebody else; its data, facts and signature are as they were."""
    name, before = await made(system, store, large=True), system.secrets()
    at_first = await verify(name, store=store, password=PASSWORD)
    report = await rewrap(name, store=store, password=PASSWORD, keys=TRUST, add=[SECOND.public, FIRST.public])
    assert (report.name, report.changed, report.absent) == (name, True, ())
    assert await types(name, store) == ["password", "x25519", "x25519"]
    again = await rewrap(name, store=store, keys=by(SECOND), add=[SECOND.public])
    assert (again.changed, again.slots) == (False, report.slots)
    report = await rewrap(
        name, store=store, keys=by(SECOND), remove=[FIRST.public.id, "0" * 16], new_password=NEW_PASSWORD
    )
    assert report.absent == ("0" * 16,)
    for wrong in ({"password": PASSWORD}, {"keys": by(FIRST)}):
        with pytest.raises(WrongPassword):
            await verify(name, store=store, **wrong)
    await rewrap(name, store=store, password=NEW_PASSWORD, keys=TRUST, drop_password=True)
    assert await types(name, store) == ["x25519"]
    checked = await verify(name, store=store, keys=by(SECOND))
    assert (checked.header, checked.secrets, checked.trusted) == (at_first.header, at_first.secrets, True)
    system.yubikeys.delete("0001/piv")
    await restore(name, vault=system.vault, store=store, keys=by(SECOND))
    assert system.secrets() == before
    assert [each.name for each in await list_archives(store)] == [name]


async def test_what_cannot_be(system: System, store: Any) -> None:
    """Refused with the archive as it was."""
    name = await made(system, store)
    _, before = await inspect(name, store)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"remove": [FIRST.public.id], "drop_password": True}, ConfigurationError, "Nobody could open"),
        ({}, ConfigurationError, "nothing to change"),
        ({"drop_password": True, "new_password": NEW_PASSWORD}, ConfigurationError, "exclude each other"),
        ({"new_password": ""}, ConfigurationError, "is empty"),
        ({"password": "wrong", "drop_password": True}, WrongPassword, "No key slot"),
        ({"keys": Keys(), "drop_password": True}, UnknownSigner, "not trusted"),
    ]
    for given, error, why in refused:
        with pytest.raises(error, match=why):
            await rewrap(name, store=store, **{"password": PASSWORD, "keys": TRUST, **given})
    assert (await inspect(name, store))[1] == before
    unsigned = await made(system, store, Keys(), name="unsigned.enc")
    with pytest.raises(ConfigurationError, match="is not signed"):
        await rewrap(unsigned, store=store, password=PASSWORD, add=[FIRST.public])
    old = await made(system, store, Keys(), name="old.enc", format="v1")
    with pytest.raises(UnsupportedArchive, match="no key slots"):
        await rewrap(old, store=store, password=PASSWORD, new_password=NEW_PASSWORD)


async def test_a_stranger_gains_nothing_by_a_rewrap(system: System, store: Any) -> None:
    """An archive that somebody else made for our key does not become one that our password vouches for."""
    name = await made(system, store, replace(KEYS, signing_key=SigningKey.generate(), password_slot=False))
    with pytest.raises(UnknownSigner):
        await rewrap(name, store=store, keys=by(FIRST), new_password=NEW_PASSWORD, remove=[FIRST.public.id])
    assert await types(name, store) == ["x25519"]


async def test_the_store_copies_the_data(system: System, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts but the first; and what was copied carries the condition that it is the same object."""
    monkeypatch.setattr(module, "PART", 5 << 20)
    store = s3(bucket)
    name, read, copied = await made(system, store, large=True), [0], [0]
    info, head = await inspect(name, store)
    reading, copying = module._read, multipart.copy_part

    async def reads(*given: Any) -> bytearray:
        found = await reading(*given)
        read[0] += len(found)
        return found

    async def copies(*given: Any) -> Any:
        copied[0] += given[-1] - given[-2]
        return await copying(*given)

    monkeypatch.setattr(module, "_read", reads)
    monkeypatch.setattr(multipart, "copy_part", copies)
    await rewrap(name, store=store, password=PASSWORD, keys=TRUST, new_password=NEW_PASSWORD)
    assert read[0] < 5 << 20
    assert read[0] + copied[0] == info.size - head.size
    assert (await verify(name, store=store, password=NEW_PASSWORD)).secrets == 33 + LARGE


async def test_replaced_by_somebody_else_meanwhile(
    system: System, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's object stays as it is, and nothing is left of ours; the last request has a condition too."""
    monkeypatch.setattr(module, "PART", 5 << 20)
    store = s3(bucket)
    name = await made(system, store, large=True)
    real = AioBaseClient._make_api_call
    begun: list[str] = []
    conditions: dict[str, list[str]] = {}

    async def watch(client: Any, operation: str, given: dict[str, Any]) -> Any:
        if operation in begun:
            begun.remove(operation)
            bucket.put(name, b"x" * (30 << 20))
        conditions.setdefault(operation, []).append(given.get("IfMatch", given.get("CopySourceIfMatch", "")))
        return await real(client, operation, given)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", watch)
    await rewrap(name, store=store, password=PASSWORD, keys=TRUST, add=[SECOND.public])
    assert len(conditions["UploadPartCopy"]) == 2
    (etag,) = {*conditions["UploadPartCopy"], *conditions["CompleteMultipartUpload"]}
    assert len(etag) > 30
    for operation in ("UploadPartCopy", "ListParts"):  # the server of the tests does not know the last condition
        begun.append(operation)
        with pytest.raises(ObjectChanged):
            await rewrap(name, store=store, password=PASSWORD, keys=TRUST, drop_password=True)
        assert (bucket.uploads(), await size_of(name, store)) == ([], 30 << 20)
        name = await made(system, store)


async def size_of(name: str, store: Any) -> int:
    """Bytes of an object, whatever it is."""
    async with store.open() as entered:
        return int((await entered.head(name)).size)


#: Changes the slots again and again, each time in a process that is killed one step later than the one before, until
#: one ends by itself. After each, some process opens the archive by its old password or by the new one.
_KILLED = """
import os, signal, sys
from dataclasses import dataclass
import anyio
from aiobotocore.client import AioBaseClient
from kleidia_backup import DirectorySettings, Keys, S3Settings, VerifyKey, WrongPassword, rewrap, verify
from kleidia_backup.stages.stores.directory import paths, replace
from kleidia_backup.stages.stores.s3 import replace as s3_replace

kind, settings, name, signer, *passwords = sys.argv[1:]
s3_replace.PART = 5 << 20
replace.STEP = 1 << 20
store = eval(settings, {"S3Settings": S3Settings, "DirectorySettings": DirectorySettings})
keys = Keys(trusted_signers=(VerifyKey.parse(signer),))

def forked(work):
    child = os.fork()
    if not child:
        try:
            work()
        except WrongPassword:
            os._exit(3)
        except BaseException as exc:
            print(repr(exc), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def step(real):
    def stepping(*given, **named):
        die()
        return real(*given, **named)
    return stepping

def die():
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

async def call(client, operation, given, real=AioBaseClient._make_api_call):
    if operation not in {"HeadObject", "GetObject"}:
        die()
    found = await real(client, operation, given)
    if operation not in {"HeadObject", "GetObject"}:
        die()
    return found

def change(old, new):
    if kind == "moto":
        AioBaseClient._make_api_call = call
    else:
        for each in ("lseek", "write", "copy_file_range", "fsync"):
            setattr(os, each, step(getattr(os, each)))
        replace.Path.replace = step(replace.Path.replace)
        replace.sync_up = step(replace.sync_up)
    anyio.run(lambda: rewrap(name, store=store, password=old, keys=keys, new_password=new))

def opens(password):
    return forked(lambda: anyio.run(lambda: verify(name, store=store, password=password))) == 0

old, new = passwords
steps = kills = 0
while True:
    steps += 1
    left = steps
    status = forked(lambda: change(old, new))
    if status == signal.SIGKILL:
        kills += 1
    else:
        assert status == 0, status
    assert opens(old) + opens(new) == 1, steps
    if opens(new):
        old, new = new, old
    if status == 0:
        break
print(kills)
"""


@pytest.mark.parametrize("kind", ["directory", "moto"])
async def test_killed_at_any_moment(system: System, bucket: Bucket, kind: str) -> None:
    """The archive opens by the old slots or by the new ones, and another attempt ends well."""
    store: Any = system.store if kind == "directory" else s3(bucket)
    name = await made(system, store, large=kind == "moto")
    settings = repr(store)
    if kind == "directory":
        settings = f"DirectorySettings({str(system.directory)!r}, 'backups/')"
    else:
        settings = settings.replace("S3Settings(", f"S3Settings(secret_access_key={store.secret_access_key!r}, ")
    arguments = [kind, settings, name, SIGNING.public.text, PASSWORD, NEW_PASSWORD]
    with anyio.fail_after(200):
        done = await anyio.run_process([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert done.returncode == 0, done.stderr.decode()
    # Open, begin, copy, finish: a file has some steps, an upload more, of which each ends twice.
    assert int(done.stdout) >= (6 if kind == "directory" else 12)
