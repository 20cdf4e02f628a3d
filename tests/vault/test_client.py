"""One secret at a time, against the real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import pytest

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.json import text as jsontext
from kleidia_backup.stages.errors import ConfigurationError, VaultForbidden, VaultMountMissing
from kleidia_backup.stages.vault.kv.answers import (
    Absent,
    Conflict,
    Deleted,
    Found,
    Names,
    Oversize,
    Refused,
    Written,
    read_names,
)
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth

from .conftest import Policies
from .stub import counters, settings

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]


@pytest.fixture
async def client(openbao_server: OpenBaoServer, anyio_backend: str) -> AsyncIterator[VaultClient]:
    """A client that may do everything."""
    async with VaultClient(settings(openbao_server)) as made:
        yield made


@pytest.mark.parametrize("version", [1, 2])
async def test_the_version_of_a_mount_is_asked(client: VaultClient, kv_mount: Mounter, version: int) -> None:
    """KV versions 1 and 2 are told apart without configuration."""
    assert await client.kv_version(kv_mount(version).path) == version


async def names_in(client: VaultClient, mount: str, folder: str) -> list[str]:
    """The names in a folder."""
    names = await client.list(mount, folder)
    assert isinstance(names, Names)
    assert not names.none
    return list(names)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["a", "b/",\n"c\\"d\\u00e9"]', ["a", "b/", 'c"d\N{LATIN SMALL LETTER E WITH ACUTE}']),
        ("[]", []),
        ("null", []),
        ("[ ]", []),
        ('["]"]', ["]"]),
    ],
)
def test_names_are_cut_out_of_the_answer(text: str, names: list[str]) -> None:
    """One by one, escapes included."""
    found = read_names(b'{"data": {"keys": %s}, "auth": null}' % text.encode())
    assert isinstance(found, Names)
    assert found.none is (not names)
    assert list(found) == names


@pytest.mark.parametrize("text", ["[1]", '["a", {}]', "{}", "7", '["a", ["b"]]'])
def test_what_is_no_name_is_an_error(text: str) -> None:
    """A server that lists something else is not taken for an empty folder."""
    found = read_names(b'{"data": {"keys": %s}}' % text.encode())
    assert isinstance(found, Names)
    assert not found.none
    with pytest.raises(ValueError, match="not a name"):
        list(found)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_secret_there_and_back(client: VaultClient, kv_mount: Mounter, version: int) -> None:
    """Write, read, list and delete."""
    kv = kv_mount(version)
    assert await client.read(kv.path, "a/b") == Absent()
    nothing = await client.list(kv.path, "")
    assert isinstance(nothing, Names)
    assert nothing.none
    assert list(nothing) == []
    wrote = await client.write(kv.path, "a/b", b'{"k":"v","n":null}', cas=0)
    assert wrote == Written(1 if version == 2 else 0)
    assert await client.read(kv.path, "a/b") == Found(b'{"k":"v","n":null}', 1 if version == 2 else 0)
    assert await names_in(client, kv.path, "") == ["a/"]
    assert await names_in(client, kv.path, "a/") == ["b"]
    assert await client.delete(kv.path, "a/b", all_versions=True) == Written()
    assert await client.read(kv.path, "a/b") == Absent()
    assert await client.delete(kv.path, "a/b") == Written()


NAMES = [
    "plain",
    "with space",
    "per%cent",
    "%2e%2e",
    "hash#",
    "question?list=true",
    "plus+",
    "back\\slash",
    "quo\"te'",
    "colon:semi;",
    "ünïcode-\N{GRINNING FACE}",
    "nfc-\N{LATIN SMALL LETTER E WITH ACUTE}",
    "nfd-e\N{COMBINING ACUTE ACCENT}",
    "...",
    ".hidden",
    "trailing ",
    "data",
    "UPPER",
]


@pytest.mark.parametrize("version", [1, 2])
async def test_unusual_names(client: VaultClient, kv_mount: Mounter, version: int) -> None:
    """Every name comes back as it was, as a secret and as a folder, and means only itself."""
    kv = kv_mount(version)
    for n, name in enumerate(NAMES):
        for path in (name, f"{name}/{name}"):
            assert isinstance(await client.write(kv.path, path, b'{"n":%d}' % n, cas=0), Written), path
    names = await names_in(client, kv.path, "")
    assert sorted(names) == sorted([*NAMES, *(f"{name}/" for name in NAMES)])
    for n, name in enumerate(NAMES):
        for path in (name, f"{name}/{name}"):
            found = await client.read(kv.path, path)
            assert isinstance(found, Found)
            assert found.value == b'{"n":%d}' % n


@pytest.mark.parametrize("name", ["tab\there", "line\nbreak", "\N{NO-BREAK SPACE}"])
async def test_a_name_that_the_server_does_not_take(client: VaultClient, kv: KvMount, name: str) -> None:
    """Characters that cannot be printed are refused for that path, with the server's status."""
    result = await client.write(kv.path, name, b"{}", cas=0)
    assert isinstance(result, Refused)
    assert result.status == 400


