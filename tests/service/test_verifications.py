"""Verifications and drills as jobs: what they say of an archive, where that is seen, and whose turn it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

from kleidia_backup import ArchiveInfo, DirectorySettings, Scratch
from kleidia_backup.config.drills.settings import DrillSettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.formats.facts import Facts
from kleidia_backup.pipeline.drills.asked import DrillCheck
from kleidia_backup.pipeline.drills.configured import on_servers
from kleidia_backup.service.control.jobs import Job, Kind
from kleidia_backup.service.control.proofs.records import Recorded, look_up_proven
from kleidia_backup.service.service import Service
from kleidia_backup.service.work.proofs.verifying import chosen

from .asking import admin_of, ended
from .conftest import PASSWORD, new_backup
from .conftest import ended as job_ended
from .test_metrics import scrape

pytestmark = pytest.mark.anyio

CHECKS = (DrillCheck(name="users", sql="SELECT count(*) FROM users", expect="20"),)
#: As the command says what is configured.
_LIST = (sys.executable, "-m", "kleidia_backup.cli", "--json", "list")


@pytest.fixture
async def service(service_settings: ServiceSettings) -> AsyncIterator[Service]:
    """A running service whose drills restore into a database and a mount of their own, on the tests' servers."""
    drill = DrillSettings(target="configured", checks=CHECKS)
    async with Service(replace(service_settings, drill=drill)) as running:
        yield running


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_of(service) as client:
        yield client


async def run(api: httpx.AsyncClient, kind: str, **body: Any) -> dict[str, Any]:
    """A job of a kind, when it has ended."""
    answer = await api.post(f"/api/backup/{kind}", json=body or None)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/backup/jobs/{answer.json()['id']}"
    return await ended(api, answer.json()["id"])


async def listed(api: httpx.AsyncClient) -> dict[str, Any]:
    """The only archive that there is."""
    (found,) = (await api.get("/api/backup/list")).json()["backups"]
    return dict(found)


async def audited(api: httpx.AsyncClient) -> list[str]:
    """What was logged of verifications and drills, oldest first."""
    entries = (await api.get("/api/backup/audit")).json()["entries"]
    return [each["action"] for each in reversed(entries) if each["action"].split(".")[0] in {"verify", "drill"}]


