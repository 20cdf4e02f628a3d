"""What a drill leaves when its process is killed: the next one removes it, and nothing that another one still uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import time

import psutil
import pytest

from kleidia_backup import TokenAuth, VaultSettings
from kleidia_backup.demo.servers.together import OpenBaoServer
from kleidia_backup.pipeline.drills.directories import HeldDirectory, held_directory, remove_left
from kleidia_backup.stages.vault import scratch
from kleidia_backup.stages.vault.kv.roots import Root

#: Starts embedded servers as a drill does, says where, and waits.
DRILL = """
import sys
from kleidia_backup.demo.servers.together import start_servers
from kleidia_backup.pipeline.drills.directories import HeldDirectory
made = HeldDirectory("servers")
with start_servers(made.path, postgres=False, s3=False, temporary=True):
    print(made.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_directory_is_kept_while_it_is_held(temporary: Path) -> None:
    """One that nobody holds goes, whatever it holds; others, and what is no directory of ours, stay."""
    held, left = HeldDirectory("state"), HeldDirectory("state")
    (left.path / "below").mkdir()
    (left.path / "below" / "journal").write_text("clear text", encoding="utf-8")
    os.close(left._file)  # as the kernel does for a process that was killed
    others = temporary / "kleidia-drill-state-open", temporary / "another"
    for other in others:
        other.mkdir()
    others[0].chmod(0o777)
    with held_directory("state") as path:
        assert set(temporary.iterdir()) == {held.path, path, *others}
        assert path.stat().st_mode & 0o777 == 0o700
    held.remove()
    assert set(temporary.iterdir()) == set(others)


def test_what_runs_in_it_is_ended_first(temporary: Path) -> None:
    """For it may write there still."""
    left = HeldDirectory("servers")
    os.close(left._file)
    ended: list[bool] = []
    remove_left("servers", end=lambda path: ended.append(path.exists()))
    assert ended == [True]
    assert list(temporary.iterdir()) == []


def test_servers_of_a_killed_drill(temporary: Path) -> None:
    """They end, and their directory goes, without another drill."""
    with subprocess.Popen(
        [sys.executable, "-c", DRILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert directory.parent == temporary
        server = psutil.Process(json.loads((directory / "openbao.pid").read_text(encoding="utf-8"))["pid"])
        guardians = [each for each in psutil.Process(process.pid).children() if str(directory) in each.cmdline()]
        os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs([server, *guardians], timeout=60)
    assert not server.is_running()
    assert list(temporary.iterdir()) == []


@pytest.mark.anyio
async def test_a_mount_goes_when_no_drill_can_use_it(
    openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two days; before that it stays, and what only has such a name stays for ever."""
    settings = VaultSettings(openbao_server.address, TokenAuth(openbao_server.root_token), (Root("", "none"),))
    other = openbao_server.mount(f"{scratch.PREFIX}of-an-operator")
    odd = openbao_server.mount(f"{scratch.PREFIX}odd")
    openbao_server.request("POST", f"sys/mounts/{odd.path}/tune", {"description": f"{scratch._MADE}²"})
    now = time()

    def mounts() -> set[str]:
        found = openbao_server.request("GET", "sys/mounts")[1]["data"]
        return {name.rstrip("/") for name in found if name.startswith(scratch.PREFIX)}

    try:
        killed = (await scratch.enable(settings)).roots[0].mount
        monkeypatch.setattr(scratch, "time", lambda: now + scratch.LEFT - 60)
        young = await scratch.enable(settings)
        assert mounts() == {killed, other.path, odd.path, young.roots[0].mount}
        monkeypatch.setattr(scratch, "time", lambda: now + scratch.LEFT + 60)
        fresh = await scratch.enable(settings)
        assert mounts() == {other.path, odd.path, young.roots[0].mount, fresh.roots[0].mount}
        for each in (young, fresh):
            await scratch.disable(each)
    finally:
        other.remove()
        odd.remove()
