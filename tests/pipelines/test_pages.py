"""Policies that cut the list of a folder into pages, or hide names in one of its two lists: nothing is left out."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import DirectorySettings, Root, TokenAuth, VaultSettings, backup, restore
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.stages.vault.kv.answers import Names
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.transport import Call, Transport

from ..archive_format import both_formats, current

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"
#: Names at which a page may end, with what a query gives a meaning to.
ODD = [f"{n:02}" for n in range(23)] + ["a&limit=1", "b c", "d%2F", "e+f", "g#", "h?", "ä", "é/ü", "z=1"]
PAGES = "pagination_limit = 5"


def settings(kv: KvMount, names: str = "", detailed: str = "", data: str = "") -> VaultSettings:
    """As a role that has no other rights than a backup and a restore need; ``names`` and the others are added."""
    name, mount = f"test-{secrets.token_hex(6)}", kv.path
    kv.server.request(
        "PUT",
        f"sys/policies/acl/{name}",
        {
            "policy": f"""
path "{mount}/data/*" {{ capabilities = ["create", "read", "update", "delete"] }}
path "{mount}/config" {{ capabilities = ["read"] }}
path "{mount}/metadata/*" {{
    capabilities = ["list", "read", "update", "delete"]
    {names}
}}
path "{mount}/detailed-metadata/*" {{
    capabilities = ["list"]
    {detailed}
}}
{data}
"""
        },
    )
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [name], "ttl": "1h"})
    token = TokenAuth(answer["auth"]["client_token"])
    return VaultSettings(kv.server.address, token, (Root("", mount),), policies=False)


def fill(kv: KvMount) -> None:
    """Folders of many secrets, many folders, and secrets with metadata."""
    for number, name in enumerate(ODD):
        kv.put(f"many/{name}", {"n": name})
        kv.put(f"folders/{name}/leaf", {"n": name})
        if number < 20 and not number % 4:
            body: dict[str, Any] = {"custom_metadata": {"number": str(number)}}
            kv.server.request("POST", f"{kv.path}/metadata/many/{name}", body)


@both_formats
@pytest.mark.parametrize(("names", "detailed"), [(PAGES, PAGES), (PAGES, ""), ("", PAGES)])
async def test_pages_are_read_to_the_last(kv: KvMount, tmp_path: Path, names: str, detailed: str) -> None:
    """Where a policy sets pagination_limit a list has so many names, and does not say that there are more."""
    fill(kv)
    whole = kv.all()
    assert len(whole) == 2 * len(ODD)
    store, limited = DirectorySettings(tmp_path), settings(kv, names, detailed)
    made = await backup(vault=limited, store=store, password=PASSWORD, format=current())
    assert made.secrets == len(whole)
    if current() == "v2":
        again = await backup(vault=limited, store=store, password=PASSWORD, format="v2", incremental=True, name="2.enc")
        assert (made.warnings, again.warnings, again.secrets) == ((), (), len(whole))
        assert again.incremental is not None
        assert again.incremental.taken == len(whole)
    kv.put("many/new", {"n": "new"})
    kv.put("many/zz", {"n": "new"})
    back = await restore(made.name, vault=limited, store=store, password=PASSWORD, prune=True)
    assert {path: value for path, value in kv.all().items() if value is not None} == whole
    assert len(back.pruned) == 2


async def test_version_one_has_no_pages(kv_mount: Any, tmp_path: Path) -> None:
    """It gives all names whatever a policy says; they are not asked for without end."""
    kv: KvMount = kv_mount(1)
    for name in range(20):
        kv.put(f"many/{name}", {"n": name})
    policy = f'path "{kv.path}/*" {{\n capabilities = ["list", "read"]\n {PAGES}\n}}'
    kv.server.request("PUT", "sys/policies/acl/one", {"policy": policy})
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": ["one"], "ttl": "1h"})
    limited = VaultSettings(kv.server.address, TokenAuth(answer["auth"]["client_token"]), (Root("", kv.path),))
    made = await backup(vault=limited, store=DirectorySettings(tmp_path), password=PASSWORD)
    assert made.secrets == 20


async def test_what_one_list_hides_is_found_in_the_other(kv: KvMount, tmp_path: Path) -> None:
    """A policy filters the list with metadata by what the token may read: what is missing there is not left out."""
    for number in range(10):
        kv.put(f"many/{number}", {"n": number})
    shown = '{{ .path | replace \\"MOUNT/detailed-metadata/\\" \\"MOUNT/data/\\" }}{{ .key }}'.replace("MOUNT", kv.path)
    denied = f'path "{kv.path}/data/many/3" {{ capabilities = ["deny"] }}'
    hiding = settings(kv, detailed=f'list_scan_response_keys_filter_path = "{shown}"', data=denied)
    store = DirectorySettings(tmp_path)
    made = await backup(vault=hiding, store=store, password=PASSWORD, format="v2", allow_unreadable=True)
    assert made.secrets == 9
    assert any("many/3" in each for each in made.warnings)


async def test_a_whole_list_is_one_request(kv: KvMount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a forbidden one is not asked for page by page."""
    asked: list[str] = []
    once = Transport.once

    async def noted(self: Transport, call: Call, token: str) -> Any:
        asked.append(call.path)
        return await once(self, call, token)

    fill(kv)
    denied = f'path "{kv.path}/metadata/folders/*" {{ capabilities = ["deny"] }}'
    async with VaultClient(settings(kv, data=denied)) as client:
        await client.kv_version(kv.path)
        monkeypatch.setattr(Transport, "once", noted)
        assert isinstance(names := await client.list(kv.path, "many/"), Names)
        assert len([*names]) == len(ODD)
        assert asked == [f"{kv.path}/metadata/many/"]
        asked.clear()
        assert not isinstance(await client.list(kv.path, "folders/"), Names)
        assert asked.count(f"{kv.path}/metadata/folders/") == 2
