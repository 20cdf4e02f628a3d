"""Running the command, and killing it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Seconds after which a command that was not killed hangs.
HANGS = 120.0


class Wrong(Exception):
    """Something is not as it must be after a kill."""


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit status (-9: it was killed), the seconds until then, and what it said."""

    arguments: tuple[str, ...]
    status: int
    seconds: float
    stdout: str
    stderr: str

    def must(self, *statuses: int) -> Ran:
        """Itself, when it ended with one of these. Raises ``Wrong``."""
        if self.status not in statuses:
            said = (self.stdout + self.stderr)[-2000:]
            raise Wrong(f"{' '.join(self.arguments)} ended with {self.status}, not {statuses}: {said}")
        return self

    @property
    def result(self) -> Any:
        """Its JSON."""
        return json.loads(self.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Running:
    """A command that runs."""

    commands: Commands
    pid: int
    arguments: tuple[str, ...]
    began: float

    def end(self, *, kill: bool = True) -> Ran:
        """How it ended. ``kill``: it gets SIGKILL now, with its whole process group."""
        seconds = time.monotonic() - self.began
        if kill:
            with suppress(ProcessLookupError):  # it ends at this moment
                os.killpg(self.pid, signal.SIGKILL)
        return self.commands.ended(self.arguments, seconds)


class Commands:
    """Runs one command at a time, with ``directory`` for what it says and ``temporary`` for its temporary files."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._output = directory / "stdout", directory / "stderr"
        self.temporary = directory / "tmp"
        self.temporary.mkdir(mode=0o711)

    def run(self, configuration: Path, *arguments: str, kill_after: float | None = None, aged: bool = False) -> Ran:
        """Run a command to its end; with ``kill_after`` its process group gets SIGKILL after so many seconds.

        ``aged``: unfinished uploads count as older than the day after which a backup removes them.
        """
        running = self.start(configuration, *arguments, aged=aged)
        ended = self._ends_within(HANGS if kill_after is None else kill_after)
        ran = running.end(kill=not ended)
        if not ended and kill_after is None:
            raise Wrong(f"{' '.join(arguments)} did not end within {HANGS} s")
        return ran

    def start(self, configuration: Path, *arguments: str, aged: bool = False) -> Running:
        """Start a command; the caller ends it before another one is started."""
        assert self._process.stdin is not None
        asked = {
            "arguments": ["--config", str(configuration), "--json", "--quiet", *arguments],
            "environment": {"TMPDIR": str(self.temporary)},
            "aged": aged,
            "modules": str(self._output[0].with_name("modules")),
            "stdout": str(self._output[0]),
            "stderr": str(self._output[1]),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Running(self, int(self._line(HANGS)), arguments, time.monotonic())

    def ended(self, arguments: tuple[str, ...], seconds: float) -> Ran:
        """Wait for the exit status of what runs."""
        status = int(self._line(HANGS))
        stdout, stderr = (each.read_text(encoding="utf-8") if each.exists() else "" for each in self._output)
        return Ran(arguments, status, seconds, stdout, stderr)

    def ready(self) -> None:
        """Wait until everything is imported."""
        self._line(HANGS)

    def _ends_within(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def _line(self, seconds: float) -> str:
        if not self._ends_within(seconds):
            raise Wrong("the process that forks does not answer")
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):  # without a buffer, which ``select`` does not see
            got = os.read(self._process.stdout.fileno(), 1)
            if not got:
                raise Wrong("the process that forks has ended")
            line += got
        return line.decode()


@contextmanager
def commands(directory: Path) -> Iterator[Commands]:
    """The process that forks, ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.chaos.forking"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        made = Commands(process, directory)
        made.ready()
        try:
            yield made
        finally:
            assert process.stdin is not None
            process.stdin.close()
