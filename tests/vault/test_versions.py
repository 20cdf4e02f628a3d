"""Every version of OpenBao that is there: what it holds comes back the same, in it and in every other.

``tests/vault/fetch.sh`` brings them; without it this is the wheel's version alone, and the run says so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kleidia_backup import DirectorySettings, Root, TokenAuth, VaultSettings, backup, restore, verify
from kleidia_backup.demo.servers import openbao
from kleidia_backup.demo.servers.kv import KvMount, OpenBaoServer
from kleidia_backup.stages.errors import VaultUnreachable
from kleidia_backup.stages.vault.kv.answers import Found, Refused
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import AppRoleAuth

from ..memory import in_memory
from ..openbaos import find_openbaos, running
from .stub import settings

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

PASSWORD = "correct horse battery staple"
Servers = Callable[[str], OpenBaoServer]


def test_the_versions_that_are_required_are_there() -> None:
    """A run that asks for versions (``KLEIDIA_TEST_OPENBAO_REQUIRED="2.6 2.7"``) fails when one is missing."""
    required = os.environ.get("KLEIDIA_TEST_OPENBAO_REQUIRED", "").split()
    assert not set(required) & set(find_openbaos().missing), find_openbaos()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``version``: each that is there."""
    if "bao" in metafunc.fixturenames:
        metafunc.parametrize("bao", sorted(find_openbaos().installed))


