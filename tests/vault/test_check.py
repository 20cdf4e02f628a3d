"""Rights that are missing, named before a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.pipeline.archives.checks import check_connections
from kleidia_backup.stages.errors import VaultError, VaultMountMissing
from kleidia_backup.stages.vault.kv.check import Tried, check_vault, try_roots
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth, VaultSettings

from .conftest import Policies
from .stub import StubVault, settings

pytestmark = pytest.mark.anyio


async def missing(
    server: OpenBaoServer, token: str, *roots: Root, restore: bool = False, undo: bool = False
) -> list[str]:
    """What a token lacks."""
    async with VaultClient(settings(server, *roots, auth=TokenAuth(token))) as client:
        return [str(right) for right in await check_vault(client, roots, restore=restore, undo=undo)]


async def test_the_root_token_lacks_nothing(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """It may do everything without being granted any of it."""
    token = openbao_server.root_token
    assert await missing(openbao_server, token, Root("", kv.path), restore=True, undo=True) == []


async def test_the_rights_of_a_backup(
    openbao_server: OpenBaoServer, kv_mount: Callable[[int], KvMount], policies: Policies
) -> None:
    """List and read, on the paths of each version; nothing is written to find out."""
    two, one = kv_mount(2), kv_mount(1)
    roots = (Root("", two.path, "kleidia"), Root("one/", one.path))
    rules = {
        f"{two.path}/metadata/kleidia/*": ["list"],
        f"{two.path}/data/kleidia/*": ["read"],
        f"{one.path}/*": ["read", "list"],
    }
    assert await missing(openbao_server, policies.token(rules), *roots) == []
    assert await missing(openbao_server, policies.token(rules), *roots, restore=True, undo=True) == [
        f"create on {two.path}/data/kleidia/*",
        f"update on {two.path}/data/kleidia/*",
        f"read on {two.path}/metadata/kleidia/*",
        f"delete on {two.path}/metadata/kleidia/*",
        f"update on {two.path}/delete/kleidia/*",
        f"create on {one.path}/*",
        f"update on {one.path}/*",
    ]
    rules = {f"{two.path}/data/*": ["update"], f"{one.path}/x": ["read"]}
    assert await missing(openbao_server, policies.token(rules), *roots) == [
        f"list on {two.path}/metadata/kleidia/",
        f"read on {two.path}/data/kleidia/*",
        f"list on {one.path}/",
        f"read on {one.path}/*",
    ]
    assert two.all() == one.all() == {}


async def test_a_token_that_may_not_ask(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """Then that is the right that is missing."""
    token = policies.token({f"{kv.path}/*": ["read", "list"]}, no_default_policy=True)
    (right,) = await missing(openbao_server, token, Root("", kv.path))
    assert right.startswith("update on sys/capabilities-self")


# One secret is read -----------------------------------------------------------------------------------------------


async def tried(server: OpenBaoServer | StubVault, *roots: Root, token: str = "", own: tuple[str, ...] = ()) -> Tried:
    """What came of trying."""
    auth = TokenAuth(token) if token else None
    async with VaultClient(settings(server, *roots, auth=auth), hasty=True) as client:
        return await try_roots(client, roots, own)


async def test_one_secret_of_each_root_is_read(
    openbao_server: OpenBaoServer, kv_mount: Callable[[int], KvMount]
) -> None:
    """However deep it lies, deleted or not; a root without any is named, and the product's own is not looked at."""
    two, one, none = kv_mount(2), kv_mount(1), kv_mount(2)
    two.put("a/b/c/d", {"n": 1})
    one.put("x", {"n": 1})
    none.put("own", {"n": 1})
    roots = (Root("", two.path), Root("one/", one.path), Root("none/", none.path))
    found = await tried(openbao_server, *roots, own=(f"{none.path}/own",))
    assert (found.lacking, found.empty) == ((), (roots[2],))
    assert (await tried(openbao_server, Root("", two.path, "a/typo"))).empty != ()
    openbao_server.request("DELETE", f"{two.path}/data/a/b/c/d")
    assert (await tried(openbao_server, roots[0])).empty == ()


@pytest.mark.parametrize(("actual", "configured"), [(1, 2), (2, 1)])
async def test_a_version_that_does_not_fit_is_found(
    openbao_server: OpenBaoServer, kv_mount: Callable[[int], KvMount], actual: int, configured: int
) -> None:
    """Either way round: a mount of version 1 looks empty to who takes it for version 2."""
    kv = kv_mount(actual)
    kv.put("a/b", {"n": 1})
    root = Root("", kv.path, kv_version=configured)
    with pytest.raises(VaultMountMissing, match=f"is KV version {actual}, and is configured as version {configured}"):
        await tried(openbao_server, root)


@pytest.mark.parametrize("path", ["metadata", "data"])
async def test_a_proxy_that_answers_in_the_vaults_place_is_found(stub: StubVault, path: str) -> None:
    """A page with status 200 where a list, or a secret, should be: soon, and as what it is."""
    stub.fill(3)

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if f"secret/{path}/" not in request.path:
            return None
        return web.Response(text="<html>Log in</html>", content_type="text/html")

    stub.fault = fault
    with pytest.raises(VaultError, match="answers 200 with something that is not JSON"):
        await tried(stub, Root("", "secret"))


async def test_rights_are_found_by_trying(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """Where the policy denies a folder below the root, or the values."""
    kv.put("c/hidden/x", {"n": 1})
    rules = {f"{kv.path}/metadata/*": ["list"], f"{kv.path}/data/*": ["read"]}
    closed = policies.token({**rules, f"{kv.path}/metadata/c/*": ["deny"]})
    found = await tried(openbao_server, Root("", kv.path), token=closed)
    assert [str(right) for right in found.lacking] == [f"list on {kv.path}/metadata/c/*"]
    closed = policies.token({**rules, f"{kv.path}/data/c/*": ["deny"]})
    found = await tried(openbao_server, Root("", kv.path), token=closed)
    assert [str(right) for right in found.lacking] == [f"read on {kv.path}/data/*"]


async def test_the_test_of_a_vault_tells_of_it(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """A root that is empty by mistake is no success for a backup, and is one for a restore, or where that is said."""
    empty = VaultSettings(openbao_server.address, TokenAuth(openbao_server.root_token), (Root("", kv.path, "typo"),))
    (check,) = await check_connections(vault=empty)
    assert not check.ok
    assert check.missing == (f"a secret in {kv.path}/typo/, which is empty",)
    assert "allow_empty" in check.hint
    (check,) = await check_connections(vault=empty, purpose="restore")
    assert check.ok
    (check,) = await check_connections(
        vault=replace(empty, roots=(Root("", kv.path, "typo", allow_empty=True),)),
    )
    assert check.ok
    kv.put("c/x", {"n": 1})
    rules = {f"{kv.path}/metadata/": ["list"], f"{kv.path}/data/*": ["read"]}
    some = replace(empty, auth=TokenAuth(policies.token(rules)), roots=(Root("", kv.path),))
    (check,) = await check_connections(vault=some)
    assert check.missing == (f"list on {kv.path}/metadata/c/*",)
