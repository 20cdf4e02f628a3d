"""The code of docs/embedding.md runs as it stands there, but for the addresses and passwords in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PASSWORD, System

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "embedding.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_engine_alone_runs() -> None:
    """It prints every line, in order."""
    _, code = PROGRAMS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, encoding="utf-8")
    assert done.stdout.splitlines() == [repr(b"line %d\n" % number) for number in range(5)]


def test_the_embedding_code_runs(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a backup and restores it, in about ten lines, and prints progress and a report."""
    code, _ = PROGRAMS
    assert system.vault.auth.token  # type: ignore[union-attr]
    for written, real in {
        "postgresql://backup@db.example.org/kleidia?sslmode=verify-full": system.conninfo,
        "postgresql://owner@db.example.org/kleidia?sslmode=verify-full": system.conninfo,
        "https://openbao.example.org:8200": system.vault.address,
        "s.…": system.vault.auth.token,  # type: ignore[union-attr]
        '"secret"': repr(system.application.path),
        "/var/backups/kleidia": str(system.directory),
        'password="…"': f"password={PASSWORD!r}",
    }.items():
        assert written in code
        code = code.replace(written, real)
    # Its reader has pg_dump on PATH.
    monkeypatch.setenv("PATH", str(Path(system.postgres.pg_dump).parent), prepend=":")
    rows, secrets = system.rows(), system.secrets()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, encoding="utf-8")
    assert (system.rows(), system.secrets()) == (rows, secrets)
    assert "phase='backup'" in done.stdout
    assert "backup-full-" in done.stdout
