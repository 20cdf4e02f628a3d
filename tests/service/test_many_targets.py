"""Several systems in one service, on real servers: paths, what is broken, and reading the configuration again."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest

from kleidia_backup.config.reader import load
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.targets.services import TargetServices, target_services
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.targets.several import COPIERS, SeveralTargets
from kleidia_backup.service.work.queue import OneTarget, Queue
from kleidia_backup.stages.vault.kv.settings import TokenAuth

from .asking import asking, token
from .conftest import APPLICATION, INTERVALS, PASSWORD, new_backup
from .serving import serving

pytestmark = pytest.mark.anyio


class Files:
    """The configuration of the test: a file with the target ``app``, and a directory for others."""

    def __init__(self, settings: ServiceSettings, folder: Path, other: str) -> None:
        self.file, self.directory = folder / "many.toml", folder / "targets.d"
        self.directory.mkdir()
        assert settings.database is not None
        assert isinstance(settings.vault.auth, TokenAuth)
        assert settings.store is not None
        self._values = {
            "control": settings.control.full_conninfo(),
            "database": settings.database.full_conninfo(),
            "pg_dump": settings.database.pg_dump,
            "address": settings.vault.address,
            "mount": settings.secrets_mount,
            "token": settings.vault.auth.token,
            "store": str(settings.store.where),
            "targets": str(self.directory),
            "state": str(folder / "state"),
        }
        self.other, self.of_other = other, ""
        self.write()

    def write(self, more: str = "") -> None:
        """The file, with ``more`` behind it."""
        said = {name: json.dumps(value) for name, value in self._values.items()}
        self._replace(
            self.file,
            f"""
            [database]
            pg_dump = {said["pg_dump"]}
            [vault]
            address = {said["address"]}
            roots = [{{ mount = {said["mount"]}, path = "app" }}]
            [vault.auth]
            token = {said["token"]}
            [store]
            type = "directory"
            path = {said["store"]}
            [backup]
            state_dir = {said["state"]}
            [password]
            env = "SERVICE_PASSWORD"
            [service]
            control_conninfo = {said["control"]}
            targets_dir = {said["targets"]}
            labels = ["vienna", "second"]
            [targets.app.database]
            conninfo = {said["database"]}
            {more}
            """,
        )

    def target(self, name: str, text: str) -> None:
        """A file of the directory."""
        self._replace(self.directory / f"{name}.toml", text)

    def _replace(self, path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.chmod(0o600)
        new.replace(path)

    def read(self) -> TargetServices:
        """What is configured, with the intervals of a test."""
        found = target_services(load(self.file, {}))
        quick = {name: replace(each, intervals=INTERVALS, grace=5) for name, each in found.settings.items()}
        return replace(found, settings=quick)


@pytest.fixture
def configured(
    service_settings: ServiceSettings,
    kv: KvMount,
    tmp_path: Path,
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Files:
    """The targets ``app``, ``other`` with a database and secrets of its own, and ``torn``, which is no TOML."""
    monkeypatch.setenv("SERVICE_PASSWORD", PASSWORD)
    other = new_database()
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute(APPLICATION)
    kv.put("other/one", {"value": "of the other"})
    for moved in ("third", "moved"):
        kv.put(f"{moved}/one", {"value": moved})
    kv.put("app/jwt-secret", {"secret": "canary-jwt-secret-of-at-least-32-bytes"})
    files = Files(service_settings, tmp_path, other)
    files.of_other = (
        f'labels = ["vienna"]\n[database]\nconninfo = {json.dumps(other)}\n[vault]\n'
        f'roots = [{{ mount = "{kv.path}", path = "other" }}]\n'
        '[service]\nsecrets_path = "of-other"\n'
    )
    files.target("other", files.of_other)
    files.target("torn", "[database\n")
    return files


async def _begun(client: httpx.AsyncClient, base: str) -> str:
    answer = await client.post(f"{base}/trigger")
    assert answer.status_code == 202, answer.text
    where = answer.headers["Location"]
    assert where == f"{base}/jobs/{answer.json()['id']}"
    return where


async def _ended(client: httpx.AsyncClient, where: str) -> str:
    with anyio.fail_after(60):
        while True:
            job = (await client.get(where)).json()
            if job["status"] in {"completed", "failed"}:
                assert job["status"] == "completed", job
                return str(job["archive"])
            await anyio.sleep(0.05)


async def _of_a_service_alone(targets: SeveralTargets) -> int:
    """A job that waits in the queue which ``app`` had when it had a service alone."""
    service = targets.find("app")
    async with Control(service.config.control) as control:
        alone = Queue(control, OneTarget("app"), run=_never, stop=lambda _: None, intervals=INTERVALS, grace=1)
        async with alone._app.open_async():
            job = await Jobs(control, "app").create(new_backup())
            await alone.defer(job.id)
    return job.id


async def _never(_: int) -> None:
    raise AssertionError


async def test_each_by_its_path(configured: Files) -> None:
    """The specification's paths are the first target's; each has its own by its name; a broken one stops none.

    The configuration is read again while a job runs, which ends as it began; what cannot be read changes nothing.
    """
    targets = SeveralTargets(configured.read)
    waiting = await _of_a_service_alone(targets)
    async with targets, asking(create_app(targets)) as client:
        loops = [task.get_name() for task in asyncio.all_tasks()]
        assert len([name for name in loops if name.startswith("copies")]) == COPIERS  # each takes an upload's memory
        await _ended(client, f"/api/backup/jobs/{waiting}")
        first = await _ended(client, await _begun(client, "/api/backup"))
        assert first.startswith("backups/app/")
        listed = (await client.get("/api/targets/app/backup/list")).json()["backups"]
        assert listed[0]["key"] == first
        assert (await client.get("/api/targets/other/backup/list")).json()["backups"] == []
        shown = (await client.get("/api/targets")).json()
        states = [(each["name"], each["default"], each["state"]) for each in shown["targets"]]
        assert states == [("app", True, "ok"), ("other", False, "new"), ("torn", False, "broken")]
        assert shown["targets"][0]["last_success"] is not None
        assert shown["targets"][0]["next_run"] is not None
        assert "torn.toml is not TOML" in shown["targets"][2]["error"]
        assert (await client.get("/api/targets/torn/backup/jobs")).status_code == 409
        missing = await client.get("/api/targets/none/backup/jobs")
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:kleidia-backup:problem:target-missing")
        assert (await client.get("/api/targets/other/backup/jobs/1")).status_code == 404

        async with await psycopg.AsyncConnection.connect(configured.other) as holder:
            await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            where = await _begun(client, "/api/targets/other/backup")
            await _until(client, where, lambda job: job["phase"] == "backup")
            before = targets.find("other")
            configured.target("other", configured.of_other.replace('"other" }', '"moved" }'))
            configured.target("third", configured.of_other.replace("other", "third").replace("/third", "/other"))
            configured.target("torn", configured.of_other.replace("[database]", "[databse]"))
            away = '[vault]\naddress = "http://127.0.0.1:1"\nauth = { token = "none" }\n'
            configured.target("vaultless", away)
            await _until(client, "/api/targets", lambda page: page["total"] == 5)
            assert targets.find("other") is not before
            running = (await client.get("/api/targets")).json()["targets"][1]["job"]
            assert (running["kind"], running["status"]) == ("backup", "running")
        assert (await _ended(client, where)).startswith("backups/other/")
        assert (await _ended(client, await _begun(client, "/api/targets/third/backup"))).startswith("backups/third/")

        configured.write("[targets.more")
        await _until(client, "/api/targets", lambda page: "is not TOML" in page["problem"])
        assert targets.find(None).target == "app"
        configured.target("other", "[databse]")
        configured.write()
        await _until(client, "/api/targets", lambda page: not page["problem"])
        shown = (await client.get("/api/targets")).json()["targets"]
        assert [each["state"] for each in shown[:4]] == ["ok", "broken", "ok", "broken"]
        await _until(client, "/api/targets", lambda page: page["targets"][4]["state"] == "broken")
        vaultless = (await client.get("/api/targets")).json()["targets"][4]
        assert "127.0.0.1:1" in vaultless["error"]
        assert 'kleidia_backup_target_broken{target="vaultless"} 1.0' in (await client.get("/metrics")).text
        goes_on = targets.find("other")
        assert goes_on.config.vault.roots[0].path == "moved"
        assert (await _ended(client, await _begun(client, "/api/targets/other/backup"))).startswith("backups/other/")


async def _until(client: httpx.AsyncClient, path: str, holds: Callable[[Any], bool]) -> None:
    with anyio.fail_after(60):
        while not holds((await client.get(path)).json()):  # noqa: ASYNC110 - it is asked over HTTP
            await anyio.sleep(0.05)


def test_sighup_and_sigterm(configured: Files, tmp_path: Path) -> None:
    """What only a secret's file says is read by SIGHUP; the process lives on, and ends by SIGTERM."""
    password = tmp_path / "password"
    configured.target("late", f'[password]\nfile = "{password}"\n')
    with serving("--config", str(configured.file), "--port", "0") as (process, said):
        assert said["targets"].endswith("/api/targets")
        url = f"{said['url']}/api/targets/late/backup/jobs"
        assert _status(url) == 409
        password.write_text("a password that nobody guesses", encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while _status(url) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _status(url: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token()}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code


@pytest.mark.thorough
async def test_twenty_real_ones(configured: Files, kv: KvMount, new_database: Callable[[], str]) -> None:
    """Twenty databases and folders of the vault, backed up by two replicas at once, and one verified and restored."""
    databases = {f"s{number:02}": new_database() for number in range(20)}
    for name, conninfo in databases.items():
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(APPLICATION)
            connection.execute("INSERT INTO users (name) VALUES (%s)", (f"of {name}",))
        kv.put(f"{name}/one", {"value": name})
        roots = f'roots = [{{ mount = "{kv.path}", path = "{name}" }}]'
        configured.target(name, f"[database]\nconninfo = {json.dumps(conninfo)}\n[vault]\n{roots}\n")
    replicas = SeveralTargets(configured.read), SeveralTargets(configured.read)
    async with replicas[0], replicas[1], asking(create_app(replicas[0])) as client:
        begun = {name: await _begun(client, f"/api/targets/{name}/backup") for name in databases}
        archives = {name: await _ended(client, where) for name, where in begun.items()}
        assert len(set(archives.values())) == 20
        for name, archive in archives.items():
            listed = (await client.get(f"/api/targets/{name}/backup/list")).json()["backups"]
            assert [each["key"] for each in listed] == [archive]
        with psycopg.connect(databases["s07"], autocommit=True) as connection:
            connection.execute("DELETE FROM users")
        kv.put("s07/one", {"value": "gone"})
        for path, body in (("verify", {}), ("restore", {"key": "latest", "backup_first": False})):
            answer = await client.post(f"/api/targets/s07/backup/{path}", json=body)
            assert answer.status_code == 202, answer.text
            await _ended(client, answer.headers["Location"])
        with psycopg.connect(databases["s07"]) as connection:
            assert connection.execute("SELECT count(*), max(name) FROM users").fetchone() == (21, "user 9")
            assert connection.execute("SELECT FROM users WHERE name = 'of s07'").fetchone() is not None
        assert kv.get("s07/one") == {"value": "s07"}
        assert kv.get("s08/one") == {"value": "s08"}
        shown = (await client.get("/api/targets", params={"limit": 50})).json()["targets"]
        assert [each["name"] for each in shown if each["state"] == "ok"] == sorted(databases)
