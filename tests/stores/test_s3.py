"""What is S3's own: settings, what goes over the wire, versions, credentials, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.stages.errors import ConfigurationError, InternalError, StoreUnreachable
from kleidia_backup.stages.stores.s3.bucket import Bucket as Requests
from kleidia_backup.stages.stores.s3.client import open_client
from kleidia_backup.stages.stores.s3.store import S3Settings, S3Store

from .conftest import PREFIX, Broken, settings_for
from .faults import fault_proxy

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
MIB = 1024 * 1024


# Settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bucket": ""}, "bucket"),
        ({"access_key_id": "AKID"}, "Only one of"),
        ({"secret_access_key": "canary"}, "Only one of"),
        ({"checksum": "sha1"}, "checksum"),
        ({"insecure_tls": True, "ca_file": "ca.pem"}, "exclude"),
        ({"endpoint": "s3.example.com"}, "no URL"),
        ({"endpoint": "ftp://s3.example.com"}, "no URL"),
        ({"endpoint": "http://s3.example.com:port"}, "no URL"),
        ({"endpoint": "https://user:canary@s3.example.com"}, "more than"),
    ],
)
def test_settings_that_cannot_work(fields: dict[str, object], words: str) -> None:
    """Refused at once, with the reason, without the secret."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        S3Settings(**{"bucket": "b", **fields})  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.hint
    assert "canary" not in str(caught.value)


def test_settings_show_no_secret() -> None:
    """Neither key nor token is in the representation."""
    settings = S3Settings("b", access_key_id="AKID", secret_access_key="canary-1", session_token="canary-2")
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("endpoint", "path_style", "url", "addressing"),
    [
        ("", False, None, "virtual"),
        ("https://s3.amazonaws.com", False, None, "virtual"),
        ("https://s3.example.com", False, "https://s3.example.com", "virtual"),
        ("https://s3.example.com", True, "https://s3.example.com", "path"),
        ("http://127.0.0.1:9000", False, "http://127.0.0.1:9000", "path"),
        ("http://[::1]:9000", False, "http://[::1]:9000", "path"),
        ("http://localhost:9000", False, "http://localhost:9000", "path"),
    ],
)
def test_addressing(endpoint: str, path_style: bool, url: str | None, addressing: str) -> None:
    """The bucket goes into the host name unless told otherwise, or where it cannot; the spec's example means AWS."""
    settings = S3Settings("b", endpoint=endpoint, path_style=path_style)
    assert (settings.endpoint_url, settings.addressing) == (url, addressing)


# On the wire --------------------------------------------------------------------------------------------------


async def upload(store: S3Store, size: int = 10) -> None:
    begun = await store.create(NAME, part_size=size)
    await begun.put_part(1, bytearray(size))
    await begun.complete(size)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("changes", "header", "payload"),
    [
        ({}, "x-amz-checksum-crc32", "signed"),
        ({"checksum": "md5"}, "content-md5", "signed"),
        ({"checksum": "none"}, "", "signed"),
        ({"sign_payload": False}, "x-amz-checksum-crc32", "UNSIGNED-PAYLOAD"),
    ],
    ids=["crc32", "md5", "none", "unsigned"],
)
async def test_bodies_on_the_wire(broken: Broken, changes: dict[str, object], header: str, payload: str) -> None:
    """A part and a small object go with a length and at most one checksum, in a plain header; no trailer, no Expect."""
    async with S3Store(broken.settings(**changes)) as store:
        await upload(store)
        await store.put(f"{NAME}.small", bytearray(10))
    bodies = [each.headers for each in broken.proxy.seen if each.operation in {"UploadPart", "PutObject"}]
    assert len(bodies) == 2
    for headers in bodies:
        assert headers["Content-Length"] == "10"
        found = {key.lower() for key in headers if key.lower().startswith(("x-amz-checksum-", "content-md5"))}
        assert found == ({header} if header else set())
        assert {"Expect", "Transfer-Encoding", "Content-Encoding", "x-amz-trailer"}.isdisjoint(headers)
        sent = headers["x-amz-content-sha256"]
        assert len(sent) == 64 if payload == "signed" else sent == payload


