"""PostgreSQL's own regression scripts: where they are, and a database that they leave behind."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.postgres import PostgresServer, _account
from kleidia_backup.demo.servers.processes import OURSELVES, clean_environment

from ..dumps import run_script

#: Seconds for one script.
_SCRIPT_SECONDS = 120
#: Scripts of a group that run at once.
_AT_ONCE = 4


@dataclass(frozen=True)
class Regression:
    """The scripts of one major version, as ``fetch.sh`` leaves them."""

    directory: Path

    def groups(self) -> list[list[str]]:
        """The names of the scripts in the order of PostgreSQL's schedule; those of a group may run at once."""
        schedule = (self.directory / "parallel_schedule").read_text(encoding="utf-8")
        return [line.removeprefix("test:").split() for line in schedule.splitlines() if line.startswith("test:")]

    def leave_behind(self, server: PostgresServer, name: str, results: Path) -> tuple[int, list[str]]:
        """Make a database by running every script; how many ran, and those whose output is not PostgreSQL's own.

        The server writes files below ``results``.
        """
        run_script(server.conninfo(), f"CREATE DATABASE {name} TEMPLATE template0")
        for setting in ("lc_messages TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"):
            run_script(server.conninfo(), f"ALTER DATABASE {name} SET {setting}")
        environment = clean_environment(
            PGPASSWORD=server.password,
            PGTZ="America/Los_Angeles",
            PGDATESTYLE="Postgres, MDY",
            PGOPTIONS="-c intervalstyle=postgres_verbose",
            PG_ABS_SRCDIR=str(self.directory),
            PG_ABS_BUILDDIR=str(results),
            PG_LIBDIR=str(self.directory / "lib"),
            PG_DLSUFFIX=".so",
        )
        command: list[str | Path] = [server.bin_dir / "psql", "-X", "-a", "-q", "-d"]
        command.append(make_conninfo(server.conninfo(name), password=None, application_name="regression"))
        command += ["-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]

        def run(script: str) -> str | None:
            with (self.directory / "sql" / f"{script}.sql").open("rb") as statements:
                done = subprocess.run(
                    command,
                    stdin=statements,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd="/",
                    user=account.uid,  # some scripts write a file that psql made
                    group=account.gid,
                    extra_groups=account.groups,
                    timeout=_SCRIPT_SECONDS,
                    check=False,
                )
            (results / "results" / f"{script}.out").write_bytes(done.stdout)
            return None if self._expected(script, done.stdout) else script

        account = _account() if os.geteuid() == 0 else OURSELVES
        ran, others = 0, []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for group in self.groups():
                ran += len(group)
                others += [script for script in pool.map(run, group) if script]
        return ran, others

    def _expected(self, script: str, output: bytes) -> bool:
        known = re.compile(rf"{re.escape(script)}(_\d+)?\.out")
        variants = [path for path in (self.directory / "expected").iterdir() if known.fullmatch(path.name)]
        return any(path.read_bytes().split() == output.split() for path in variants)


def find_regression(major: int) -> Regression | None:
    """The scripts of a major version, or None when this machine has none."""
    directory = Path(os.environ.get("KLEIDIA_TEST_PG_VERSIONS", os.devnull)) / f"regress-{major}"
    return Regression(directory) if (directory / "lib" / "regress.so").exists() else None
