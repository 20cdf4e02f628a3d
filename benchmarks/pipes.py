"""The references of people who write a pipe into a cron job: the programs of any system, one after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kleidia_backup import PostgresSettings

from .bare import dump_command, psql_command

_SEAL = "openssl enc -aes-256-ctr -pbkdf2 -pass env:BENCH_PASSWORD"
_OPEN = "openssl enc -d -aes-256-ctr -pbkdf2 -pass env:BENCH_PASSWORD"


def gzip(database: PostgresSettings, to: Path) -> None:
    """``pg_dump | gzip | openssl enc -aes-256-ctr``, to a file."""
    _run(f'"$@" | gzip | {_SEAL} -out "$FILE"', to, dump_command(database), database.environment())


def gunzip(file: Path) -> None:
    """Its way back, to nowhere."""
    _run(f'{_OPEN} -in "$FILE" | gunzip >/dev/null', file)


def zstd(database: PostgresSettings, to: Path) -> None:
    """``pg_dump | zstd -1 | openssl enc -aes-256-ctr``, to a file: the best that a shell offers."""
    _run(f'"$@" | zstd -1 -q | {_SEAL} -out "$FILE"', to, dump_command(database), database.environment())


def restore(database: PostgresSettings, file: Path) -> None:
    """``openssl enc -d | zstd -d | psql -1``."""
    _run(f'{_OPEN} -in "$FILE" | zstd -d -q | "$@"', file, psql_command(database), database.environment())


def _run(script: str, file: Path, command: list[str] | None = None, environment: dict[str, str] | None = None) -> None:
    for program in ("gzip", "gunzip", "zstd", "openssl"):
        if program in script and shutil.which(program) is None:
            raise RuntimeError(
                f"A reference needs the program {program}, which is not here (apt-get install {program})."
            )
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", script, "pipe", *(command or ())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if command and Path(command[0]).name == "psql" else None,
        env={**(environment or os.environ), "BENCH_PASSWORD": "a password", "FILE": str(file)},
        check=True,
    )
