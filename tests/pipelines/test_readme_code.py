"""README's embedding code runs as it stands there, but for the addresses and passwords in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PASSWORD, System

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def test_the_embedding_code_runs(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a backup and restores it, in about ten lines, and prints progress and a report."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert system.vault.auth.token  # type: ignore[union-attr]
    for written, real in {
        "postgresql://backup@db.example.org/kleidia": system.conninfo,
        "https://openbao.example.org:8200": system.vault.address,
        "s.…": system.vault.auth.token,  # type: ignore[union-attr]
        '"secret"': repr(system.application.path),
        "/var/backups/kleidia": str(system.directory),
        'password="…"': f"password={PASSWORD!r}",
    }.items():
        assert written in code
        code = code.replace(written, real)
    # README's reader has pg_dump and psql on PATH.
    monkeypatch.setenv("PATH", str(Path(system.postgres.pg_dump).parent), prepend=":")
    rows, secrets = system.rows(), system.secrets()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, encoding="utf-8")
    assert (system.rows(), system.secrets()) == (rows, secrets)
    assert "phase='backup'" in done.stdout
    assert "backup-full-" in done.stdout
