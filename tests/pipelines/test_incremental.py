"""Incremental reads of a vault: what is taken from the newest archive, what is read, and why."""

from __future__ import annotations

import json
import random
import secrets
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup import BackupReport, DirectorySettings, Keys, Root, SigningKey, TokenAuth, VaultSettings, backup
from kleidia_backup.demo.servers.kv import KvMount, OpenBaoServer
from kleidia_backup.demo.servers.openbao import start_openbao
from kleidia_backup.formats.v2 import kv as chunks_of_secrets
from kleidia_backup.pipeline.archives.listing import newest
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.archives.v2 import OpenV2
from kleidia_backup.pipeline.incremental import look_back
from kleidia_backup.stages.errors import DamagedArchive
from kleidia_backup.stages.vault import surroundings
from kleidia_backup.stages.vault.incremental import earlier
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.identity import identity_of
from kleidia_backup.stages.vault.kv.transport import Call, Transport
from kleidia_backup.stages.vault.metadata import gather

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


class Shelf:
    """Archives of one vault, one after the other."""

    def __init__(self, directory: Path, server: OpenBaoServer, mount: str) -> None:
        self.store = DirectorySettings(directory)
        self.vault = VaultSettings(server.address, TokenAuth(server.root_token), (Root("", mount),))
        self.made = 0

    async def back_up(self, **changes: Any) -> BackupReport:
        """The next archive."""
        given: dict[str, Any] = {
            "vault": self.vault,
            "password": PASSWORD,
            "format": "v2",
            "incremental": True,
        } | changes
        self.made += 1
        return await backup(store=self.store, name=f"backup-vault-20260101-0000{self.made:02}.enc", **given)

    async def values(self, made: BackupReport, password: str = PASSWORD) -> dict[str, Any]:
        """What an archive holds."""
        async with self.store.open() as store:
            archive = await open_archive(store, made.name, password)
            assert isinstance(archive, OpenV2)
            found = [each for at in range(len(archive.index.entries)) for each in await archive.secrets_of(at)]
        return {each.path: json.loads(each.value) for each in found if not each.gone}


@pytest.fixture
def shelf(tmp_path: Path, kv: KvMount) -> Shelf:
    (tmp_path / "store").mkdir(mode=0o700)
    return Shelf(tmp_path / "store", kv.server, kv.path)


@pytest.fixture(autouse=True)
def any_time_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time whose nanoseconds end in five zeros, as one of 100,000 does, is none of a coarse clock here."""
    monkeypatch.setattr(gather, "_FINE", 0)


def counts(made: BackupReport) -> tuple[int, int, list[str]]:
    """Taken, read, and why."""
    assert made.incremental is not None
    return made.incremental.taken, made.incremental.read, [each.why for each in made.incremental.full]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests to the vault."""
    paths: list[str] = []
    once = Transport.once

    async def noted(self: Transport, call: Call, token: str) -> Any:
        paths.append(call.path)
        return await once(self, call, token)

    monkeypatch.setattr(Transport, "once", noted)
    return paths


async def test_what_changed_is_read(shelf: Shelf, kv: KvMount, asked: list[str]) -> None:
    """A new version, a new key, and one that was deleted with its metadata and written again with the same number."""
    for n in range(30):
        kv.put(f"folder/{n:02}", {"n": n})
        kv.put(f"alone{n:02}/leaf", {"n": n})
    shelf.vault = replace(shelf.vault, workers=1)  # several do not know of each other's first folder
    assert counts(await shelf.back_up()) == (0, 60, ["no_archive"])
    asked.clear()
    made = await shelf.back_up()
    assert counts(made) == (60, 0, [])
    assert [path for path in asked if path.startswith(f"{kv.path}/data/")] == []
    lists = [path for path in asked if path.startswith((f"{kv.path}/metadata/", f"{kv.path}/detailed-metadata/"))]
    assert len(lists) == 1 + 31 + 1  # the mount, each folder, and the first folder at that depth once more
    kv.put("folder/01", {"n": "new"})
    kv.put("folder/new", {"n": "added"})
    kv.delete("folder/02")
    kv.put("folder/02", {"n": "again"})
    kv.delete("alone03/leaf")
    asked.clear()
    made = await shelf.back_up()
    assert counts(made) == (57, 3, [])
    read = sorted(path for path in asked if path.startswith(f"{kv.path}/data/"))
    assert read == [f"{kv.path}/data/folder/{name}" for name in ("01", "02", "new")]
    assert await shelf.values(made) == kv.all()