async def test_numbers_of_any_length_in_version_1(client: VaultClient, kv_mount: Mounter) -> None:
    """Version 1 gives numbers back digit for digit, and so do we."""
    kv = kv_mount(1)
    value = b'{"a":12345678901234567890,"b":1e21,"c":1.0,"d":0.1,"e":9007199254740993,"f":-0.0}'
    await client.write(kv.path, "n", value)
    assert await client.read(kv.path, "n") == Found(value)


async def test_numbers_in_version_2_are_what_the_server_makes_of_them(client: VaultClient, kv: KvMount) -> None:
    """Version 2 rounds to 64-bit floats when it is read; we pass on its text, unchanged."""
    await client.write(kv.path, "n", b'{"a":12345678901234567890,"b":1e21,"c":1.0,"e":9007199254740993}', cas=0)
    found = await client.read(kv.path, "n")
    assert isinstance(found, Found)
    assert found.value == b'{"a":12345678901234567000,"b":1e+21,"c":1,"e":9007199254740992}'


@pytest.mark.parametrize(
    "value", [b"{}", b"null", b'{"":""}', b'{"a":[],"b":{},"c":null}', b'{"a":"\\u0000<\xc3\xa9"}']
)
async def test_empty_values(client: VaultClient, kv: KvMount, value: bytes) -> None:
    """Empty objects, null instead of a map, and empty strings live in version 2."""
    await client.write(kv.path, "x", value, cas=0)
    found = await client.read(kv.path, "x")
    assert isinstance(found, Found)
    assert jsontext.same(found.value, value)


async def test_version_1_takes_no_empty_secret(client: VaultClient, kv_mount: Mounter) -> None:
    """It refuses it in words."""
    assert await client.write(kv_mount(1).path, "x", b"{}") == Refused(400, "missing data fields")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", [500, 1500, 5000, 9990])
async def test_deep_nesting(client: VaultClient, kv_mount: Mounter, version: int, depth: int) -> None:
    """Values nested as deep as the server takes come back whole."""
    kv = kv_mount(version)
    value = b'{"a":' + b"[" * depth + b"1" + b"]" * depth + b"}"
    assert isinstance(await client.write(kv.path, "deep", value, cas=0), Written)
    found = await client.read(kv.path, "deep")
    assert isinstance(found, Found)
    assert found.value == value
    assert found.version == (1 if version == 2 else 0)


async def test_a_large_value(client: VaultClient, kv: KvMount) -> None:
    """A value near the server's limit passes; above the caller's limit or the server's, it is said which."""
    value = json.dumps({"a": "x" * 900_000}, separators=(",", ":")).encode()
    assert await client.write(kv.path, "large", value, cas=0) == Written(1)
    assert await client.read(kv.path, "large") == Found(value, 1)
    assert await client.read(kv.path, "large", limit=1000) == Oversize()
    refused = await client.write(kv.path, "larger", json.dumps({"a": "x" * 2_000_000}).encode(), cas=0)
    assert isinstance(refused, Refused)
    assert "too large" in refused.reason
    assert counters(client).retries == 0


async def test_more_strings_than_the_listener_takes(client: VaultClient, kv: KvMount) -> None:
    """The server's own words say what to raise."""
    refused = await client.write(kv.path, "many", json.dumps({f"k{n}": "v" for n in range(600)}).encode(), cas=0)
    assert isinstance(refused, Refused)
    assert "maximum number of strings" in refused.reason


@pytest.mark.parametrize("value", [b"[1]", b'"text"', b"1", b"{", b""])
async def test_what_is_no_secret_is_refused(client: VaultClient, kv: KvMount, value: bytes) -> None:
    """A value that is no object concerns this path only."""
    result = await client.write(kv.path, "x", value, cas=0)
    assert isinstance(result, Refused)
    assert result.status == 400


async def test_an_older_version(client: VaultClient, kv: KvMount) -> None:
    """What a secret was before is read by its number, for as long as the vault keeps it."""
    kv.put("x", {"a": 1})
    kv.put("x", {"a": 2})
    assert await client.read(kv.path, "x", version=1) == Found(b'{"a":1}', 1)
    assert await client.read(kv.path, "x", version=3) == Absent()


# The four meanings of 404 ----------------------------------------------------------------------------------------


async def test_a_deleted_version(client: VaultClient, kv: KvMount) -> None:
    """404 with metadata is a deleted version, and its number is what the next write needs."""
    kv.put("x", {"a": 1})
    assert await client.delete(kv.path, "x") == Written()
    assert await client.read(kv.path, "x") == Deleted(1)
    assert await client.write(kv.path, "x", b"{}", cas=0) == Conflict()
    assert await client.write(kv.path, "x", b"{}", cas=1) == Written(2)


async def test_a_destroyed_version(client: VaultClient, kv: KvMount) -> None:
    """Destroyed is told from deleted."""
    kv.put("x", {"a": 1})
    kv.server.request("PUT", f"{kv.path}/destroy/x", {"versions": [1]})
    assert await client.read(kv.path, "x") == Deleted(1, destroyed=True)


