"""Everything that a vault says about every secret comes back: metadata, the settings of keys, older versions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import BackupReport, ConfigurationError, Root, TokenAuth, backup, plan_restore, restore
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.pipeline.export import ExportRequest, export_secrets, read_secrets
from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.vault.metadata.keys import Keys

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]
#: What a restore cannot set, and nobody expects.
TIMES = {"created_time", "updated_time", "deletion_time"}


def ask(kv: KvMount, method: str, path: str, body: object = None, query: str = "") -> Any:
    """One request below the mount, which must succeed or find nothing."""
    status, answer = kv.server.request(method, f"{kv.path}/{path}", body, query=query)
    assert status in {200, 204, 404}, (status, answer, path)
    return answer


def said(kv: KvMount, path: str) -> dict[str, Any]:
    """All that the vault says about a secret, but for times and the counter of changes to its metadata."""
    key = ask(kv, "GET", f"metadata/{path}")["data"]
    del key["current_metadata_version"]
    versions = {}
    for number, each in key.pop("versions").items():
        answer = ask(kv, "GET", f"data/{path}", query=f"version={number}")["data"]
        deleted = bool(each["deletion_time"]) and answer["data"] is None
        versions[number] = (each["destroyed"], deleted and not each["destroyed"], answer["data"])
    return {name: value for name, value in key.items() if name not in TIMES} | {"versions": versions}


def everything(kv: KvMount) -> dict[str, Any]:
    """The same of all secrets of a mount."""
    paths = kv.paths()
    with ThreadPoolExecutor(8) as threads:
        return dict(zip(paths, threads.map(lambda path: said(kv, path), paths), strict=True))


def generate(kv: KvMount, number: int, seed: int) -> None:
    """Secrets of all kinds, the same ones for the same seed; some have no value: deleted, destroyed, metadata alone."""

    def make(n: int) -> None:
        rng = random.Random(seed * 100_000 + n)
        path = rng.choice(["", "a/", "a/b/", "ünï/", f"{n:04d}/"]) + f"s{n}"
        settings: dict[str, Any] = {}
        if rng.random() < 0.3:
            settings["custom_metadata"] = {
                f"k{i}<&é": rng.choice(["x", '"\\', "ü€😀"]) for i in range(rng.randint(1, 4))
            }
        if rng.random() < 0.2:
            settings["max_versions"] = rng.choice([1, 2, 5, 15])
        if rng.random() < 0.2:
            settings["delete_version_after"] = rng.choice(["1h", "72h30m5s"])
        value = rng.random()
        if settings or value < 0.06:
            ask(kv, "POST", f"metadata/{path}", settings or {"max_versions": 0})
        if value < 0.06:
            return
        for version in range(rng.choice([1, 1, 1, 2, 3, 12])):
            ask(kv, "POST", f"data/{path}", {"data": {"v": version, "n": n, "t": "é" * rng.randint(0, 20)}})
        key = ask(kv, "GET", f"metadata/{path}")["data"]
        for old in range(1, key["current_version"]):
            if rng.random() < 0.2:
                ask(kv, "POST", f"{rng.choice(['delete', 'destroy'])}/{path}", {"versions": [old]})
        if value < 0.18:
            how = "delete" if value < 0.12 else "destroy"
            ask(kv, "POST", f"{how}/{path}", {"versions": [key["current_version"]]})
        if rng.random() < 0.1:
            ask(kv, "POST", f"metadata/{path}", {"cas_required": True})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, range(number)))


async def save(system: System, kv: KvMount, versions: int = 1, **changes: Any) -> tuple[BackupReport, Any]:
    """A backup of one mount, and the vault as it asks for it."""
    vault = replace(system.vault, roots=(Root("", kv.path),), versions=versions)
    options: dict[str, Any] = {"vault": vault, "store": system.store, "password": PASSWORD, "format": "v2"}
    return await backup(**options | changes), vault


def newest(vault: dict[str, Any]) -> dict[str, Any]:
    """What is to come back when older versions are not asked for: one version, which is number 1 if it has a value."""
    found = {}
    for path, key in vault.items():
        current = key["current_version"]
        version = key["versions"].get(str(current))
        if version and version[2] is not None:
            found[path] = key | {"current_version": 1, "oldest_version": 0, "versions": {"1": version}}
        elif version:
            oldest = current if current > 1 else 0
            found[path] = key | {"oldest_version": oldest, "versions": {str(current): version}}
        else:
            found[path] = key
    return found


MANY = [
    pytest.param(1, 150, id="newest"),
    pytest.param(0, 200, id="all"),
    pytest.param(0, 1000, id="a thousand", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize(("versions", "number"), MANY)
async def test_generated_secrets(system: System, kv_mount: Mounter, versions: int, number: int) -> None:
    """After a backup, a wipe and a restore each is as before; a second restore writes nothing."""
    kv = kv_mount(2)
    generate(kv, number, seed=versions)
    before = everything(kv)
    assert len(before) == number
    made, vault = await save(system, kv, versions)
    assert made.warnings == ()
    for path in before:
        kv.delete(path)
    report = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    empty = sum(
        each[2] is None
        for key in (before if versions == 0 else newest(before)).values()
        for each in key["versions"].values()
    )
    (warning,) = report.warnings
    assert warning.startswith(
        f"{empty} versions were deleted or destroyed when the archive was made, and came back so, "
    )
    assert report.written == number
    after = everything(kv)
    for path, key in (before if versions == 0 else newest(before)).items():
        assert after[path] == key, path
    assert after.keys() == before.keys()
    again = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    assert (again.unchanged, again.warnings, everything(kv)) == (number, (), after)


def described(kv: KvMount, path: str, **settings: Any) -> None:
    """A secret with metadata."""
    ask(kv, "POST", f"metadata/{path}", settings)
    kv.put(path, {"at": path})


async def test_changed_metadata_is_set_back(system: System, kv_mount: Mounter) -> None:
    """Where a secret is there its metadata becomes that of the archive, and its version numbers go on."""
    kv = kv_mount(2)
    described(kv, "tagged", custom_metadata={"owner": "me"}, max_versions=4)
    described(kv, "plain")
    made, vault = await save(system, kv)
    before = everything(kv)
    ask(kv, "POST", "metadata/tagged", {"custom_metadata": {"owner": "you"}, "max_versions": 0})
    ask(kv, "POST", "metadata/plain", {"custom_metadata": {"new": "1"}, "delete_version_after": "1h"})
    kv.put("plain", {"changed": True})
    report = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    assert (report.written, report.unchanged, report.warnings) == (1, 1, ())
    after = everything(kv)
    assert after["tagged"] == before["tagged"]
    assert after["plain"]["current_version"] == 3
    assert after["plain"]["versions"]["3"] == before["plain"]["versions"]["1"]
    assert {name: after["plain"][name] for name in ("custom_metadata", "delete_version_after")} == {
        "custom_metadata": None,
        "delete_version_after": "0s",
    }
    answer = ask(kv, "GET", "metadata/plain")["data"]
    assert answer["versions"]["3"]["deletion_time"] == ""  # by the setting that it no longer has


async def test_some_versions(system: System, kv_mount: Mounter) -> None:
    """As many as were asked for come back under their numbers; the others are not there."""
    kv = kv_mount(2)
    for number in range(6):
        kv.put("many", {"n": number})
    made, vault = await save(system, kv, 3)
    before = said(kv, "many")
    kv.delete("many")
    await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    after = said(kv, "many")
    assert after["current_version"] == 6
    assert after["versions"] == {number: before["versions"][number] for number in ("4", "5", "6")}


async def test_versions_of_a_key_that_is_there(system: System, kv_mount: Mounter) -> None:
    """Nothing can be put between its versions: the newest comes back, and a warning names the secret."""
    kv = kv_mount(2)
    for number in range(3):
        kv.put("x", {"n": number})
    made, vault = await save(system, kv, 0)
    kv.put("x", {"n": "other"})
    report = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    assert kv.get("x") == {"n": 2}
    assert report.warnings == (
        "1 secret did not get its older versions back: x (the key is there, with versions of its own).",
    )


async def test_a_mount_that_keeps_fewer(system: System, kv_mount: Mounter) -> None:
    """All are there at first, and a warning says what becomes of them."""
    kv = kv_mount(2)
    for number in range(5):
        kv.put("x", {"n": number})
    made, vault = await save(system, kv, 0)
    kv.delete("x")
    ask(kv, "POST", "config", {"max_versions": 2})
    report = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    assert len(said(kv, "x")["versions"]) == 5
    why = f"the mount {kv.path} keeps 2, so the others go with its next version"
    assert report.warnings == (f"1 secret has its older versions, but not as before: x ({why}).",)


async def test_version_1_of_the_engine(system: System, kv_mount: Mounter) -> None:
    """It keeps nothing but values: a warning names what lost something, and no other."""
    kv, plain = kv_mount(2), kv_mount(1)
    described(kv, "tagged", custom_metadata={"owner": "me"})
    described(kv, "nothing")
    kv.put("twice", {"n": 1})
    kv.put("twice", {"n": 2})
    made, vault = await save(system, kv, 0)
    there = replace(vault, roots=(Root("", plain.path),))
    report = await restore(made.name, vault=there, store=system.store, password=PASSWORD)
    assert plain.get("twice") == {"n": 2}
    (warning,) = report.warnings
    assert warning.startswith("2 secrets lost their metadata or older versions: t")
    assert warning.endswith(f"(the mount {plain.path} is KV version 1).")


async def test_a_value_that_came_later_stays(system: System, kv_mount: Mounter) -> None:
    """A key that had none when it was archived does not lose one; a prune deletes it, so that it is as it was."""
    kv = kv_mount(2)
    for path in ("deleted", "same", "stays"):
        kv.put(path, {"old": True})
    for path in ("deleted", "same"):
        ask(kv, "DELETE", f"data/{path}")
    made, vault = await save(system, kv)
    assert (made.warnings, made.deleted) == ((), 2)
    kv.put("deleted", {"new": True})
    options: dict[str, Any] = {"vault": vault, "store": system.store, "password": PASSWORD}
    planned = await plan_restore(made.name, prune=True, **options)
    assert planned.vault is not None
    assert (planned.vault.unchanged, planned.vault.extra_paths) == (3, ("deleted",))
    report = await restore(made.name, **options)
    assert report.warnings == (
        "1 secret has a value now and had none when the archive was made: what is there stays (deleted).",
    )
    assert kv.get("deleted") == {"new": True}
    report = await restore(made.name, prune=True, **options)
    assert (report.pruned, kv.get("deleted")) == (("deleted",), None)


async def test_one_without_a_value_alone(system: System, kv_mount: Mounter, tmp_path: Path) -> None:
    """It can be chosen for a restore; an export passes over it, and says so where nothing else was chosen."""
    kv = kv_mount(2)
    kv.put("dead/one", {"a": 1})
    kv.put("dead/two", {"a": 1})
    ask(kv, "DELETE", "data/dead/one")
    made, vault = await save(system, kv)
    before = said(kv, "dead/one")
    request = ExportRequest(name=made.name, store=system.store, password=PASSWORD, file=tmp_path / "secrets")
    assert [each.path for each in await read_secrets(request, ["dead/*"])] == ["dead/two"]
    assert (await export_secrets(request)).secrets == 1
    with pytest.raises(ConfigurationError, match="dead/one has no value in the archive"):
        await read_secrets(request, ["dead/one"])
    for path in ("dead/one", "dead/two"):
        kv.delete(path)
    options: dict[str, Any] = {"vault": vault, "store": system.store, "password": PASSWORD}
    assert (await restore(made.name, secrets=("dead/one",), **options)).written == 1
    assert everything(kv) == {"dead/one": before}


async def test_a_token_that_may_not_delete(system: System, kv_mount: Mounter) -> None:
    """A key that had no value does not come back with an empty one: it is left out, and named."""
    kv = kv_mount(2)
    for path in ("one", "two", "stays"):
        kv.put(path, {"a": 1})
        if path != "stays":
            ask(kv, "DELETE", f"data/{path}")
    made, vault = await save(system, kv)
    for path in kv.paths():
        kv.delete(path)
    every = ["create", "update", "read", "list", "delete"]
    rules = {f"{kv.path}/data/*": every[:3], f"{kv.path}/metadata/*": every}
    text = "".join(f'path "{path}" {{ capabilities = {json.dumps(each)} }}\n' for path, each in rules.items())
    kv.server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": text})
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [kv.path], "ttl": "1h"})
    limited = replace(vault, auth=TokenAuth(answer["auth"]["client_token"]), workers=1)
    report = await restore(made.name, vault=limited, store=system.store, password=PASSWORD)
    (warning,) = report.warnings
    assert warning.startswith("2 secrets did not get their metadata back: ")
    assert (kv.all(), report.written, report.failed_count) == ({"stays": {"a": 1}}, 1, 0)


async def test_a_token_that_sees_values_alone(
    system: System, kv_mount: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Custom metadata comes with the value; that the settings are not known is a warning, and they stay."""
    kv = kv_mount(2)
    described(kv, "x", custom_metadata={"owner": "me"}, max_versions=4)
    rules = {f"{kv.path}/metadata/*": ["list"], f"{kv.path}/data/*": ["read", "create", "update"]}
    text = "".join(f'path "{path}" {{ capabilities = {json.dumps(each)} }}\n' for path, each in rules.items())
    kv.server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": text})
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [kv.path], "ttl": "1h"})
    limited = replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"]), roots=(Root("", kv.path),))
    made, vault = await save(system, kv, vault=limited)
    (warning,) = made.warnings
    assert warning.startswith(
        "The token may not read all that an archive of format V2 takes, which is without the settings of 1 secret (x), "
        f"the options of the mount {kv.path} and the vault's policies. Grant read on metadata/, read on "
    )
    assert warning.endswith("by metadata = false and policies = false in [vault].")
    kv.put("y", {})
    kv.put("z", {})
    monkeypatch.setattr("kleidia_backup.stages.vault.metadata.gather.ENOUGH", 1)  # nor is it asked for the others then
    asked: list[str] = []
    read = Keys.read

    async def counted(keys: Keys, mount: str, path: str) -> Any:
        asked.append(path)
        return await read(keys, mount, path)

    monkeypatch.setattr(Keys, "read", counted)
    again, _ = await save(system, kv, vault=replace(limited, workers=1), name="again.enc")
    assert asked == ["x"]
    assert "the settings of 3 secrets (for example x), " in again.warnings[0]
    kv.delete("y")
    kv.delete("z")
    plain = replace(limited, metadata=False, policies=False)
    left_out, _ = await save(system, kv, vault=plain, name="without.enc")
    assert left_out.warnings == ()
    ask(kv, "POST", "metadata/x", {"custom_metadata": {}, "max_versions": 7})
    report = await restore(made.name, vault=limited, store=system.store, password=PASSWORD)
    assert report.warnings[0].startswith("1 secret did not get its metadata back: x (")
    await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    after = said(kv, "x")
    assert (after["custom_metadata"], after["max_versions"]) == ({"owner": "me"}, 7)


