"""The command line in this process and in one of its own, away from the configuration of whoever runs the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.cli import main

#: Prefixes of variables that the configuration or its libraries read.
_FOREIGN = ("KLEIDIA_", "PG", "VAULT_", "BAO_", "AWS_")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of the command gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout, which holds one JSON object."""
        return json.loads(self.out.rstrip("\n").rpartition("\n")[2])

    @property
    def everything(self) -> str:
        """Both streams."""
        return self.out + self.err


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, no variable that configures anything, no default file of the machine."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and not name.startswith(("KLEIDIA_TEST_", "KLEIDIA_STATE_DIR")):
            monkeypatch.delenv(name)
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr("kleidia_backup.config.reader.DEFAULT_FILES", (Path("kleidia-backup.toml"),))
    return directory


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Calls the command in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as exc:
            status = int(exc.code or 0)
        return Outcome(status, *capsys.readouterr())

    return run


def command(*arguments: str | Path) -> list[str]:
    """The argument vector of the command in a process of its own."""
    return [sys.executable, "-m", "kleidia_backup.cli", *map(str, arguments)]


@pytest.fixture
def spawn() -> Callable[..., Outcome]:
    """Calls the command in a process of its own, with no terminal, and waits for its end."""

    def run(*arguments: str | Path) -> Outcome:
        done = subprocess.run(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def configured(alone: Path) -> Callable[[str], Path]:
    """Writes ``kleidia-backup.toml`` where the command looks for it, readable by its owner only."""

    def write(text: str) -> Path:
        path = alone / "kleidia-backup.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write
