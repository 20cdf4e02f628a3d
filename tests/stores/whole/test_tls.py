"""Real stores that speak TLS with a certificate of an authority of our own; and certificates that are not good."""

from __future__ import annotations

import contextlib
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from kleidia_backup.demo.servers.s3 import Bucket, S3Server, start_s3
from kleidia_backup.stages.errors import StoreUnreachable
from kleidia_backup.stages.stores.s3.store import S3Store

from ... import seaweedfs
from ...certificates import Authority
from ...memory import in_memory
from ..conftest import PREFIX, settings_for
from ..test_contract import read, sample, upload

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
PART = 5 * 1024 * 1024
HOUR = timedelta(hours=1)
Start = Callable[[tuple[Path, Path]], S3Server]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path)


@pytest.fixture
def rclone_with(tmp_path: Path) -> Iterator[Start]:
    """Starts rclone with a certificate."""
    with contextlib.ExitStack() as stack:

        def start(certificate: tuple[Path, Path]) -> S3Server:
            server, process = start_s3(tmp_path, certificate=certificate)
            stack.callback(process.stop)
            return server

        yield start


@pytest.fixture(params=["rclone", "seaweedfs"])
def trusted(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket of a store whose certificate the authority has given."""
    certificate = authority.issue(tmp_path)
    with contextlib.ExitStack() as stack:
        if request.param == "rclone":
            start: Start = request.getfixturevalue("rclone_with")
            server = start(certificate)
        else:
            server = stack.enter_context(seaweedfs.running(stack.enter_context(in_memory(tmp_path)), certificate))
        yield replace(server, ca_file=str(authority.file)).create_bucket("test-tls")


async def test_everything_over_tls(trusted: Bucket, authority: Authority) -> None:
    """Parts, ranges, a listing, a URL for others, the check of rights: with the CA file; and without it nothing."""
    data = sample(2 * PART + 17)
    assert trusted.server.endpoint.startswith("https://")
    async with S3Store(settings_for(trusted)) as store:
        assert await store.check() == ()
        info = await upload(store, NAME, data, PART)
        assert await read(store, NAME, pin=info) == data
        assert await read(store, NAME, start=PART - 3, end=PART + 3, pin=info) == data[PART - 3 : PART + 3]
        assert [each.name async for each in store.list(PREFIX)] == [NAME]
        url = await store.presign(NAME, HOUR)
        trusting = ssl.create_default_context(cafile=str(authority.file))
        assert await anyio.to_thread.run_sync(lambda: urllib.request.urlopen(url, context=trusting).read()) == data
        await store.delete(NAME, pin=info)
    async with S3Store(settings_for(trusted, ca_file="")) as store:
        with pytest.raises(StoreUnreachable, match="not trusted"):
            await store.head(NAME)
    assert trusted.keys() == trusted.uploads() == []


@pytest.mark.parametrize(
    ("host", "begins", "ends", "why", "next_step"),
    [
        ("127.0.0.1", -2 * HOUR, -HOUR, "certificate has expired", "Renew"),
        ("127.0.0.1", HOUR, 2 * HOUR, "certificate is not yet valid", "clock"),
        ("127.0.0.9", -HOUR, HOUR, "IP address mismatch", "endpoint"),
        ("s3.example.com", -HOUR, HOUR, "mismatch", "endpoint"),
    ],
    ids=["expired", "not yet valid", "another address", "another name"],
)
async def test_a_certificate_that_is_not_good(
    rclone_with: Start,
    authority: Authority,
    tmp_path: Path,
    host: str,
    begins: timedelta,
    ends: timedelta,
    why: str,
    next_step: str,
) -> None:
    """What is wrong with it, and what to do about that: another CA file would not help."""
    server = rclone_with(authority.issue(tmp_path, host, begins=begins, ends=ends))
    bucket = Bucket(replace(server, ca_file=str(authority.file)), "test-tls")
    async with S3Store(settings_for(bucket)) as store:
        with pytest.raises(StoreUnreachable, match=why) as caught:
            await store.head(NAME)
    assert server.endpoint in caught.value.message
    assert next_step in caught.value.hint
    assert "ca_file" not in caught.value.hint


async def test_an_authority_that_vouches_for_another(rclone_with: Start, authority: Authority, tmp_path: Path) -> None:
    """The CA file is a good one, and the certificate is not its."""
    other = Authority.new(tmp_path, "another authority")
    server = rclone_with(other.issue(tmp_path))
    bucket = Bucket(replace(server, ca_file=str(authority.file)), "test-tls")
    async with S3Store(settings_for(bucket)) as store:
        with pytest.raises(StoreUnreachable, match="not trusted: unable to get local issuer certificate") as caught:
            await store.head(NAME)
    assert "Set ca_file to the authority that signed it" in caught.value.hint