async def test_format_v1_says_what_it_lacks(system: System, kv_mount: Mounter) -> None:
    """Custom metadata is a warning there, and older versions are refused."""
    kv = kv_mount(2)
    described(kv, "x", custom_metadata={"owner": "me"})
    made, _ = await save(system, kv, format="v1")
    assert made.warnings == ("1 secret has custom metadata, which an archive of format V1 cannot hold.",)
    with pytest.raises(ConfigurationError, match="need an archive of format v2"):
        await save(system, kv, 0, format="v1")


@pytest.mark.parametrize("versions", [1, 0], ids=["newest", "all"])
async def test_what_a_failed_restore_changed_is_put_back(
    system: System, kv_mount: Mounter, monkeypatch: pytest.MonkeyPatch, versions: int
) -> None:
    """Metadata as well; keys that it made are gone, one that has metadata alone has that again."""
    kv = kv_mount(2)
    generate(kv, 60, seed=7)
    described(kv, "only", custom_metadata={"a": "1"})
    described(kv, "same", custom_metadata={"a": "1"}, max_versions=3)
    described(kv, "expiring", custom_metadata={"a": "1"})
    made, vault = await save(system, kv, versions)
    for path in kv.paths():
        if path.endswith(tuple("12345")):
            kv.delete(path)
        elif path.endswith(tuple("67")):
            ask(kv, "POST", f"metadata/{path}", {"custom_metadata": {"other": "x"}, "cas_required": False})
        elif path.endswith("8"):
            ask(kv, "POST", f"metadata/{path}", {"cas_required": False})
            ask(kv, "POST", f"data/{path}", {"data": {"changed": True}})
    kv.delete("only")
    ask(kv, "POST", "metadata/only", {"custom_metadata": {"b": "2"}})
    ask(kv, "POST", "metadata/same", {"custom_metadata": {"b": "2"}, "max_versions": 9})
    ask(kv, "POST", "metadata/expiring", {"delete_version_after": "1h"})
    kv.put("expiring", {"now": 1})
    before = everything(kv)

    async def fail(*_: object) -> None:
        raise RestoreFailed("Stopped by the test.")

    monkeypatch.setattr("kleidia_backup.pipeline.parts.vault.VaultRestore.committing", fail)
    with pytest.raises(RestoreFailed) as caught:
        await restore(made.name, vault=vault, store=system.store, password=PASSWORD, state=system.directory / "state")
    assert caught.value.effect == "put back"
    after = everything(kv)
    assert after.keys() == before.keys()
    for path, key in before.items():
        now = after[path]
        value = "versions", "current_version", "oldest_version"
        assert {k: v for k, v in now.items() if k not in value} == {k: v for k, v in key.items() if k not in value}
        current = str(key["current_version"])
        assert (
            now["versions"].get(str(now["current_version"]), (0, 0, None))[2]
            == key["versions"].get(current, (0, 0, None))[2]
        ), path


async def test_a_server_that_describes_no_folders(system: System, kv_mount: Mounter) -> None:
    """As Vault, or where a policy does not grant it: the metadata of each secret is asked for."""
    kv = kv_mount(2)
    generate(kv, 40, seed=3)
    before = everything(kv)
    rules = {f"{kv.path}/{each}*": ["read", "list"] for each in ("metadata/", "data/", "config")}
    rules |= {"sys/policies/acl": ["list"], "sys/policies/acl/*": ["read"]}
    text = "".join(f'path "{path}" {{ capabilities = {json.dumps(each)} }}\n' for path, each in rules.items())
    kv.server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": text})
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [kv.path], "ttl": "1h"})
    limited = replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"]), roots=(Root("", kv.path),))
    made, vault = await save(system, kv, vault=limited)
    assert made.warnings == ()
    for path in before:
        kv.delete(path)
    report = await restore(made.name, vault=vault, store=system.store, password=PASSWORD)
    assert (len(report.warnings), everything(kv)) == (1, newest(before))  # of those without data
