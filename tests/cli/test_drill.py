"""The command ``drill``, on servers that it starts and on configured ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import psycopg
import pytest

from kleidia_backup.demo.servers.together import PostgresServer

from ..archive_format import backup, v2_thorough
from ..pipelines.conftest import PASSWORD, System, system
from .conftest import Outcome

__all__ = ["system"]

Call = Callable[..., Outcome]


@pytest.fixture
def config(system: System, tmp_path: Path) -> Path:
    """A configuration of the system, with an archive of it."""

    async def make() -> None:
        await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)

    anyio.run(make)
    (tmp_path / "password").write_text(PASSWORD)
    file = tmp_path / "config.toml"
    roots = "".join(
        f'[[vault.roots]]\nprefix = "{root.prefix}"\nmount = "{root.mount}"\npath = "{root.path}"\n'
        for root in system.vault.roots
    )
    file.write_text(
        f'[database]\nconninfo = "{system.conninfo}"\n[vault]\naddress = "{system.vault.address}"\n{roots}'
        f'[vault.auth]\nmethod = "token"\ntoken = "{system.application.server.root_token}"\n'
        f'[store]\ntype = "directory"\npath = "{system.directory}"\nprefix = "backups/"\n'
        f'[backup]\nstate_dir = "{tmp_path / "state"}"\n[password]\nfile = "{tmp_path / "password"}"\n'
        "[drill]\n"
        '[[drill.checks]]\nname = "users"\nsql = "SELECT count(*) FROM users"\nexpect = 50\n'
    )
    file.chmod(0o600)
    return file


@v2_thorough
def test_with_servers_that_it_starts(config: Path, call: Call, tmp_path: Path) -> None:
    """The default. Its report can be checked; nothing but it is left."""
    done = call("--config", config, "--json", "--quiet", "drill")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert (said["verdict"], said["environment"]["isolated"], said["archive"]["newest"]) == ("proven", True, True)
    assert said["checks"] == [{"name": "users", "expected": "50", "found": "50", "passed": True}]
    assert Path(said["file"]).parent == tmp_path / "state" / "drills"
    (listed,) = json.loads(call("--config", config, "--json", "list").out)["archives"]
    assert listed["known"]["proven"] == said["ended"]
    checked = call("--config", config, "drill", "--check-reports")
    assert (checked.status, "proven, as it was written" in checked.out) == (0, True)


def test_with_configured_servers(config: Path, call: Call, system: System, postgres_server: PostgresServer) -> None:
    """A database and a mount with names of their own, which are gone afterwards."""
    rows, secrets = system.rows(), system.secrets()
    done = call("--config", config, "--quiet", "drill", "latest", "--target", "configured")
    assert done.status == 0, done.err
    assert "Proven: everything came back" in done.out
    with psycopg.connect(postgres_server.conninfo()) as connection:
        question = "SELECT datname FROM pg_database WHERE datname LIKE 'kleidia_scratch_%'"
        assert connection.execute(question).fetchall() == []
    mounts = system.application.server.request("GET", "sys/mounts")[1]["data"]
    assert not [name for name in mounts if name.startswith("kleidia-drill-")]
    assert (system.rows(), system.secrets()) == (rows, secrets)


def test_a_drill_that_fails(config: Path, call: Call) -> None:
    """The exit status says so; a wrong password is no fault of the archive."""
    text = config.read_text()
    config.write_text(text.replace("expect = 50", "expect = 51"))
    done = call("--config", config, "--quiet", "drill", "--target", "configured")
    assert done.status == 3
    assert "check: users" in done.out
    (config.parent / "other").write_text("another password")
    done = call("--config", config, "--quiet", "drill", "--password-file", config.parent / "other")
    assert done.status == 8
    assert "Inconclusive" in done.out


def test_no_room(config: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before any server is started."""

    class Full:
        free = 1 << 20

    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    monkeypatch.setattr("kleidia_backup.demo.scratch.start_servers", None)
    done = call("--config", config, "--quiet", "drill", "--target", "embedded")
    assert done.status == 8
    assert "There is no room for a drill" in done.out