@pytest.fixture(scope="module")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The server of a version; each runs until the module ends."""
    started: dict[str, OpenBaoServer] = {}
    with ExitStack() as stack:

        def get(version: str) -> OpenBaoServer:
            if version not in started:
                directory = stack.enter_context(in_memory(tmp_path_factory.mktemp(f"bao{version}")))
                cluster = stack.enter_context(running(directory, find_openbaos().installed[version]))
                started[version] = cluster.server(cluster.nodes[0])
            return started[version]

        yield get


def vault(server: OpenBaoServer, one: str, two: str, **more: Any) -> VaultSettings:
    """The settings of a job with a mount of each KV version."""
    roots = (Root("one/", one), Root("", two))
    return VaultSettings(server.address, TokenAuth(server.root_token), roots, **more)


def content(*mounts: KvMount) -> list[Any]:
    """All values, and of KV version 2 what a key has besides."""
    found: list[Any] = [mount.all() for mount in mounts]
    for mount in mounts:
        if mount.version == 2:
            for path in mount.paths():
                data = mount.server.request("GET", f"{mount.path}/metadata/{path}")[1]["data"]
                found.append((path, data["custom_metadata"], data["max_versions"], data["delete_version_after"]))
    return found


def fill(one: KvMount, two: KvMount) -> None:
    """Values and names of every kind, and what keys have besides a value."""
    for n in range(20):
        one.put(f"folder {n % 3}/ünï#{n}", {"n": n, "long": 12345678901234567890})
        two.put(f"a/b?/{n}%", {"n": n, "nested": [None, True, {"x": "\u2028<&>"}], "empty": ""})
    two.put("empty", {})
    two.put("several", {"v": 1})
    two.put("several", {"v": 2})
    described = {"custom_metadata": {"owner": "ops"}, "max_versions": 7}
    assert two.server.request("POST", f"{two.path}/metadata/several", described)[0] in {200, 204}


@pytest.mark.parametrize("form", ["v1", "v2"])
async def test_a_vault_comes_back_as_it_was(bao: str, form: Any, server_of: Servers, store_directory: Path) -> None:
    """KV 1 and 2, over what was wrecked and into empty mounts of every other version."""
    server, store = server_of(bao), DirectorySettings(store_directory)
    name = secrets.token_hex(4)
    one, two = server.mount(f"one-{name}", version=1), server.mount(f"two-{name}")
    fill(one, two)
    original = content(one, two)
    made = await backup(vault=vault(server, one.path, two.path), store=store, password=PASSWORD, format=form)
    await verify(made.name, store=store, password=PASSWORD)
    for n in range(10):
        one.delete(f"folder {n % 3}/ünï#{n}")
        two.put(f"a/b?/{n}%", {"wrong": True})
    await restore(made.name, vault=vault(server, one.path, two.path), store=store, password=PASSWORD)
    assert content(one, two) == original
    installed = sorted(find_openbaos().installed)
    for other in installed if form == "v2" else {installed[0], installed[-1]}:
        there = server_of(other)
        targets = there.mount(f"to-one-{name}-{bao}", version=1), there.mount(f"to-two-{name}-{bao}")
        settings = vault(there, *(each.path for each in targets))
        await restore(made.name, vault=settings, store=store, password=PASSWORD)
        if form == "v2":
            assert content(*targets) == original
        else:
            assert [each.all() for each in targets] == original[:2]


async def test_a_namespace(bao: str, server_of: Servers, store_directory: Path) -> None:
    """A mount in a namespace, and in one inside of it, is not the one of that name outside."""
    server, store = server_of(bao), DirectorySettings(store_directory)
    outer, mount = f"team-{secrets.token_hex(4)}", f"kv-{secrets.token_hex(4)}"
    server.mount(mount).put("x", {"where": "outside"})
    assert server.request("POST", f"sys/namespaces/{outer}", {})[0] == 200
    assert server.request("POST", f"{outer}/sys/namespaces/inner", {})[0] == 200
    for namespace in (outer, f"{outer}/inner"):
        status, answer = server.request(
            "POST", f"{namespace}/sys/mounts/{mount}", {"type": "kv", "options": {"version": "1"}}
        )
        assert status == 204, answer
        assert server.request("POST", f"{namespace}/{mount}/x", {"where": namespace})[0] == 204
        job = VaultSettings(server.address, TokenAuth(server.root_token), (Root("", mount),), namespace=namespace)
        made = await backup(vault=job, store=store, password=PASSWORD)
        assert made.secrets == 1
        assert server.request("DELETE", f"{namespace}/{mount}/x")[0] == 204
        await restore(made.name, vault=job, store=store, password=PASSWORD)
        assert server.request("GET", f"{namespace}/{mount}/x")[1]["data"] == {"where": namespace}
    assert KvMount(server, mount).get("x") == {"where": "outside"}


async def test_a_rate_limit_quota(bao: str, server_of: Servers, store_directory: Path) -> None:
    """A real quota answers 429 with Retry-After; the backup waits, and no secret is missing."""
    server, store = server_of(bao), DirectorySettings(store_directory)
    kv = server.mount(f"quota-{secrets.token_hex(4)}", version=1)
    for n in range(60):
        kv.put(f"s{n}", {"n": n})
    quota = f"sys/quotas/rate-limit/{kv.path}"
    assert server.request("POST", quota, {"path": kv.path, "rate": 20, "interval": "1s"})[0] == 204
    try:
        job = VaultSettings(server.address, TokenAuth(server.root_token), (Root("", kv.path),), retry_budget=60.0)
        async with VaultClient(job) as client:
            results = [await client.read(kv.path, f"s{n}") for n in range(40)]
            assert all(isinstance(result, Found) for result in results)
        made = await backup(vault=job, store=store, password=PASSWORD)
        assert (made.secrets, made.unreadable_count) == (60, 0)
    finally:
        server.request("DELETE", quota)


async def test_approle_with_few_uses_and_batch_tokens(bao: str, server_of: Servers) -> None:
    """Tokens of three uses, and batch tokens, read every secret."""
    server = server_of(bao)
    kv = server.mount(f"role-{secrets.token_hex(4)}", version=1)
    for n in range(12):
        kv.put(f"s{n}", {"n": n})
    server.request("POST", "sys/auth/approle", {"type": "approle"})
    policy = f'path "{kv.path}/*" {{ capabilities = ["read", "list"] }}'
    assert server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": policy})[0] == 204
    for kind, limits in (("few", {"token_num_uses": 3}), ("batch", {"token_type": "batch"})):
        role = f"auth/approle/role/{kv.path}-{kind}"
        assert server.request("POST", role, {"token_policies": kv.path, "token_ttl": "1h", **limits})[0] == 204
        role_id = server.request("GET", f"{role}/role-id")[1]["data"]["role_id"]
        secret_id = server.request("POST", f"{role}/secret-id", {})[1]["data"]["secret_id"]
        auth = AppRoleAuth(role_id, secret_id)
        async with VaultClient(settings(server, Root("", kv.path), auth=auth)) as client:
            for n in range(12):
                assert isinstance(await client.read(kv.path, f"s{n}"), Found)
            assert isinstance(await client.write(kv.path, "s0", b"{}"), Refused)


# TLS -------------------------------------------------------------------------------------------------------------


def authority(directory: Path) -> tuple[Path, Callable[..., tuple[Path, Path]]]:
    """A CA of our own: its file, and how to have it sign a certificate for an address, valid for so many hours."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"CA {secrets.token_hex(4)}")])

    def sign(subject: x509.Name, public: Any, hours: float, *more: tuple[x509.ExtensionType, bool]) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + timedelta(hours=hours))
        )
        for extension, critical in more:
            made = made.add_extension(extension, critical)
        return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca = directory / f"{secrets.token_hex(4)}.pem"
    ca.write_bytes(sign(name, key.public_key(), 2, (x509.BasicConstraints(ca=True, path_length=0), True)))

    def issue(address: str, hours: float) -> tuple[Path, Path]:
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault")])
        file, private = directory / f"{secrets.token_hex(4)}.crt", directory / f"{secrets.token_hex(4)}.key"
        file.write_bytes(sign(subject, own.public_key(), hours, (names, False)))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        private.write_bytes(own.private_bytes(encoding, form, serialization.NoEncryption()))
        return file, private

    return ca, issue


async def test_tls_with_a_ca_of_our_own(tmp_path: Path) -> None:
    """A real server with such a certificate is taken; otherwise it is refused at once, and the reason is that."""
    ca, issue = authority(tmp_path)
    another, _ = authority(tmp_path)
    certificates = [issue("127.0.0.1", 1.0), issue("127.0.0.1", -1.0), issue("127.0.0.2", 1.0)]
    home = tmp_path / "servers"
    home.mkdir()
    with running(home, openbao.binary(), certificates=certificates) as cluster:
        right, expired, other_name = (f"https://127.0.0.1:{port}" for port, _, _ in cluster.nodes[0].tls)
        roots = (Root("", "secret"),)
        async with VaultClient(VaultSettings(right, TokenAuth(cluster.root_token), roots, ca_file=ca)) as client:
            assert client.settings.address == right
        for address, trusted in ((right, another), (expired, ca), (other_name, ca)):
            with pytest.raises(VaultUnreachable, match=r"certificate .* is not trusted") as caught:
                async with VaultClient(VaultSettings(address, TokenAuth("none"), roots, ca_file=trusted)):
                    pass
            assert "ca_file" in caught.value.hint
