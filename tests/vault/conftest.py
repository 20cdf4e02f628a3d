"""A client for the real server, and a small vault of our own that misbehaves on demand."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kleidia_backup.demo.servers.together import OpenBaoServer

from .stub import StubVault


@asynccontextmanager
async def serve(vault: StubVault, tls: ssl.SSLContext | None = None) -> AsyncIterator[StubVault]:
    """Let a stub answer on a free port of loopback."""
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", vault.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        vault.address = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        yield vault
    finally:
        await runner.cleanup()


@pytest.fixture
async def stub(anyio_backend: str) -> AsyncIterator[StubVault]:
    """A ``StubVault`` that answers."""
    async with serve(StubVault()) as vault:
        yield vault


@pytest.fixture
async def tls_stub(anyio_backend: str, certificate: tuple[Path, Path]) -> AsyncIterator[StubVault]:
    """A ``StubVault`` that answers by HTTPS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with serve(StubVault(), context) as vault:
        yield vault


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that refuses connections for as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield taken.getsockname()[1]


@dataclass
class Policies:
    """Makes tokens of the real server."""

    server: OpenBaoServer

    def policy(self, **rules: list[str]) -> str:
        """Write a policy; returns its name."""
        name = f"test-{secrets.token_hex(6)}"
        text = "\n".join(f'path "{path}" {{ capabilities = {json.dumps(rights)} }}' for path, rights in rules.items())
        status, _ = self.server.request("PUT", f"sys/policies/acl/{name}", {"policy": text})
        assert status == 204
        return name

    def token(self, rules: dict[str, list[str]], **options: object) -> str:
        """Make a token with these rules."""
        body = {"policies": [self.policy(**rules)], "ttl": "1h", **options}
        status, answer = self.server.request("POST", "auth/token/create", body)
        assert status == 200
        return str(answer["auth"]["client_token"])


@pytest.fixture
def policies(openbao_server: OpenBaoServer) -> Policies:
    """Tokens and policies of the real server."""
    return Policies(openbao_server)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody signed but itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert.pem", directory / "key.pem"
