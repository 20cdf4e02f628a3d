"""Completion in the shells themselves: somebody types a part of a word and presses Tab."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Outcome

#: How a shell is started without anybody's own files, and what it needs before it takes the script.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ""),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -D -u; "),
}
CASES = [
    ("kleidia-backup resto", "kleidia-backup restore "),
    ("kleidia-backup restore --into-m", "kleidia-backup restore --into-mount "),
    ("kleidia-backup completion f", "kleidia-backup completion fish "),
    ("kleidia-backup --json test-", "kleidia-backup --json test-connection "),
]


@pytest.fixture
def script(call: Callable[..., Outcome], tmp_path: Path) -> Callable[[str], Path]:
    """The file with what ``completion`` prints for a shell, which is installed."""

    def write(shell: str) -> Path:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed: .ci/run does it")
        path = tmp_path / shell
        path.write_text(call("completion", shell).out, encoding="utf-8")
        return path

    return write


class Terminal:
    """A shell at a terminal."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._here, there = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "TERM": "dumb", "PS1": "$ ", "LC_ALL": "C"}
        self._shell = subprocess.Popen(
            command, stdin=there, stdout=there, stderr=there, env=environment, cwd=directory, start_new_session=True
        )
        os.close(there)
        self._seen = ""

    def type(self, text: str) -> None:
        """As somebody at the keyboard."""
        os.write(self._here, text.encode())

    def until(self, text: str) -> None:
        """Wait until it is shown, behind what was waited for before."""
        deadline = time.monotonic() + 60
        while text not in self._seen:
            assert select.select([self._here], [], [], max(0.0, deadline - time.monotonic()))[0], (text, self._seen)
            self._seen += os.read(self._here, 4096).decode(errors="replace").replace("\r", "")
        self._seen = self._seen.partition(text)[2]

    def end(self) -> None:
        """Take the terminal away."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._here)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[list[str]], Terminal]]:
    """Starts a shell; it ends with the test."""
    started: list[Terminal] = []

    def start(command: list[str]) -> Terminal:
        started.append(Terminal(command, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes(shell: str, script: Callable[[str], Path], terminal: Callable[[list[str]], Terminal]) -> None:
    """Commands, options and the words that an argument can be."""
    path, (command, before) = script(shell), SHELLS[shell]
    screen = terminal(command)
    screen.type(f"{before}source {path}; echo re''ady\n")
    screen.until("ready\n")
    for typed, whole in CASES:
        screen.type(f"{typed}\t")
        screen.until(whole)
        screen.type("\x15")


def test_fish_completes(script: Callable[[str], Path]) -> None:
    """Fish says itself what it would make of a line."""
    path = script("fish")
    for typed, whole in CASES:
        asked = f"source {path}; complete -C '{typed}'"
        done = subprocess.run(["fish", "--no-config", "-c", asked], capture_output=True, text=True, check=True)
        words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert words == [whole.split()[-1]], typed
