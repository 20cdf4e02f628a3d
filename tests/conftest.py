"""Real servers for every test: started once per session when first asked for, on loopback, and gone afterwards.

Three sources, in this order, each server for itself:

- a server named in the environment: ``KLEIDIA_TEST_POSTGRES`` (a connection string of a superuser),
  ``KLEIDIA_TEST_OPENBAO`` (an address) with ``KLEIDIA_TEST_OPENBAO_TOKEN``, ``KLEIDIA_TEST_S3`` (an endpoint) with
  ``KLEIDIA_TEST_S3_ACCESS_KEY``, ``KLEIDIA_TEST_S3_SECRET_KEY`` and optionally ``KLEIDIA_TEST_S3_REGION``;
- containers, with ``KLEIDIA_TEST_CONTAINERS=1`` (not run by our CI, which has no Docker engine);
- programs from PyPI wheels, which is the default: PostgreSQL, OpenBao, moto and rclone.

Each test gets a database, a KV mount and a bucket of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.service.demo.postgres import binaries
from kleidia_backup.service.demo.processes import start_process
from kleidia_backup.service.demo.servers import Bucket, KvMount, OpenBaoServer, PostgresServer, S3Server, start_servers

_CONTAINERS = os.environ.get("KLEIDIA_TEST_CONTAINERS") == "1"


# A loaded machine is slow, not wrong; and CI finds the same examples every time.
settings.register_profile("kleidia", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("kleidia")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests run on asyncio; those of the engine parametrize this with ``["asyncio", "trio"]``."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_state_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Restores keep their journal in a directory of each test's own, made when it is needed."""
    directory = tmp_path_factory.getbasetemp() / "state" / secrets.token_hex(6)
    monkeypatch.setenv("KLEIDIA_STATE_DIR", str(directory))


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """The session ends without a child process that it did not begin with."""
    ours = psutil.Process()
    before = set(ours.children(recursive=True))
    yield
    _, left = psutil.wait_procs(set(ours.children(recursive=True)) - before, timeout=5)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL with a superuser's password; its ``bin_dir`` has the right ``pg_dump`` and ``psql``."""
    with contextlib.ExitStack() as stack:
        if named := os.environ.get("KLEIDIA_TEST_POSTGRES"):
            where = {key: str(value) for key, value in conninfo_to_dict(named).items()}
            yield PostgresServer(
                where["host"], int(where.get("port", 5432)), where["user"], where.get("password", ""), binaries()
            )
        elif _CONTAINERS:
            from kleidia_backup.service.demo.containers import postgres_container

            yield postgres_container(stack)
        else:
            directory = tmp_path_factory.mktemp("postgres")
            yield stack.enter_context(start_servers(directory, openbao=False, s3=False, fsync=False)).postgres


@pytest.fixture(scope="session")
def openbao_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    """An OpenBao with its root token. Tests that seal or stop one start their own."""
    with contextlib.ExitStack() as stack:
        if named := os.environ.get("KLEIDIA_TEST_OPENBAO"):
            yield OpenBaoServer(named, os.environ["KLEIDIA_TEST_OPENBAO_TOKEN"])
        elif _CONTAINERS:
            from kleidia_backup.service.demo.containers import openbao_container

            yield openbao_container(stack)
        else:
            directory = tmp_path_factory.mktemp("openbao")
            yield stack.enter_context(start_servers(directory, postgres=False, s3=False)).openbao


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 that takes parts in any order: moto, in a process of its own. It checks neither keys nor checksums."""
    with contextlib.ExitStack() as stack:
        if named := os.environ.get("KLEIDIA_TEST_S3"):
            yield S3Server(
                named,
                os.environ["KLEIDIA_TEST_S3_ACCESS_KEY"],
                os.environ["KLEIDIA_TEST_S3_SECRET_KEY"],
                os.environ.get("KLEIDIA_TEST_S3_REGION", "us-east-1"),
            )
        elif _CONTAINERS:
            from kleidia_backup.service.demo.containers import s3_container

            yield s3_container(stack)
        else:
            yield _moto(tmp_path_factory.mktemp("moto"), stack)


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 that checks signatures, for wrong keys and presigned URLs. It wants parts in ascending order."""
    with start_servers(tmp_path_factory.mktemp("rclone"), postgres=False, openbao=False) as servers:
        yield servers.s3


def _moto(directory: Path, stack: contextlib.ExitStack) -> S3Server:
    listens = re.compile(r"Running on (http://[0-9.:]+)")
    log = directory / "moto.log"
    process = start_process(
        "moto",
        [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"],
        directory=directory,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
    )
    stack.callback(process.stop)
    process.wait_until(lambda: bool(listens.search(log.read_text(encoding="utf-8"))), threading.Event())
    found = listens.search(log.read_text(encoding="utf-8"))
    assert found is not None
    return S3Server(found.group(1), "AKIATESTTESTTESTTEST", "test-secret")


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes an empty database, as often as it is called, and returns its connection string (password included)."""
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection, contextlib.ExitStack() as stack:

        def make() -> str:
            name = f"test_{secrets.token_hex(6)}"
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            stack.callback(connection.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            return postgres_server.conninfo(name)

        yield make


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The connection string (password included) of an empty database, whose owner is a superuser."""
    return new_database()


def _remove(mount: KvMount) -> None:
    # A busy server may need longer than a request for thousands of secrets; what is left goes when it ends.
    with contextlib.suppress(OSError):
        mount.remove()


@pytest.fixture
def kv_mount(openbao_server: OpenBaoServer) -> Iterator[Callable[[int], KvMount]]:
    """Mounts an empty KV engine of the version asked for (1 or 2), as often as it is called."""
    with contextlib.ExitStack() as stack:

        def mount(version: int) -> KvMount:
            made = openbao_server.mount(f"kv{version}-{secrets.token_hex(6)}", version=version)
            stack.callback(_remove, made)
            return made

        yield mount


@pytest.fixture
def kv(kv_mount: Callable[[int], KvMount]) -> KvMount:
    """An empty KV v2 engine."""
    return kv_mount(2)


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket on the S3 that takes parts in any order."""
    return s3_server.create_bucket(f"test-{secrets.token_hex(6)}")


@pytest.fixture
def rclone_bucket(rclone_server: S3Server) -> Bucket:
    """An empty bucket on the S3 that checks signatures."""
    return rclone_server.create_bucket(f"test-{secrets.token_hex(6)}")


@pytest.fixture
def store_directory(tmp_path: Path) -> Path:
    """An empty directory for archives."""
    path = tmp_path / "store"
    path.mkdir()
    return path
