"""The recovery kit, done as its HOW-TO says: nothing of the package opens the archive or writes anything.

What is used: bash, GNU tar and sed of the machine, ``psql`` of the server's wheel, ``bao`` of its wheel, and ``zstd``
of the machine, or where it has none a program of three lines around the package ``zstandard`` in its place.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from anyio import to_thread

from kleidia_backup import backup
from kleidia_backup.demo.servers.openbao import binary
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.recovery_kit import SUMS, store_recovery_kit, write_recovery_kit

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

_ZSTD = f"""#!{sys.executable}
import sys, zstandard
zstandard.ZstdDecompressor().copy_stream(sys.stdin.buffer, sys.stdout.buffer, read_across_frames=True)
"""


def blocks(how_to: str, step: str) -> str:
    """The lines to paste of one step of the HOW-TO."""
    text = re.split(rf"^{step}\. ", how_to, flags=re.MULTILINE)[1]
    text = re.split(r"^\d\w?\. |^WHAT IS", text, flags=re.MULTILINE)[0]
    lines, pasted = [], False
    for line in text.splitlines():
        if line.startswith("-----"):
            pasted = not pasted
        elif pasted:
            lines.append(line)
        elif line.startswith("       ") and not re.match(r"\w[\w ]* {3,}\w", line.strip()):
            lines.append(line[7:])
    return "\n".join(lines) + "\n"


def tools(directory: Path, server: PostgresServer) -> str:
    """A PATH with the programs that the HOW-TO names."""
    directory.mkdir()
    (directory / "psql").symlink_to(server.bin_dir / "psql")
    (directory / "bao").symlink_to(binary())
    (directory / "python3").symlink_to(sys.executable)
    if shutil.which("zstd") is None:
        (directory / "zstd").write_text(_ZSTD)
        (directory / "zstd").chmod(0o700)
    return f"{directory}:{os.environ['PATH']}"


async def test_a_kit_is_complete_and_its_checksums_are_right(tmp_path: Path, system: System) -> None:
    """In a directory and in a store; a second time it replaces what is there, and no listing shows it."""
    directory = tmp_path / "kit"
    for _ in range(2):
        sums = await write_recovery_kit(directory)
        assert {each.name for each in directory.iterdir()} == set(sums)
        assert {"HOW-TO.txt", "recover.py", "recover_v1.py", "SPEC-v1.md", "SPEC-v2.md", SUMS} == set(sums)
        for name, digest in sums.items():
            assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest
        assert await store_recovery_kit(system.store) == sums
    await to_thread.run_sync(
        lambda: subprocess.run(["sha256sum", "--strict", "-c", SUMS], cwd=directory, check=True, capture_output=True)
    )
    stored = system.directory / "backups" / "recovery-kit"
    assert {each.name: each.read_bytes() for each in stored.iterdir()} == {
        each.name: each.read_bytes() for each in directory.iterdir()
    }


#: Files of this process may not be larger than what its first argument says: a disk that is full on the way.
_LIMITED = """
import resource, signal, sys
from kleidia_backup import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("older", [False, True])
async def test_a_full_disk_changes_nothing(older: bool, tmp_path: Path) -> None:
    """No half of a kit, and an older one stays whole."""
    directory = tmp_path / "kit"
    directory.mkdir()
    if older:
        (directory / "HOW-TO.txt").write_text("of last year", encoding="utf-8")
    command = [sys.executable, "-c", _LIMITED, "20000", "recovery-kit", str(directory)]
    done = await to_thread.run_sync(lambda: subprocess.run(command, check=False, capture_output=True, text=True))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Make room there" in done.stderr
    assert [each.read_text(encoding="utf-8") for each in directory.iterdir()] == ["of last year"] * older


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_how_to_brings_everything_back(
    system: System, postgres_server: PostgresServer, tmp_path: Path, version: Literal["v1", "v2"]
) -> None:
    """Step by step, as a person would paste it: the database and both roots of the vault are as at the backup."""
    kv = system.application
    kv.put("kleidia/gone", {"a": 1})
    kv.server.request("DELETE", f"{kv.path}/data/kleidia/gone")
    made = await backup(
        database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format=version
    )
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    system.sql("DROP SCHEMA public CASCADE")
    system.sql("CREATE SCHEMA public")
    kit = tmp_path / "kit"
    await write_recovery_kit(kit)
    how_to = (kit / "HOW-TO.txt").read_text()
    (kit / "password").write_text(PASSWORD)
    (kit / "r" / "bin").mkdir(parents=True)  # step 2, without the internet: recover.py sees no package of ours
    (kit / "r" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@" --password-file password\n')
    (kit / "r" / "bin" / "python").chmod(0o700)
    opening = blocks(how_to, "4a" if version == "v1" else "4b")
    server = system.application.server
    script = [
        "set -e",
        blocks(how_to, "1"),
        f"ARCHIVE='{system.directory / made.name}'; DATABASE='{system.conninfo}'",
        opening,
        blocks(how_to, "5"),
    ]
    putting = blocks(how_to, "6")
    for prefix, mount, folder, others in (
        ("", system.application.path, "kleidia/", "yubikeys/"),
        ("yubikeys/", system.yubikeys.path, "", ""),
    ):
        values = {"BAO_ADDR": server.address, "PREFIX": prefix, "MOUNT": mount, "FOLDER": folder, "OTHERS": others}
        text = putting
        for name, value in values.items():
            text, count = re.subn(rf"^((?:export )?{name}=)\S*", rf"\g<1>{value}", text, flags=re.MULTILINE)
            assert count == 1
        script.append(text)
    environment = {"PATH": tools(tmp_path / "bin", postgres_server), "BAO_TOKEN": server.root_token, "HOME": str(kit)}
    done = await to_thread.run_sync(
        lambda: subprocess.run(
            ["bash"], input="\n".join(script), cwd=kit, env=environment, capture_output=True, text=True, check=False
        )
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "NOT WRITTEN" not in done.stdout
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == secrets