@pytest.mark.anyio
async def test_a_store_that_stops_reading(tmp_path: Path) -> None:
    """A body that the other side does not take ends in an error after the read timeout, not after half an hour."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    done = asyncio.Event()
    server = await asyncio.start_server(ignore, "127.0.0.1", 0, limit=1024)
    port = server.sockets[0].getsockname()[1]
    settings = S3Settings(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id="a",
        secret_access_key="b",
        read_timeout=0.3,
        attempts=1,
    )
    try:
        async with open_client(settings) as client:
            with pytest.raises(StoreUnreachable, match="in time"):
                await Requests(client, settings).put(NAME, bytearray(32 * MIB), "mark")
    finally:
        done.set()
        server.close()
        await server.wait_closed()


@pytest.mark.anyio
async def test_lists_go_on_over_pages(bucket: Bucket, rclone_bucket: Bucket) -> None:
    """More objects than one answer holds: every one once, in order."""
    for each in (bucket, rclone_bucket):
        names = [f"{PREFIX}{number}" for number in range(5)]
        for name in names:
            each.put(name, b"x")
        settings = settings_for(each)
        async with open_client(settings) as client:
            found = [info.name async for info in Requests(client, settings).objects(PREFIX, page=2)]
        assert found == names


# Versions -----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_bucket_that_keeps_versions(bucket: Bucket) -> None:
    """A pin names the version: it can be read though another lies on top; deleted for good, it shows none below."""
    with contextlib.closing(bucket.server.client()) as client:
        client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    async with S3Store(settings_for(bucket)) as store:
        pin = await store.put(NAME, bytearray(b"first"))
        assert pin.version
        bucket.put(NAME, b"other")
        async with store.get(NAME, pin=pin) as body:
            assert b"".join([chunk async for chunk in body]) == b"first"
        top = await store.head(NAME)
        await store.delete(NAME, pin=top)
        assert [info.name async for info in store.list(PREFIX)] == []
    with contextlib.closing(bucket.server.client()) as client:
        kept = client.list_object_versions(Bucket=bucket.name)
    assert [each["VersionId"] for each in kept["Versions"]] == [pin.version]
    assert len(kept["DeleteMarkers"]) == 1


# Credentials --------------------------------------------------------------------------------------------------


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS's default credential chain finds nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.mark.anyio
async def test_the_default_credential_chain(
    rclone_bucket: Bucket, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key in the settings, AWS's usual places are asked; when they have none either, the error says so."""
    async with S3Store(settings_for(rclone_bucket, access_key_id="", secret_access_key="")) as store:
        with pytest.raises(ConfigurationError, match="No usable key") as caught:
            await store.head(NAME)
    assert "access_key_id" in caught.value.hint
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rclone_bucket.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rclone_bucket.server.secret_key)
    async with S3Store(settings_for(rclone_bucket, access_key_id="", secret_access_key="")) as store:
        assert (await store.put(NAME, bytearray(b"data"))).size == 4


@pytest.mark.anyio
@pytest.mark.parametrize("key", [{"access_key_id": "", "secret_access_key": ""}, {}], ids=["no key", "a key"])
async def test_a_profile_that_does_not_exist(
    rclone_bucket: Bucket, no_aws: None, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]
) -> None:
    """AWS's own configuration can be wrong too, also where its keys are not wanted."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="nobody") as caught:
        async with S3Store(settings_for(rclone_bucket, **key)):
            pass
    assert "AWS_PROFILE" in caught.value.hint


@pytest.mark.anyio
async def test_a_store_that_was_not_entered(rclone_bucket: Bucket) -> None:
    """That is our own mistake, and is called so."""
    with pytest.raises(InternalError, match="entered"):
        await S3Store(settings_for(rclone_bucket)).head(NAME)


# TLS ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secure:
    """A server that speaks TLS, and the file with the authority that vouches for it."""

    settings: S3Settings
    ca_file: str


@pytest.fixture
async def secure(rclone_bucket: Bucket, tmp_path: Path) -> AsyncIterator[Secure]:
    """The S3 that checks signatures, behind TLS with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, both = tmp_path / "ca.pem", tmp_path / "both.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        pem.read_bytes()
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    async with fault_proxy(rclone_bucket.server.endpoint, context) as proxy:
        yield Secure(settings_for(rclone_bucket, endpoint=proxy.endpoint), str(pem))


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["ca_file", "insecure_tls"])
async def test_tls(secure: Secure, how: str) -> None:
    """With the authority's certificate, or without any check, everything works, and large bodies go unsigned."""
    change = {"ca_file": secure.ca_file} if how == "ca_file" else {"insecure_tls": True}
    settings = S3Settings(**{**_fields(secure.settings), **change})  # type: ignore[arg-type]
    async with S3Store(settings) as store:
        await upload(store, 3 * MIB)
        async with store.get(NAME) as body:
            assert sum([len(chunk) async for chunk in body]) == 3 * MIB


@pytest.mark.anyio
async def test_an_untrusted_certificate(secure: Secure) -> None:
    """Refused at the first attempt, and both ways out are named."""
    async with S3Store(secure.settings) as store:
        with pytest.raises(StoreUnreachable, match=r"not trusted: self.signed certificate") as caught:
            await store.head(NAME)
    assert "ca_file" in caught.value.hint
    assert "insecure_tls" in caught.value.hint


@pytest.mark.anyio
async def test_https_to_a_server_without_tls(rclone_bucket: Bucket) -> None:
    """The hint doubts https first."""
    endpoint = rclone_bucket.server.endpoint.replace("http://", "https://")
    async with S3Store(settings_for(rclone_bucket, endpoint=endpoint)) as store:
        with pytest.raises(StoreUnreachable, match="No TLS connection") as caught:
            await store.head(NAME)
    assert "http://" in caught.value.hint


@pytest.mark.anyio
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used(rclone_bucket: Bucket, tmp_path: Path, content: str | None) -> None:
    """Missing or not a certificate: said before anything is sent."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="CA file"):
        async with S3Store(settings_for(rclone_bucket, ca_file=str(path))):
            pass


def _fields(settings: S3Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in S3Settings.__dataclass_fields__}
