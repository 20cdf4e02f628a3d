"""What a pipeline says it may hold is what its process takes: the bounds of the real DAGs against the real peak."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kleidia_backup.demo.servers.kv import KvMount

from ..archive_format import both_formats, current
from .conftest import System

PROGRAM = Path(__file__).with_name("peak_of_jobs.py")


@both_formats
@pytest.mark.parametrize("database_alone", [True, False])
def test_bounds_hold_and_are_no_idle_talk(
    database_alone: bool, system: System, new_database: Callable[[], str], kv_mount: Callable[[int], KvMount]
) -> None:
    """A backup, a verification and a restore of 48 MiB that hardly shrink, and of secrets of nearly a MiB."""
    system.sql("CREATE TABLE noise (line text)")
    system.sql(
        "INSERT INTO noise SELECT string_agg(encode(sha512((n * 1000 + m)::text::bytea), 'base64'), '')"
        " FROM generate_series(1, 4000) n, generate_series(1, 140) m GROUP BY n"
    )
    for number in range(40):
        system.yubikeys.put(f"large/{number}", {"value": "x" * 900_000})
    few = kv_mount(2)
    few.put("one", {"a": "b"})
    given = {
        "database_alone": database_alone,
        "format": current(),
        "name": "job.enc",
        "conninfo": system.conninfo,
        "empty": new_database(),
        "pg_dump": system.postgres.pg_dump,
        "address": system.vault.address,
        "token": system.vault.auth.token,  # type: ignore[union-attr]
        "roots": [[root.prefix, root.mount, root.folder] for root in system.vault.roots],
        "few": [["", few.path]],
        "directory": str(system.directory),
    }
    for job in ("backup", "verify", "restore"):
        given["job"] = job
        done = subprocess.run(
            [sys.executable, str(PROGRAM)], input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for ran in map(json.loads, done.stdout.splitlines()):
            assert ran["taken"] <= ran["bound"], ran
            if job == "backup":
                # V2 is given its two parts one after the other, and its bound is that of both at once; its edges may
                # hold chunks as large as the largest secret, which few are.
                assert ran["taken"] > ran["bound"] / (5 if database_alone or current() == "v1" else 8), ran
            if (
                job == "backup" and database_alone and current() == "v1"
            ):  # without what stages declare the bound would not hold
                assert ran["taken"] > ran["edges"], ran