@pytest.mark.parametrize("archive_format", ["v1", pytest.param("v2", marks=pytest.mark.thorough)])
async def test_what_they_say_is_seen_and_holds_for_that_archive_alone(
    api: httpx.AsyncClient,
    service_settings: ServiceSettings,
    configuration: Path,
    store_directory: Path,
    archive_format: str,
) -> None:
    """Verified, proven; then a byte is changed: neither counts any more, and both jobs find it."""
    backup = await run(api, "trigger", format=archive_format)
    archive = await listed(api)
    assert (archive["job"], archive["duration"]) == (backup["id"], pytest.approx(backup["duration"]))
    assert archive["created"] is not None
    assert [archive[name] for name in ("verified", "proven", "verdict")] == [None, None, None]

    verified = await run(api, "verify")
    assert (verified["status"], verified["kind"], verified["archive"]) == ("completed", "verify", backup["archive"])
    assert (verified["report"]["verdict"], verified["report"]["rows"], verified["size"]) == (
        "verified",
        25,
        backup["size"],
    )
    assert verified["progress"]["archive_bytes"] == verified["progress"]["archive_total"] == backup["size"]
    archive = await listed(api)
    assert (archive["verdict"], archive["proven"], archive["verified"] is None) == ("verified", None, False)

    drilled = await run(api, "drill", key=backup["archive"])
    assert (drilled["status"], drilled["kind"], drilled["type"]) == ("completed", "drill", "full"), drilled
    report = drilled["report"]
    assert (report["verdict"], report["trigger"], report["requested_by"]) == ("proven", "manual", "ada")
    assert report["checks"] == [{"name": "users", "expected": "20", "found": "20", "passed": True}]
    written = json.loads(await anyio.Path(report["file"]).read_text(encoding="utf-8"))
    assert (written["id"], written["verdict"]) == (report["id"], "proven")
    (shown,) = (await api.get("/api/backup/drills")).json()["drills"]
    assert (shown["job"], shown["verdict"], shown["evidence"]) == (drilled["id"], "proven", True)
    where = f"/api/backup/drills/{drilled['id']}"
    assert (await api.get(where)).json()["report"]["checks"] == report["checks"]
    evidence = await api.get(f"{where}/evidence")
    assert evidence.content == await anyio.Path(report["file"]).read_bytes()
    assert (await api.get(f"{where}/evidence", params={"format": "html"})).text.startswith("<!")
    assert (await api.get(f"/api/backup/drills/{verified['id']}/evidence")).status_code == 404
    archive = await listed(api)
    assert archive["verdict"] == "proven"
    assert archive["verified"] == archive["proven"] > verified["finished_at"]
    found = await scrape(api)
    at = found["kleidia_backup_last_proven_timestamp_seconds", "full"]
    assert at == found["kleidia_backup_last_verified_timestamp_seconds", "full"] > 0
    assert found["kleidia_backup_runs_total", "drill", "completed", "full"] == 1
    known = await _listed_by_the_command(configuration)
    assert (known["proven"], known["verified"]) == (archive["proven"], archive["verified"])
    assert known["duration"] > 0
    asked = (service_settings.control, "app", [backup["archive"], "backups/no-such.enc"])
    assert await look_up_proven(*asked) == {backup["archive"]}

    unknown = await run(api, "verify", password="canary-wrong-password")
    assert (unknown["status"], unknown["report"]["verdict"]) == ("failed", "inconclusive")
    assert unknown["error"].startswith("Inconclusive: ")
    assert await listed(api) == archive

    path = store_directory / backup["archive"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    archive = await listed(api)
    assert [archive[name] for name in ("verified", "proven", "verdict")] == [None, None, None]
    assert (await _listed_by_the_command(configuration))["proven"] is None
    failed = await run(api, "verify")
    assert (failed["status"], failed["report"]["verdict"], failed["report"]["cause"]) == ("failed", "failed", "archive")
    assert failed["error"].startswith("Failed: ")
    assert failed["next_step"].endswith("find out what happened.")
    failed = await run(api, "drill")
    assert (failed["status"], failed["report"]["verdict"]) == ("failed", "failed")
    archive = await listed(api)
    assert [archive[name] for name in ("verified", "proven", "verdict")] == [None, None, "failed"]
    assert await look_up_proven(*asked) == frozenset()
    assert await audited(api) == [
        "verify.completed",
        "drill.completed",
        "verify.inconclusive",
        "verify.failed",
        "drill.failed",
    ]
    assert (await scrape(api))["kleidia_backup_last_proven_timestamp_seconds", "full"] == at
    jobs = (await api.get("/api/backup/jobs", params={"kind": "drill", "status": "failed"})).json()["jobs"]
    assert [each["id"] for each in jobs] == [failed["id"]]


async def _listed_by_the_command(configuration: Path) -> dict[str, Any]:
    """What ``kleidia-backup list`` knows of the archive, with the target of the service."""
    environment = os.environ | {"KLEIDIA_SERVICE_TARGET": "app", "SERVICE_PASSWORD": PASSWORD}
    done = await anyio.run_process([*_LIST, "--config", str(configuration)], env=environment)
    (archive,) = json.loads(done.stdout)["archives"]
    return dict(archive["known"])


async def test_a_drill_that_is_cancelled_and_one_that_fails(service_settings: ServiceSettings) -> None:
    """It ends while it waits for its servers, which are removed; it has said nothing of the archive.

    The next one fails by a check of the configuration: that is no fault of the archive, which stays verified.
    """
    checks = (DrillCheck(name="the other key", secret="other-key"),)
    settings = replace(service_settings, drill=DrillSettings(checks=checks))
    asked, left = anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def scratch(facts: Facts, needed: int) -> AsyncIterator[Scratch]:
        if asked.is_set():
            async with on_servers(None, settings.vault)(facts, needed) as made:
                yield made
            return
        asked.set()
        try:
            await anyio.sleep_forever()
            yield Scratch(where="nowhere", own=True)
        finally:
            left.set()

    async with Service(settings, scratch=scratch) as service, admin_of(service) as api:
        await run(api, "trigger", type="vault")
        verified = await run(api, "verify")
        job = (await api.post("/api/backup/drill")).json()
        with anyio.fail_after(30):
            await asked.wait()
        assert (await api.post(f"/api/backup/jobs/{job['id']}/cancel")).status_code == 202
        cancelled = await ended(api, job["id"])
        assert left.is_set()
        assert (cancelled["status"], cancelled["type"]) == ("failed", "vault")
        assert cancelled["error"].startswith("Cancelled by ada. What it restored to was removed")
        assert (await listed(api))["verdict"] == "verified"
        failed = await run(api, "drill")
        assert failed["error"] == "Failed: A check of the configuration did not pass. the other key"
        archive = await listed(api)
        assert (archive["verdict"], archive["proven"]) == ("failed", None)
        assert archive["verified"] == verified["finished_at"]
        assert await audited(api) == ["verify.completed", "drill.inconclusive", "drill.failed"]
    assert settings.state is not None
    files = sorted((settings.state / "drills").glob("*.json"))
    assert [json.loads(file.read_text(encoding="utf-8"))["cause"] for file in files] == ["cancelled", "check"]


async def test_the_schedule_verifies_each_archive_in_turn(
    service_settings: ServiceSettings, store_directory: Path
) -> None:
    """The newest that was never verified, then the older one, then again the one whose turn is longest ago.

    Without servers for drills a scheduled one fails and says so, and nobody can ask for one.
    """
    async with Service(service_settings) as service, admin_of(service) as api:
        newer = (await run(api, "trigger", type="vault"))["archive"]
        older = "backups/backup-vault-20200101-000000.enc"
        shutil.copy(store_directory / newer, store_directory / older)
        for archive in (newer, older, newer):
            job = await _scheduled(service, "verify")
            assert (job.status, job.archive, job.backup_type) == ("completed", archive, "vault"), job.error
        (entry, *_) = await service.audit.page()
        assert (entry.action, entry.archive, entry.details) == ("verify.completed", newer, "[Scheduled]")
        killed = await service.jobs.create(new_backup(kind="verify", archive=older))  # one that kills its replica
        assert await service.jobs.start(killed.id, "gone") is not None
        assert await service.jobs.fail(killed.id, "It died.", "") is not None
        assert (await _scheduled(service, "verify")).archive == newer  # and is not next for ever
        answer = await api.post("/api/backup/drill")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:kleidia-backup:problem:not-configured")
        assert "demo" in answer.json()["next_step"]
        job = await _scheduled(service, "drill")
        assert (job.status, job.archive, job.error) == ("failed", newer, "There are no servers for drills here.")


async def _scheduled(service: Service, kind: Kind) -> Job:
    """A job as the schedule makes it, when it has ended."""
    at = datetime.now(UTC)
    job = await service.jobs.create(new_backup(kind=kind, requested_by=None, scheduled_for=at))
    await service.queue.defer(job.id)
    return await job_ended(service, job.id)


async def test_turns_are_taken_among_all_archives(tmp_path: Path) -> None:
    """Not among those of a page of the list: the oldest of 1,050 has its turn when all others had theirs."""
    vector = next(Path(__file__).parent.parent.joinpath("formats/vectors").rglob("*.enc"))
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    names = [f"backup-full-{begin + timedelta(hours=n):%Y%m%d-%H%M%S}.enc" for n in range(1050)]
    shutil.copy(vector, tmp_path / names[0])
    for name in names[1:]:
        (tmp_path / name).hardlink_to(tmp_path / names[0])

    class AllButOne:
        async def recorded(self, archives: Sequence[ArchiveInfo]) -> dict[str, Recorded]:
            tried = datetime.now(UTC)
            return {each.name: Recorded(tried=None if each.name == names[0] else tried) for each in archives}

    job: Any = SimpleNamespace(archive=None, kind="verify")
    stand_in: Any = AllButOne()
    assert (await chosen(job, DirectorySettings(tmp_path), stand_in)).name == names[0]