async def test_a_key_with_metadata_only(client: VaultClient, kv: KvMount) -> None:
    """It has no value and no version."""
    kv.server.request("POST", f"{kv.path}/metadata/x", {"custom_metadata": {"a": "b"}})
    assert await client.read(kv.path, "x") == Absent()
    assert await client.write(kv.path, "x", b"{}", cas=0) == Written(1)
    assert await client.read(kv.path, "x") == Found(b"{}", 1, has_custom_metadata=True)


async def test_a_version_that_expires_later_is_alive(client: VaultClient, kv: KvMount) -> None:
    """A time of deletion in the future changes nothing now."""
    kv.server.request("POST", f"{kv.path}/metadata/x", {"delete_version_after": "1h"})
    kv.put("x", {"a": 1})
    assert await client.read(kv.path, "x") == Found(b'{"a":1}', 1)


async def test_a_mount_that_is_not_there(client: VaultClient, kv: KvMount) -> None:
    """It is named, with those that are there."""
    with pytest.raises(VaultMountMissing, match="no mount 'nowhere'") as caught:
        await client.read("nowhere", "x")
    assert kv.path in caught.value.hint


async def test_a_mount_that_disappears(client: VaultClient, kv: KvMount) -> None:
    """Unmounted in the middle of a job, it is a missing mount and not a missing secret."""
    await client.kv_version(kv.path)
    kv.remove()
    try:
        with pytest.raises(VaultMountMissing):
            await client.read(kv.path, "x")
        with pytest.raises(VaultMountMissing):
            await client.list(kv.path, "")
    finally:
        kv.server.mount(kv.path)


async def test_a_mount_of_another_kind(client: VaultClient) -> None:
    """The engine that is there instead is named."""
    with pytest.raises(VaultMountMissing, match="is a cubbyhole engine"):
        await client.read("cubbyhole", "x")


async def test_a_namespace_that_is_not_there(openbao_server: OpenBaoServer) -> None:
    """A wrong namespace is a matter of configuration."""
    with pytest.raises(ConfigurationError, match="no such namespace"):
        async with VaultClient(settings(openbao_server, namespace="nowhere")):
            pass


async def test_a_namespace(openbao_server: OpenBaoServer) -> None:
    """Mounts of a namespace are found in it."""
    status, _ = openbao_server.request("POST", "sys/namespaces/team")
    assert status == 200
    body = {"type": "kv", "options": {"version": "1"}}
    openbao_server.request("POST", "team/sys/mounts/inner", body)
    try:
        async with VaultClient(settings(openbao_server, Root("", "inner"), namespace="team")) as client:
            assert await client.write("inner", "x", b'{"a":1}') == Written()
            assert await client.read("inner", "x") == Found(b'{"a":1}')
        assert openbao_server.request("GET", "team/inner/x")[1]["data"] == {"a": 1}
    finally:
        openbao_server.request("DELETE", "sys/namespaces/team")


# Rights ----------------------------------------------------------------------------------------------------------


async def test_a_mount_where_the_token_may_do_nothing(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies
) -> None:
    """The server does not tell a forbidden mount from none; the error says both, and what to grant."""
    token = policies.token({"elsewhere/*": ["read"]})
    async with VaultClient(settings(openbao_server, auth=TokenAuth(token))) as client:
        with pytest.raises(VaultForbidden, match=f"nothing at mount '{kv.path}'") as caught:
            await client.read(kv.path, "x")
    assert f"list on {kv.path}/metadata/*" in caught.value.hint


async def test_an_answer_that_policy_wants_wrapped(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies
) -> None:
    """A minimum wrapping time makes a read useless, and the reason is given."""
    kv.put("x", {"a": 1})
    name = policies.policy(**{f"{kv.path}/*": ["list"]})
    text = f'path "{kv.path}/data/*" {{ capabilities = ["read"]\n min_wrapping_ttl = "1s"\n max_wrapping_ttl = "90s" }}'
    openbao_server.request("PUT", f"sys/policies/acl/{name}", {"policy": text})
    answer = openbao_server.request("POST", "auth/token/create", {"policies": [name]})[1]
    auth = TokenAuth(answer["auth"]["client_token"])
    async with VaultClient(settings(openbao_server, auth=auth)) as client:
        result = await client.read(kv.path, "x")
    assert isinstance(result, Refused)


async def test_the_version_may_be_configured(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """Then nobody asks; a wrong one is noticed."""
    one, two = kv_mount(1), kv_mount(2)
    roots = (Root("a/", one.path, kv_version=1), Root("b/", two.path, kv_version=1))
    async with VaultClient(settings(openbao_server, *roots)) as client:
        one.put("x", {"a": 1})
        assert await client.read(one.path, "x") == Found(b'{"a":1}')
        with pytest.raises(VaultMountMissing, match="is KV version 2"):
            await client.read(two.path, "x")