async def test_a_time_of_a_coarse_clock_tells_no_versions_apart(
    shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions could have the same one: what has such a time is read."""
    kv.put("a", {"n": 1})
    kv.put("b", {"n": 2})
    await shelf.back_up()
    monkeypatch.setattr(gather, "_FINE", len("2026-01-31T23:59:59.123456789Z") + 1)
    assert counts(await shelf.back_up()) == (0, 2, [])
    monkeypatch.setattr(gather, "_FINE", 0)
    assert counts(await shelf.back_up()) == (2, 0, [])


async def test_metadata_is_that_of_now(shelf: Shelf, kv: KvMount) -> None:
    """Custom metadata that changed costs no read and is in the new archive; what has a time of deletion is read."""
    kv.put("a", {"n": 1})
    kv.put("b", {"n": 2})
    await shelf.back_up()
    kv.server.request("POST", f"{kv.path}/metadata/a", {"custom_metadata": {"owner": "me"}})
    kv.server.request("DELETE", f"{kv.path}/data/b")
    made = await shelf.back_up()
    assert counts(made) == (1, 0, [])
    assert made.deleted == 1
    assert await shelf.values(made) == {"a": {"n": 1}}


async def test_a_mount_made_again(shelf: Shelf, kv: KvMount) -> None:
    """Its paths and numbers are the same, and nothing is taken."""
    kv.put("a", {"n": "old"})
    await shelf.back_up()
    kv.server.request("DELETE", f"sys/mounts/{kv.path}")
    again = kv.server.mount(kv.path)
    again.put("a", {"n": "new"})
    made = await shelf.back_up()
    assert counts(made) == (0, 1, ["other_mount"])
    assert await shelf.values(made) == {"a": {"n": "new"}}


async def test_what_is_not_proven_is_not_used(shelf: Shelf, kv: KvMount) -> None:
    """Another password, another system, other roots, damage, and an archive of format V1."""
    kv.put("a", {"n": 1})
    first = await shelf.back_up(system="one")
    assert counts(await shelf.back_up(system="two")) == (0, 1, ["other_system"])
    other = await shelf.back_up(password="another battery horse staple")
    assert counts(other) == (0, 1, ["no_key"])
    assert any("incremental" in each for each in other.warnings)
    assert counts(await shelf.back_up())[2] == ["no_key"]
    moved = replace(shelf.vault, roots=(Root("x/", kv.path),))
    assert counts(await shelf.back_up(vault=moved)) == (0, 1, ["other_roots"])
    made = await shelf.back_up(format="v1", incremental=False)
    assert counts(await shelf.back_up()) == (0, 1, ["format_v1"])
    path = shelf.store.path / f"backup-vault-20260101-0000{shelf.made:02}.enc"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert counts(await shelf.back_up()) == (0, 1, ["damaged"])
    assert first.secrets == made.secrets == 1


async def test_only_signed_archives_are_taken_from_by_who_signs(shelf: Shelf, kv: KvMount) -> None:
    """Nothing of an archive that nobody signed, or a stranger; of one's own afterwards."""
    kv.put("a", {"n": 1})
    await shelf.back_up()
    own, other = SigningKey.generate(), SigningKey.generate()
    keys, others = Keys(signing_key=own), Keys(signing_key=other)
    made = await shelf.back_up(keys=keys)
    assert counts(made) == (0, 1, ["signer"])
    assert any("not signed by a key that is trusted" in each for each in made.warnings)
    assert counts(await shelf.back_up(keys=keys)) == (1, 0, [])
    assert counts(await shelf.back_up(keys=others)) == (0, 1, ["signer"])
    trusting = Keys(signing_key=own, trusted_signers=(other.public,))
    assert counts(await shelf.back_up(keys=trusting)) == (1, 0, [])


async def test_an_archive_that_goes_meanwhile(shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the listing and its opening: everything is read, and a warning says so."""
    kv.put("a", {"n": 1})
    first = await shelf.back_up()

    async def then_gone(*given: Any) -> str:
        name = await newest(*given)
        (shelf.store.path / name).unlink()
        return name

    monkeypatch.setattr(look_back, "newest", then_gone)
    made = await shelf.back_up()
    assert first.secrets == 1
    assert counts(made) == (0, 1, ["store"])
    assert any("the store did not give the newest archive" in each for each in made.warnings)


async def test_an_archive_that_does_not_say_what_it_was_made_of(shelf: Shelf, kv: KvMount) -> None:
    """One without metadata; and without it nothing is compared at all."""
    kv.put("a", {"n": 1})
    without = replace(shelf.vault, metadata=False)
    made = await shelf.back_up(vault=without)
    assert counts(made) == (0, 1, ["metadata_off"])
    assert counts(await shelf.back_up()) == (0, 1, ["unrecorded"])
    assert counts(await shelf.back_up(vault=without)) == (0, 1, ["metadata_off"])


async def test_a_program_of_another_version(shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may write the same value in another way."""
    kv.put("a", {"n": 1})
    await shelf.back_up()

    async def upgraded(client: VaultClient) -> tuple[str, str]:
        return (await identity_of(client))[0], "99.0.0"

    monkeypatch.setattr(surroundings, "identity_of", upgraded)
    assert counts(await shelf.back_up()) == (0, 1, ["other_version"])
    assert counts(await shelf.back_up()) == (1, 0, [])


async def test_another_vault(shelf: Shelf, kv: KvMount, tmp_path: Path) -> None:
    """With the same mount, paths and numbers of versions."""
    kv.put("a", {"n": 1})
    await shelf.back_up()
    (tmp_path / "other").mkdir()
    server, process = start_openbao(tmp_path / "other")
    try:
        other = server.mount(kv.path)
        other.put("a", {"n": "of another vault"})
        vault = replace(shelf.vault, address=server.address, auth=TokenAuth(server.root_token))
        made = await shelf.back_up(vault=vault)
        assert counts(made) == (0, 1, ["other_vault"])
        assert await shelf.values(made) == {"a": {"n": "of another vault"}}
    finally:
        process.stop()


async def test_version_1_counts_no_versions(shelf: Shelf, kv_mount: Callable[[int], KvMount], kv: KvMount) -> None:
    """That root is read, and the other one is taken."""
    one = kv_mount(1)
    one.put("x", {"n": 1})
    kv.put("a", {"n": 2})
    shelf.vault = replace(shelf.vault, roots=(*shelf.vault.roots, Root("one/", one.path)))
    await shelf.back_up()
    made = await shelf.back_up()
    assert counts(made) == (1, 1, ["kv_v1"])
    assert made.incremental is not None
    assert made.incremental.full[0].root == f"{one.path}/"


async def test_what_the_token_may_not(shelf: Shelf, kv: KvMount) -> None:
    """Without the list of metadata by the folder, or without the right to read every value, everything is read."""
    kv.put("a", {"n": 1})
    await shelf.back_up()
    lists = {f"{kv.path}/metadata/*": ["list", "read"], f"{kv.path}/config": ["read"]}
    values, folders = {f"{kv.path}/data/*": ["read"]}, {f"{kv.path}/detailed-metadata/*": ["list"]}
    for rules, why in (
        (lists | values, ["no_listing"]),
        (lists | folders | {f"{kv.path}/data/a": ["read"]}, ["rights"]),
        (lists | values | folders, []),
    ):
        vault = replace(shelf.vault, auth=TokenAuth(token(kv.server, rules)))
        taken, read, found = counts(await shelf.back_up(vault=vault))
        assert (taken + read, found) == (1, why)
        assert taken == (not why)


async def test_an_archive_in_another_order(shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where chunks give too few secrets each, the vault is asked."""
    for n in range(40):
        kv.put(f"{n:02}/leaf", {"n": n})
    await shelf.back_up()
    monkeypatch.setattr(earlier, "_TRIES", -1)  # the very first chunk is one more than there should be
    taken, read, why = counts(made := await shelf.back_up())
    assert (taken + read, why) == (40, ["scattered"])
    assert await shelf.values(made) == kv.all()


async def test_folders_are_taken_from_in_order_whenever_they_are_listed(
    shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So each chunk of the archive is opened once, of many more than are held."""
    for folder in range(24):
        for n in range(40):
            kv.put(f"{folder:02}/{n:02}", {"n": n})
    monkeypatch.setattr(chunks_of_secrets, "SECRETS", 4000)
    shelf.vault = replace(shelf.vault, workers=1)  # reads in order
    await shelf.back_up()
    opened, once, of_chunk = list[int](), Transport.once, OpenV2.secrets_of

    async def late(self: Transport, call: Call, token: str) -> Any:
        await anyio.sleep(random.Random(call.path).random() / 20)
        return await once(self, call, token)

    async def noted(self: OpenV2, number: int) -> Any:
        opened.append(number)
        return await of_chunk(self, number)

    monkeypatch.setattr(Transport, "once", late)
    monkeypatch.setattr(OpenV2, "secrets_of", noted)
    shelf.vault = replace(shelf.vault, workers=20)
    for _ in range(2):  # the second takes from what the first made
        opened.clear()
        made = await shelf.back_up()
        assert counts(made) == (960, 0, [])
        assert len(opened) > 3 * earlier.HELD
        assert opened == sorted(set(opened))
    assert await shelf.values(made) == kv.all()


async def test_a_chunk_that_is_damaged_is_noticed_while_secrets_are_taken(
    shelf: Shelf, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was authenticated until then is used, the rest is read, and a warning says so."""
    for n in range(40):
        kv.put(f"{n:02}/leaf", {"n": n})
    await shelf.back_up()
    opened = OpenV2.secrets_of

    async def damaged(self: OpenV2, number: int) -> Any:
        if self.index.entries[number].k == "kv":
            raise DamagedArchive("chunk", "A chunk is damaged.")
        return await opened(self, number)

    monkeypatch.setattr(OpenV2, "secrets_of", damaged)
    made = await shelf.back_up()
    assert counts(made) == (0, 40, ["damaged"])
    assert any("is damaged" in each for each in made.warnings)


def token(server: OpenBaoServer, rules: dict[str, list[str]]) -> str:
    """A token with these rights."""
    name = f"test-{secrets.token_hex(6)}"
    text = "\n".join(f'path "{path}" {{ capabilities = {json.dumps(rights)} }}' for path, rights in rules.items())
    assert server.request("PUT", f"sys/policies/acl/{name}", {"policy": text})[0] == 204
    status, answer = server.request("POST", "auth/token/create", {"policies": [name], "ttl": "1h"})
    assert status == 200
    return str(answer["auth"]["client_token"])


async def test_a_vault_restored_from_a_snapshot(tmp_path: Path) -> None:
    """The same numbers with other values, before and after: nothing stale is taken."""
    server, process = start_openbao(tmp_path)
    try:
        kv = server.mount("kv")
        (tmp_path / "store").mkdir(mode=0o700)
        shelf = Shelf(tmp_path / "store", server, "kv")
        kv.put("same", {"n": 0})
        kv.put("changed", {"n": 1})
        snapshot = raft(server, "snapshot")
        kv.put("changed", {"n": "version 2, which the snapshot has not"})
        await shelf.back_up()
        raft(server, "snapshot-force", snapshot)
        process.wait_until(lambda: kv_answers(kv), threading.Event())
        made = await shelf.back_up()
        assert counts(made) == (1, 1, [])
        assert await shelf.values(made) == {"same": {"n": 0}, "changed": {"n": 1}}
        kv.put("changed", {"n": "another version 2"})
        made = await shelf.back_up()
        assert counts(made) == (1, 1, [])
        assert await shelf.values(made) == kv.all()
    finally:
        process.stop()


def raft(server: OpenBaoServer, name: str, body: bytes | None = None) -> bytes:
    """Take a snapshot of the whole storage, or put one back."""
    address, token = f"{server.address}/v1/sys/storage/raft/{name}", {"X-Vault-Token": server.root_token}
    request = urllib.request.Request(address, data=body, headers=token, method="GET" if body is None else "POST")
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def kv_answers(kv: KvMount) -> bool:
    """Whether the server works again after its storage was replaced."""
    return kv.server.request("GET", f"{kv.path}/data/changed")[0] == 200 and kv.get("changed") == {"n": 1}
