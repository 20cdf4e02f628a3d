"""Server processes of the demo: started on loopback, watched, and ended by us, by a later run, or when we die.

Every process leaves a record (``NAME.pid``) beside its log (``NAME.log``), so that it can be ended without us. A
record holds no secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...stages.errors import ConfigurationError

#: Seconds a server has to answer after its start, and to end after it was asked to.
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_POLL = 0.02
_LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a command runs as; without arguments as ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> tuple[int, ...] | None:
        """No further groups for another account; ours for ourselves."""
        return None if self.uid is None else ()


OURSELVES = Account()


@dataclass(frozen=True, slots=True)
class Record:
    """What it takes to find a process again and to end it. ``remove`` is a directory that goes with the process."""

    pid: int
    argv: list[str]
    stop_signal: int
    remove: str = ""

    def alive(self) -> bool:
        """Whether that process still runs: the pid is in use *and* by the same command line."""
        return _command_of(self.pid) == self.argv

    def stop(self) -> bool:
        """End the process if it is still ours; whether it was. Returns only when it is gone."""
        was_alive = self.alive()
        for number in (self.stop_signal, signal.SIGKILL):
            if self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
                self.wait(STOP_SECONDS)
        self.clean()
        return was_alive

    def wait(self, seconds: float) -> bool:
        """Wait until the process is gone, at most so long; whether it is."""
        deadline = time.monotonic() + seconds
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(_POLL)
        return not alive

    def clean(self) -> None:
        """Remove the directory that goes with the process, if there is one."""
        if self.remove:
            shutil.rmtree(self.remove, ignore_errors=True)


class ServerProcess:
    """One running server, our child. ``stop`` ends it, and may be called twice."""

    def __init__(self, name: str, directory: Path, process: subprocess.Popen[bytes], record: Record) -> None:
        self.name = name
        self.pid = process.pid
        self._process: subprocess.Popen[bytes] | None = process
        self._record = record
        self._record_file = directory / f"{name}.pid"
        self._log = directory / f"{name}.log"
        self._record_file.write_text(json.dumps(asdict(record)), encoding="utf-8")

    def __repr__(self) -> str:
        return f"ServerProcess(name={self.name!r}, pid={self.pid})"

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._record.alive() if self._process is None else self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], give_up: threading.Event) -> None:
        """Return once ``ready()``.

        Raises:
            ConfigurationError: the process ended, or was not ready within ``START_SECONDS``; with its last log lines.
        """
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if not self.alive():
                raise self.failure("ended at once" if self._process is None else f"ended ({self._process.returncode})")
            if give_up.is_set() or time.monotonic() > deadline:
                raise self.failure("was told to give up" if give_up.is_set() else "did not get ready in time")
            give_up.wait(_POLL)

    def failure(self, what: str) -> ConfigurationError:
        """An error that says what happened and ends with the last lines of the log."""
        return ConfigurationError(
            f"The {self.name} server {what}. The end of {self._log}:\n{log_tail(self._log)}",
            hint="Mend what the log names and start again.",
        )

    def port_was_taken(self) -> bool:
        """Whether it ended because somebody else took its port between our choice and its start."""
        return not self.alive() and "address already in use" in log_tail(self._log, 40).lower()

    def stop(self) -> None:
        """End it gently, then not; returns when it is gone and its record too."""
        if self._process is None:
            self._record.stop()
            self._record_file.unlink(missing_ok=True)
            return
        self._process.send_signal(self._record.stop_signal)  # which does nothing when it has ended
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._record.clean()
        self._record_file.unlink(missing_ok=True)

    def release(self) -> None:
        """Let it live on without us: from now on only its record ends it."""
        if self._process is not None:
            self._process.returncode = 0  # or the interpreter warns of a child that still runs
            self._process = None


class Guardian:
    """A small process that ends the servers of a directory when we die without ending them (SIGKILL, a crash).

    ``remove``: then it removes the directory, too.
    """

    def __init__(self, directory: Path, *, remove: bool = False) -> None:
        path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.guardian", str(directory), *(["remove"] if remove else [])],
            stdin=subprocess.PIPE,  # nothing is ever written: its end is the message
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Say that the servers are ended; returns when the guardian is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def start_process(
    name: str,
    argv: Sequence[str | Path],
    *,
    directory: Path,
    env: Mapping[str, str] | None = None,
    account: Account = OURSELVES,
    stop_signal: signal.Signals = signal.SIGTERM,
    remove: Path | None = None,
) -> ServerProcess:
    """Start a server in a session of its own (Ctrl-C is for us, not for it), with nothing of our environment."""
    command = [str(word) for word in argv]
    with (directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(**(env or {})),
            start_new_session=True,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    record = Record(process.pid, command, int(stop_signal), str(remove or ""))
    try:
        return ServerProcess(name, directory, process, record)
    except BaseException:
        process.kill()
        process.wait()
        raise


def clean_environment(**more: str) -> dict[str, str]:
    """An environment in which no PGHOST, VAULT_ADDR or RCLONE_CONFIG of the user's reaches a server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **more}


def recorded(directory: Path) -> list[tuple[Path, Record]]:
    """The records in a directory, each with its file."""
    return [(file, Record(**json.loads(file.read_text(encoding="utf-8")))) for file in sorted(directory.glob("*.pid"))]


def stop_recorded(directory: Path) -> list[str]:
    """End every process with a record in the directory, all at once; the names of those that ran."""
    found = recorded(directory)
    outcome: dict[str, bool] = {}
    threads = [
        threading.Thread(target=lambda f=file, r=record: outcome.update({f.stem: r.stop()})) for file, record in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file, _ in found:
        file.unlink(missing_ok=True)
    return sorted(name for name, was_alive in outcome.items() if was_alive)


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def log_tail(log: Path, lines: int = _LOG_LINES) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _command_of(pid: int) -> list[str] | None:
    """The command line of a running process; None when there is none, or only its remains."""
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        return raw.decode(errors="surrogateescape").split("\0")[:-1] or None
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return shown.stdout.split() or None
