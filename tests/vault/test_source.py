"""The fan-out source against the real server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from aiohttp import web

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.secret import MAX_SECRET, Secret
from kleidia_backup.pipeline.engine import Pipeline
from kleidia_backup.pipeline.engine.testing import ListSink, check_cancellation, collect
from kleidia_backup.stages.errors import ConfigurationError, VaultForbidden, VaultMountMissing, VaultUnreadable
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth
from kleidia_backup.stages.vault.kv.transport import Call, Transport
from kleidia_backup.stages.vault.metadata.gather import Gather
from kleidia_backup.stages.vault.reports import ReadReport
from kleidia_backup.stages.vault.source import VaultSource

from .conftest import Policies
from .stub import StubVault, settings

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]


async def backup(
    server: OpenBaoServer | StubVault,
    *roots: Root,
    token: str = "",
    allow_unreadable: bool = False,
    adaptive: bool = True,
) -> tuple[dict[str, object], ReadReport]:
    """Everything below the roots, by archive path."""
    auth = TokenAuth(token) if token else None
    async with VaultClient(settings(server, *roots, auth=auth, adaptive=adaptive)) as client:
        source = VaultSource(client, roots, allow_unreadable=allow_unreadable)
        secrets = await collect(source)
    found = {secret.path: json.loads(secret.value) for secret in secrets}
    assert len(found) == len(secrets) == source.report.read
    return found, source.report


@pytest.mark.parametrize("version", [1, 2])
async def test_a_tree(openbao_server: OpenBaoServer, kv_mount: Mounter, version: int) -> None:
    """Every secret of a tree arrives once, a secret and a folder of one name both."""
    kv = kv_mount(version)
    expected = {path: {"at": path} for path in ("a", "foo", "foo/bar", "foo/bar/baz", "z/y/x/w/v", "foo/zoo")}
    for path, value in expected.items():
        kv.put(path, value)
    found, report = await backup(openbao_server, Root("", kv.path))
    assert found == expected
    assert report.read == len(expected)
    assert report.warnings() == []


async def test_several_roots(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """Prefixes stand for mounts and folders; what lies beside a root's folder is not taken."""
    secret, keys = kv_mount(2), kv_mount(1)
    secret.put("kleidia/jwt-secret", {"n": 1})
    secret.put("kleidia", {"n": 2})
    secret.put("kleidiaX/other", {"n": 3})
    keys.put("abc123/piv", {"n": 4})
    found, report = await backup(
        openbao_server, Root("", secret.path, "kleidia"), Root("yubikeys/", keys.path), Root("x/", secret.path, "none")
    )
    assert found == {"jwt-secret": {"n": 1}, "yubikeys/abc123/piv": {"n": 4}}
    assert report.empty_roots == [f"{secret.path}/none/"]
    assert "holds no secret" in report.warnings()[0]


