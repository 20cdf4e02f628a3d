"""The stores that the contract is tested on, and the proxy that breaks things."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.stages.stores.base import ObjectStore
from kleidia_backup.stages.stores.directory.store import DirectorySettings, DirectoryStore
from kleidia_backup.stages.stores.s3.store import S3Settings, S3Store

from ..buckets import s3_settings
from . import endpoint
from .endpoint import BASE
from .faults import FaultProxy, fault_proxy

PREFIX = f"{BASE}some/backups/"
#: A store of the operator's own, where one is named.
ENDPOINT = (pytest.param("endpoint", marks=pytest.mark.endpoint),) if endpoint.named() else ()
#: That store again, where a bucket of it is named that locks objects.
LOCKING_ENDPOINT = ENDPOINT if endpoint.named() and endpoint.lock_bucket() else ()


@dataclass(frozen=True)
class Case:
    """A store under test, and a way around it to look and to meddle."""

    id: str
    backend: str
    make: Callable[[], ObjectStore]
    part_size: int
    #: Names of unfinished uploads.
    uploads: Callable[[], list[str]]
    #: Names of all objects, sorted.
    keys: Callable[[], list[str]]
    #: Store or replace an object behind the store's back.
    meddle: Callable[[str, bytes], None]
    #: The PEM file of its CA, where it is no public one.
    ca_file: str = ""


def settings_for(bucket: Bucket, /, **changes: object) -> S3Settings:
    """Settings for a bucket of the test servers, with short pauses."""
    return s3_settings(bucket, **{"prefix": PREFIX, "attempts": 5, "backoff": 0.01, "read_timeout": 20.0, **changes})


def _directory_case(root: Path, backend: str) -> Case:
    def names() -> list[str]:
        return [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]

    def meddle(name: str, data: bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    return Case(
        id="directory",
        backend=backend,
        make=lambda: DirectoryStore(DirectorySettings(root, PREFIX)),
        part_size=4096,
        uploads=lambda: [name for name in names() if name.endswith(".part")],
        keys=lambda: [name for name in names() if not name.endswith(".part")],
        meddle=meddle,
    )


def _s3_case(id_: str, bucket: Bucket, part_size: int) -> Case:
    return Case(
        id=id_,
        backend="asyncio",
        make=lambda: S3Store(settings_for(bucket)),
        part_size=part_size,
        uploads=bucket.uploads,
        keys=bucket.keys,
        meddle=bucket.put,
        ca_file=bucket.server.ca_file,
    )


@pytest.fixture
def store_directory() -> Iterator[Path]:
    """An empty directory on a disk, wherever pytest's directories are: archives are for disks."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture
def endpoint_bucket() -> Iterator[Bucket]:
    """The bucket of the operator's own store: of it what lies below ``BASE``: nothing, also afterwards."""
    bucket = endpoint.bucket()
    yield bucket
    bucket.empty()
    assert (bucket.keys(), bucket.uploads()) == ([], [])


@pytest.fixture(params=["moto", "seaweedfs", *LOCKING_ENDPOINT])
def locking_bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A bucket that can lock objects, in which nothing is, on each store that has such a thing."""
    if request.param != "endpoint":
        server = request.getfixturevalue("s3_server" if request.param == "moto" else "seaweed_server")
        yield server.create_bucket(f"test-{secrets.token_hex(6)}", locks=True)
        return
    bucket = endpoint.lock_bucket()
    assert bucket is not None
    yield bucket
    endpoint.purge(bucket)


@pytest.fixture(params=["directory", "directory-trio", "moto", "rclone", "seaweedfs", *ENDPOINT])
def case(request: pytest.FixtureRequest) -> Case:
    """Each store in turn; S3 on a server that knows conditions, and on one that checks signatures."""
    if request.param == "moto":
        return _s3_case("moto", request.getfixturevalue("bucket"), 5 * 1024 * 1024)
    if request.param == "seaweedfs":
        return _s3_case("seaweedfs", request.getfixturevalue("seaweed_bucket"), 5 * 1024 * 1024)
    if request.param == "endpoint":
        return _s3_case("endpoint", request.getfixturevalue("endpoint_bucket"), 5 * 1024 * 1024)
    if request.param == "rclone":
        return _s3_case("rclone", request.getfixturevalue("rclone_bucket"), 64 * 1024)
    backend = "trio" if request.param.endswith("trio") else "asyncio"
    return _directory_case(request.getfixturevalue("store_directory"), backend)


@pytest.fixture
async def store(case: Case) -> AsyncIterator[ObjectStore]:
    """The store, entered."""
    async with case.make() as entered:
        yield entered


@dataclass(frozen=True)
class Broken:
    """A bucket, a proxy in front of its server that breaks what a test tells it to, and settings that lead there."""

    bucket: Bucket
    proxy: FaultProxy

    def settings(self, **changes: object) -> S3Settings:
        """Settings that lead through the proxy."""
        return settings_for(self.bucket, endpoint=self.proxy.endpoint, **changes)


@pytest.fixture
async def broken(rclone_bucket: Bucket) -> AsyncIterator[Broken]:
    """Faults in front of the S3 that checks signatures."""
    async with fault_proxy(rclone_bucket.server.endpoint) as proxy:
        yield Broken(rclone_bucket, proxy)


@pytest.fixture
async def broken_moto(bucket: Bucket) -> AsyncIterator[Broken]:
    """Faults in front of the S3 that knows conditions and versions."""
    async with fault_proxy(bucket.server.endpoint) as proxy:
        yield Broken(bucket, proxy)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the many sizes of a beginning that is replaced, a store that takes a second for each is tried with a few."""
    if config.option.markexpr == "endpoint" and not endpoint.named():
        raise pytest.UsageError("No store is named: see docs/stores.md for KLEIDIA_TEST_ENDPOINT and its relatives.")
    begins, kept = "test_a_beginning_is_replaced[seaweedfs-", "test_a_beginning_is_replaced[seaweedfs-4196-100-5]"
    for item in items:
        if item.name.startswith(begins) and not item.name.endswith("-0]") and item.name != kept:
            item.add_marker(pytest.mark.thorough)
