"""A restore that ended in the middle is told of by every replica, and ended by the one that has its journal."""

from __future__ import annotations

import html
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Job, Jobs
from kleidia_backup.service.service import Service

from ..faults.proxy import Strike, http_proxy, stall, vault_operation
from .asking import admin_of
from .asking import ended as job_told
from .conftest import ended, new_backup
from .test_replicas import Replicas

pytestmark = pytest.mark.anyio


async def _killed(settings: ServiceSettings, kv: KvMount) -> Job:
    """A restore whose replica, a process with its own state directory, is killed after its first secret."""
    async with Service(settings) as service:
        backup = await ended(service, (await service.submit(new_backup())).id)
    for number in range(3):
        kv.put(f"app/secret-{number}", {"value": "newer"})
    async with http_proxy(settings.vault.address, vault_operation) as vault:
        second = Strike({1}, ever=True, only="POST data")
        vault.plan = second, stall
        replicas = Replicas(replace(settings, vault=replace(settings.vault, address=vault.endpoint, workers=1)))
        await anyio.to_thread.run_sync(replicas.start, 1)
        try:
            async with Control(settings.control) as control:
                jobs = Jobs(control, settings.target)
                job = await jobs.create(new_backup(kind="restore", archive=backup.archive))
                with anyio.fail_after(30):
                    await second.struck.wait()
                running = await jobs.get(job.id)
                assert running is not None
                assert replicas.kill(running) == -signal.SIGKILL
        finally:
            replicas.stop()
    return running


async def _page(api: httpx.AsyncClient) -> str:
    return html.unescape((await api.get("/history")).text)


async def _later(service: Service) -> None:
    """Nobody has seen any journal for an hour."""
    async with service.control.connection() as connection:
        await connection.execute("UPDATE kleidia_backup.unfinished_restores SET seen_at = now() - interval '1 hour'")


async def _press(api: httpx.AsyncClient, how: str) -> dict[str, Any]:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    answer = await api.post(f"/restore/{how}", content="", headers=headers)
    assert answer.status_code == 303, answer.text
    return await job_told(api, int(answer.headers["Location"].rpartition("/")[2]))


async def test_every_replica_tells_of_it_and_the_right_one_undoes_it(
    service_settings: ServiceSettings, kv: KvMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica was killed: another one says where its journal is; pressed there, Undo runs where the journal is."""
    # Soon dead, for whoever waits for a job waits half a minute.
    service_settings = replace(service_settings, intervals=replace(service_settings.intervals, dead=5))
    killed = await _killed(service_settings, kv)
    monkeypatch.setattr("kleidia_backup.stages.vault.undo.undo.LATE_ARRIVAL", 0.2)
    async with Service(replace(service_settings, state=tmp_path / "another")) as other, admin_of(other) as api:
        await ended(other, killed.id)
        journal = service_settings.state / "restore.journal"  # type: ignore[operator]  # it has one
        await _later(other)
        page = await _page(api)
        assert f"The restore of {killed.archive} (job {killed.id}) ended with the replica that ran it." in page
        assert f"Its journal is {journal}, where the replica {killed.replica} ran" in page
        assert ("/restore/undo" in page, "/restore/dismiss" in page) == (False, True)
        (told,) = (await api.get("/api/backup/restore/status")).json()["unfinished"]
        assert (told["job"], told["journal"], told["reachable"]) == (killed.id, str(journal), False)

        async with Service(service_settings) as again, admin_of(again) as there:
            page = await _page(api)
            assert "is unfinished: up to" in page
            assert f"{journal}, which the replica {again.replica} has" in page
            assert 'action="/restore/undo"' in page
            for client in (api, there):
                assert (await _page(client)).count("is unfinished: up to") == 1
                assert 'class="state bad"' in await _page(client)
            undone = await _press(api, "undo")
            assert (undone["status"], undone["error"]) == ("completed", None)
            row = await again.jobs.get(undone["id"])
            assert row is not None
            assert row.replica == again.replica
            assert [kv.get(f"app/secret-{number}")["value"] for number in range(3)] == ["newer"] * 3
            for client in (api, there):
                assert 'id="unfinished"' not in await _page(client)
        assert (await api.get("/api/backup/restore/status")).json()["unfinished"] == []


async def test_one_whose_machine_is_gone_is_dismissed_anywhere(service: Service) -> None:
    """As long as its replica was seen lately, that one is waited for; what it wrote stays."""
    job = await service.jobs.create(new_backup(kind="restore", archive="backups/a.enc"))
    await service.unfinished.begin("app", "elsewhere", "gone:1:ab", "/gone/restore.journal", "backups/a.enc", job.id)
    async with admin_of(service) as api:
        assert 'id="unfinished"' not in await _page(api)  # it may still run
        await service.jobs.fail(job.id, "The replica died.", "")
        assert 'action="/restore/undo"' in await _page(api)
        await _later(service)
        failed = await _press(api, "undo")
        assert failed["status"] == "failed"
        assert "One is in /gone/restore.journal where the replica gone:1:ab ran." in failed["error"]
        dismissed = await _press(api, "dismiss")
        assert (dismissed["status"], dismissed["archive"]) == ("completed", "backups/a.enc")
        assert "was not removed" in dismissed["warnings"][0]
        assert 'id="unfinished"' not in await _page(api)


async def test_a_restore_that_ends_by_itself_leaves_no_row(service: Service) -> None:
    """Whether it succeeds or fails."""
    backup = await ended(service, (await service.submit(new_backup())).id)
    for archive, status in ((backup.archive, "completed"), ("backups/none.enc", "failed")):
        job = await ended(service, (await service.submit(new_backup(kind="restore", archive=archive))).id)
        assert job.status == status
        async with service.control.connection() as connection:
            left = await (await connection.execute("SELECT * FROM kleidia_backup.unfinished_restores")).fetchall()
        assert left == []