async def test_what_has_no_value_is_counted(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Deleted, destroyed and metadata-only keys are no failures; custom metadata is counted."""
    for name in ("live", "deleted", "destroyed", "tagged"):
        kv.put(name, {"a": 1})
    server = kv.server
    server.request("DELETE", f"{kv.path}/data/deleted")
    server.request("PUT", f"{kv.path}/destroy/destroyed", {"versions": [1]})
    for name in ("tagged", "metadata-only"):
        server.request("POST", f"{kv.path}/metadata/{name}", {"custom_metadata": {"owner": "me"}})
    found, report = await backup(openbao_server, Root("", kv.path))
    assert found == {"live": {"a": 1}, "tagged": {"a": 1}}
    assert (report.deleted, report.vanished, report.custom_metadata) == (2, 1, 1)
    assert any("2 secrets are not in the archive" in warning for warning in report.warnings())
    assert any("custom metadata" in warning for warning in report.warnings())


async def test_secrets_with_very_many_strings_are_named(
    openbao_server: OpenBaoServer, kv: KvMount, stub: StubVault
) -> None:
    """What a server with default settings would refuse on restore is found at backup."""
    stub.values = {
        "heavy": (1, json.dumps({f"k{n}": "v" for n in range(600)})),
        "numbers": (1, json.dumps({f"k{n}": n for n in range(600)})),
    }
    _, report = await backup(stub, Root("", "secret"))
    assert report.too_many_strings.names == ["heavy"]
    assert "max_request_json_strings" in report.warnings()[0]


# What cannot be read ---------------------------------------------------------------------------------------------


async def test_forbidden_paths_fail_the_backup(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """A secret that may not be read and a folder that may not be listed are named, with the right to grant."""
    for path in ("a", "b/open", "b/closed", "c/hidden"):
        kv.put(path, {})
    token = policies.token(
        {
            f"{kv.path}/metadata/*": ["list"],
            f"{kv.path}/metadata/c/*": ["deny"],
            f"{kv.path}/data/*": ["read"],
            f"{kv.path}/data/b/closed": ["deny"],
        }
    )
    with pytest.raises(VaultUnreadable) as caught:
        await backup(openbao_server, Root("", kv.path), token=token)
    assert sorted(caught.value.paths) == ["b/closed", "c/"]
    assert "permission denied" in caught.value.message
    assert f"read on {kv.path}/data/*" in caught.value.hint

    found, report = await backup(openbao_server, Root("", kv.path), token=token, allow_unreadable=True)
    assert sorted(found) == ["a", "b/open"]
    assert report.unreadable.count == 2
    assert "b/closed" in report.warnings()[0]


async def test_the_right_to_list_is_named_where_that_is_missing(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies
) -> None:
    """For each folder, and no right to read, which the token has."""
    for path in ("a", "c/hidden", "d/hidden"):
        kv.put(path, {})
    rules = {f"{kv.path}/metadata/*": ["list"], f"{kv.path}/data/*": ["read"]}
    denied = {f"{kv.path}/metadata/{name}/*": ["deny"] for name in ("c", "d")}
    with pytest.raises(VaultUnreadable) as caught:
        await backup(openbao_server, Root("", kv.path), token=policies.token(rules | denied))
    lists = [f"list on {kv.path}/metadata/{name}/*" for name in ("c", "d")]
    assert sorted(map(str, caught.value.rights)) == lists
    assert "read on" not in caught.value.hint
    kv.delete("a")
    with pytest.raises(VaultUnreadable):  # and no "may list secrets but read none"
        await backup(openbao_server, Root("", kv.path), token=policies.token(rules | denied))


@pytest.mark.parametrize("path", ["typo", "a/b/c"])
async def test_an_empty_root_is_refused_where_that_is_asked_for(
    openbao_server: OpenBaoServer, kv_mount: Mounter, path: str
) -> None:
    """Unless the root says that it may be empty; a wrong version of KV is named as the reason."""
    kv = kv_mount(1)
    kv.put("x", {"n": 1})

    async def taken(root: Root) -> int:
        async with VaultClient(settings(openbao_server, root)) as client:
            return len(await collect(VaultSource(client, (root,), refuse_empty=True)))

    with pytest.raises(ConfigurationError, match=f"{kv.path}/{path}/ holds no secret") as caught:
        await taken(Root("", kv.path, path))
    assert "allow_empty" in caught.value.hint
    assert await taken(Root("", kv.path, path, allow_empty=True)) == 0
    with pytest.raises(VaultMountMissing, match="is KV version 1, and is configured as version 2"):
        await taken(Root("", kv.path, path, kv_version=2))


async def test_a_root_that_may_not_be_listed(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """It fails even when unreadable paths are allowed: nothing would be in the archive."""
    kv.put("folder/a", {})
    token = policies.token({f"{kv.path}/data/*": ["read"]})
    root = Root("", kv.path, "folder")
    with pytest.raises(VaultForbidden, match=f"may not list the folder {kv.path}/metadata/folder/") as caught:
        await backup(openbao_server, root, token=token, allow_unreadable=True)
    assert f"list on {kv.path}/metadata/folder/*" in caught.value.hint


@pytest.mark.parametrize("version", [1, 2])
async def test_nothing_that_may_be_read(
    openbao_server: OpenBaoServer, kv_mount: Mounter, policies: Policies, version: int
) -> None:
    """When every read is refused it is the policy, and said so."""
    kv = kv_mount(version)
    kv.put("a", {"a": 1})
    token = policies.token({f"{kv.path}/*": ["list"]})
    data = f"{kv.path}/data/*" if version == 2 else f"{kv.path}/*"
    with pytest.raises(VaultForbidden, match="read none") as caught:
        await backup(openbao_server, Root("", kv.path), token=token)
    assert caught.value.hint == f"Grant read on {data}."


async def test_a_root_without_a_mount(openbao_server: OpenBaoServer) -> None:
    """The mount is named."""
    with pytest.raises(VaultMountMissing, match="'nowhere'"):
        await backup(openbao_server, Root("", "nowhere"))


@pytest.mark.parametrize("version", [1, 2])
async def test_a_root_that_is_a_secret(openbao_server: OpenBaoServer, kv_mount: Mounter, version: int) -> None:
    """Nothing is below it, and what it holds would be missing: that is no success."""
    kv = kv_mount(version)
    kv.put("app/jwt", {"a": 1})
    root = Root("", kv.path, "app/jwt")
    async with VaultClient(settings(openbao_server, root)) as client:
        with pytest.raises(ConfigurationError, match="is a secret, and a root is a folder"):
            await collect(VaultSource(client, (root,)))


async def test_a_secret_that_another_root_would_take_back(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """Its path in the archive would be restored elsewhere, so it is refused."""
    secret, keys = kv_mount(2), kv_mount(2)
    secret.put("yubikeys/x", {})
    with pytest.raises(ConfigurationError, match="belongs to another root"):
        await backup(openbao_server, Root("", secret.path), Root("yubikeys/", keys.path))


async def test_names_that_cannot_be_asked_for(stub: StubVault) -> None:
    """An empty name or dots in a listing are unreadable, never another path."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("list") == "true":
            return web.json_response({"data": {"keys": ["", "good", "..", "../", "."]}})
        return None

    stub.values = {"good": (1, "{}")}
    stub.fault = fault
    found, report = await backup(stub, Root("", "secret"), allow_unreadable=True)
    assert sorted(found) == ["good"]
    assert sorted(path for path, _ in report.unreadable.names) == ["", ".", "..", "../"]


async def test_many_unreadable_paths_are_counted_and_some_named(
    stub: StubVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report holds a bounded number of names."""
    monkeypatch.setattr("kleidia_backup.stages.vault.reports.NAMED", 30)
    stub.fill(80)

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"errors": ["no"]}, status=405) if "/data/" in request.path else None

    stub.fault = fault
    found, report = await backup(stub, Root("", "secret"), allow_unreadable=True)
    assert found == {}
    assert (report.unreadable.count, len(report.unreadable.names)) == (80, 30)
    assert len(report.warnings()[0]) < 1000


# Sizes and waiting -----------------------------------------------------------------------------------------------


async def test_large_secrets_come_one_at_a_time(stub: StubVault) -> None:
    """Values above a mebibyte arrive whole; those above the limit of a secret are named."""
    stub.values = {f"large{n}": (1, json.dumps({"n": str(n) * 3_000_000})) for n in range(3)}
    stub.values |= {"small": (1, "{}"), "huge": (1, json.dumps({"n": "x" * (MAX_SECRET + 1)}))}
    async with VaultClient(settings(stub)) as client:
        source = VaultSource(client, client.settings.roots, allow_unreadable=True)
        secrets = await everything(source)
    assert sorted(secret.path for secret in secrets) == ["large0", "large1", "large2", "small"]
    assert source.report.unreadable.names == [("huge", "it is larger than 8 MiB")]


async def everything(source: VaultSource) -> list[Secret]:
    """What a source sends, on an edge that takes the largest secret."""
    pipeline = Pipeline(depth=1)
    sink: ListSink[Secret] = ListSink()
    pipeline.sink(sink, pipeline.source(source, max_item=MAX_SECRET + 1000))
    await pipeline.run()
    return sink.items


async def test_a_backup_reads_twenty_secrets_at_a_time(stub: StubVault) -> None:
    """As many requests as workers are under way, and no more."""
    stub.gathers(20, "/data/")
    stub.fill(200)
    found, _ = await backup(stub, Root("", "secret"), adaptive=False)
    assert (stub.most_running, len(found)) == (20, 200)


async def test_no_request_is_open_while_nobody_takes_secrets(stub: StubVault) -> None:
    """When the edge is full the workers wait without a connection."""
    stub.fill(100)
    async with VaultClient(settings(stub)) as client:
        source = VaultSource(client, client.settings.roots)
        pipeline = Pipeline(depth=1)
        seen: list[Secret] = []

        async def slow(secrets: object) -> None:
            async for secret in secrets:  # type: ignore[attr-defined]  # an Inlet
                seen.append(secret)
                if len(seen) == 5:
                    await anyio.wait_all_tasks_blocked()
                    assert stub.running == 0
                    assert client._transport.backoff._limiter.borrowed_tokens == 0

        pipeline.sink(slow, pipeline.source(source))
        await pipeline.run()
    assert len(seen) == 100


async def test_what_is_remembered_follows_the_breadth_of_the_tree(stub: StubVault) -> None:
    """Of 1,600 secrets in 40 folders, five workers never hold the names of more than a few folders."""
    stub.values = {f"f{a}/s{b}": (1, "{}") for a in range(40) for b in range(40)}
    most = 0
    async with VaultClient(settings(stub)) as client:
        source = VaultSource(client, client.settings.roots, workers=5)

        async def fault(_request: web.Request) -> None:
            nonlocal most
            most = max(most, len(source._folders))

        stub.fault = fault
        assert len(await collect(source)) == 1600
    assert 1 < most <= 1 + 6


async def test_cancellation_at_every_send(stub: StubVault) -> None:
    """A cancelled source ends, and the client is as good as before."""
    stub.fill(5)
    async with VaultClient(settings(stub)) as client:
        count = await check_cancellation(lambda: VaultSource(client, client.settings.roots, workers=3))
        assert count >= 5
        assert len(await collect(VaultSource(client, client.settings.roots))) == 5


async def test_requests_with_metadata(
    kv: KvMount, openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each folder with secrets, which says their metadata too, and none about that of sub-folders."""
    for number in range(40):
        kv.put(f"{number:02}/piv", {"n": number})
    openbao_server.request("POST", f"{kv.path}/metadata/07/piv", {"custom_metadata": {"owner": "me"}})
    asked: Counter[str] = Counter()
    once = Transport.once

    async def counted(self: Transport, call: Call, token: str) -> Any:
        kind = call.path.removeprefix(f"{kv.path}/").partition("/")[0]
        asked[f"LIST {kind}" if call.query else kind] += 1
        assert not (kind == "detailed-metadata" and call.path.endswith("detailed-metadata/"))
        return await once(self, call, token)

    workers = 4
    async with VaultClient(settings(openbao_server, Root("", kv.path, kv_version=2))) as client:
        monkeypatch.setattr(Transport, "once", counted)
        gather = Gather(client, versions=1)
        found = await collect(VaultSource(client, client.settings.roots, workers=workers, gather=gather))
    monkeypatch.undo()
    described = {secret.path: secret.metadata.custom_metadata for secret in found if secret.metadata}
    assert described == {f"{number:02}/piv": {"owner": "me"} if number == 7 else {} for number in range(40)}
    assert asked["data"] == asked["LIST detailed-metadata"] == 40
    # The first that are listed at their depth, by all workers at once, and the folder above.
    assert asked["LIST metadata"] <= 1 + workers
    assert asked.keys() <= {"data", "LIST detailed-metadata", "LIST metadata", "auth"}
