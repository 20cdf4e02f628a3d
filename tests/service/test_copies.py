"""Second copies in the background: by one replica, whatever becomes of it; told when they are behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import psycopg
import pytest

from kleidia_backup import DirectorySettings
from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.pipeline.archives.copied import CopyState
from kleidia_backup.pipeline.copies.one import OneCopy
from kleidia_backup.pipeline.copies.settings import Copy
from kleidia_backup.service.service import Service

from ..receiving import Receiver, receiving
from .asking import admin_of
from .asking import ended as job_ended
from .conftest import ended, new_backup

pytestmark = pytest.mark.anyio

#: As a replica that died while it filled both copies; not while one really does.
_DIES = """
    UPDATE kleidia_backup.copy_runs SET replica = 'dead', beat_at = now() - interval '1 hour', due_at = 'infinity'
    WHERE NOT EXISTS (SELECT FROM kleidia_backup.copy_runs WHERE replica IS NOT NULL)
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def settings(service_settings: ServiceSettings, receiver: Receiver, tmp_path: Path) -> ServiceSettings:
    """A copy on a disk, and one whose disk is not mounted, which may lag for a tenth of a second."""
    (tmp_path / "disk").mkdir()
    copies = (
        Copy(number=1, name="disk", store=DirectorySettings(tmp_path / "disk", "offsite/")),
        Copy(number=2, name="away", store=DirectorySettings(tmp_path / "away"), lag=0.1),
    )
    return replace(
        service_settings,
        copies=copies,
        notify=NotifySettings(webhook_url=f"{receiver.url}/hook", webhook_secret="s" * 16),
    )


async def state(service: Service, archive: str, copy: str, wanted: str) -> CopyState:
    """The state of an archive in a copy, once it is that."""
    with anyio.fail_after(30):
        while True:
            for each in (await service.copy_states.of([archive])).get(archive, ()):
                if (each.copy, each.state) == (copy, wanted):
                    return each
            await anyio.sleep(0.05)


async def told(receiver: Receiver, event: str) -> None:
    """A message of that kind came."""
    with anyio.fail_after(30):
        while not any(each.json["event"] == event for each in receiver.requests):  # noqa: ASYNC110 - in a thread
            await anyio.sleep(0.05)


async def _by_the_api(service: Service, key: str, tmp_path: Path) -> None:
    """What is shown; a verification and a restore of a copy whose archive is gone; a deletion."""
    async with admin_of(service) as client:
        listed = {each["key"]: each for each in (await client.get("/api/backup/list")).json()["backups"]}
        assert [(each["name"], each["state"]) for each in listed[key]["copies"]] == [("away", "ok"), ("disk", "ok")]
        shown = (await client.get("/api/backup/copies")).json()["copies"]
        assert [(each["name"], each["number"], each["states"]) for each in shown] == [
            ("disk", 1, {"ok": 2}),
            ("away", 2, {"ok": 2}),
        ]
        page = (await client.get("/restore")).text
        assert "<dd>3/3 <small>stores with everything" in page
        assert page.count("away: ok") == 2
        metrics = (await client.get("/metrics")).text
        assert 'kleidia_backup_copies_lag_seconds{copy="disk",target="app"} 0.0' in metrics
        (other,) = listed.keys() - {key}
        (tmp_path / "store" / other).unlink()
        for path, body in (
            ("verify", {"key": other, "from_copy": "1"}),
            ("restore", {"key": other, "from_copy": "away"}),
        ):
            answer = await client.post(f"/api/backup/{path}", json=body)
            assert answer.status_code == 202, answer.text
            assert (await job_ended(client, answer.json()["id"]))["status"] == "completed"
        audited = {
            each["action"]: each["details"] for each in (await client.get("/api/backup/audit")).json()["entries"]
        }
        assert audited["restore.completed"].count("From the copy away.") == 1
        unknown = await client.post("/api/backup/verify", json={"key": other, "from_copy": "moon"})
        assert unknown.status_code == 404
        assert (await client.delete(f"/api/backup/{key}", params={"copies": True})).status_code == 204
        assert not [*tmp_path.rglob(key.removeprefix("backups/"))]  # noqa: ASYNC240 - at once
        assert (await client.post("/api/backup/copies/sync")).status_code == 202


async def test_copies_are_filled_once_and_told_of_when_behind(
    settings: ServiceSettings, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas; a disk that comes back; a replica that died while it copied."""
    made: Counter[str] = Counter()
    run = OneCopy.run

    async def counted(self: OneCopy) -> CopyState:
        made[f"{self._copy.name}: {self._base}"] += 1
        return await run(self)

    monkeypatch.setattr(OneCopy, "run", counted)
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(Service(settings)) for _ in range(2)]
        job = await ended(first, (await first.submit(new_backup())).id)
        assert (job.status, job.archive is not None) == ("completed", True)
        archive = str(job.archive).removeprefix("backups/")
        found = await state(first, archive, "disk", "ok")
        assert found.size == job.size == (tmp_path / "disk/offsite" / archive).stat().st_size
        await state(second, archive, "away", "missing")
        await anyio.sleep(0.2)  # longer than it may lag: the first try may have been before that, and the next is far
        await first.copy_runs.wake(retry=True)
        await told(receiver, "copies.lagging")
        runs = {each.copy: each for each in await first.copy_runs.all()}
        assert (runs["disk"].lag, runs["disk"].error, runs["disk"].states) == (0, "", {"ok": 1})
        assert (runs["away"].lag > 0.1, bool(runs["away"].error), runs["away"].states) == (True, True, {"missing": 1})

        again = await ended(first, (await first.submit(new_backup(backup_type="vault"))).id)
        assert (again.status, ["away" in each for each in again.warnings]) == ("completed", [True])
        await state(first, str(again.archive).removeprefix("backups/"), "disk", "ok")
        (tmp_path / "away").mkdir()
        with psycopg.connect(settings.control.full_conninfo(), autocommit=True) as connection:
            while connection.execute(_DIES).rowcount != 2:  # noqa: ASYNC110 - a run may go on
                await anyio.sleep(0.05)
        for name in (archive, str(again.archive).removeprefix("backups/")):
            for copy in ("disk", "away"):
                await state(first, name, copy, "ok")
        await told(receiver, "copies.recovered")
        assert set(made.values()) == {1}
        assert len(made) == 4
        events = [each.json["event"] for each in receiver.requests]
        assert [each for each in events if each.startswith("copies.")] == ["copies.lagging", "copies.recovered"]
        await _by_the_api(second, f"backups/{archive}", tmp_path)
