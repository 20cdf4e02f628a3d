"""Rights that are missing, named before a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.stages.vault.kv.check import check_vault
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth

from .conftest import Policies
from .stub import settings

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
