"""Two services with different targets on one control database: neither sees or touches what is the other's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control.audit import Actor
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.service import Service

from .asking import asking
from .conftest import ended, new_backup

pytestmark = pytest.mark.anyio

ADA = Actor("u-1", "ada", "192.0.2.7")


@pytest.fixture
async def other(service_settings: ServiceSettings) -> AsyncIterator[Service]:
    """A service for another target on the same control database."""
    async with Service(replace(service_settings, target="other", secrets_path="service-of-other")) as running:
        yield running


async def test_jobs_and_the_audit_log(service: Service, other: Service) -> None:
    """Neither lists, names, cancels, counts or restores the other's; metrics and status say nothing of them."""
    mine = await ended(service, (await service.submit(new_backup())).id)
    assert mine.archive is not None
    await ended(service, (await service.submit(new_backup(kind="restore", archive=mine.archive))).id)
    waiting = await service.jobs.create(new_backup())
    async with asking(create_app(other)) as admin:
        assert (await admin.get("/api/backup/jobs")).json()["jobs"] == []
        assert (await admin.get("/api/backup/jobs/running")).json()["jobs"] == []
        assert (await admin.get("/api/backup/restore/status")).json() == {
            "running": False,
            "job": None,
            "unfinished": [],
        }
        assert (await admin.get("/api/backup/audit")).json()["entries"] == []
        assert (await admin.get(f"/api/backup/jobs/{mine.id}")).status_code == 404
        assert (await admin.post(f"/api/backup/jobs/{waiting.id}/cancel")).status_code == 404
        metrics = (await admin.get("/metrics")).text
        assert "kleidia_backup_runs_total{" not in metrics
        assert 'kleidia_backup_running{kind="backup",target="other"} 0' in metrics
    assert await other.jobs.start(waiting.id, "other") is None
    assert await other.jobs.fail(waiting.id, "no", "") is None
    assert await other.jobs.last_backup("full", waiting.id) is None
    assert (await ended(service, waiting.id)).status == "completed"
    entries = await service.audit.page()
    assert [(each.action, each.target) for each in entries] == [
        ("backup.completed", "app"),
        ("restore.completed", "app"),
        ("backup.completed", "app"),
    ]


async def test_settings_secrets_schedule_and_limits(service: Service, other: Service) -> None:
    """Each has its own: a change here, with its version, its secret, its due time and its counts, is none there."""
    before = await other.settings.get()
    await service.settings.put(
        {"retention_days": 7, "schedule": "0 5 1 1 *", "encryption_password": "canary-of-app"}, 0, ADA
    )
    assert await other.settings.get() == before
    assert await other.settings.password() != "canary-of-app"
    await service.ticker.tick()
    await other.ticker.tick()
    here = await service.schedule.next_due(service.target)
    there = await other.schedule.next_due(other.target)
    assert here is not None
    assert there is not None
    assert here > there
    await other.settings.put({"retention_days": 9}, 0, ADA)
    assert (await service.settings.current()).retention_days == 7
    assert await service.limits.take("restore:u-1", 1, 3600) is None
    assert await other.limits.take("restore:u-1", 1, 3600) is None
    assert await service.limits.take("restore:u-1", 1, 3600) is not None


async def test_a_restore_there_holds_up_no_settings_here(service: Service) -> None:
    """Secrets among the settings wait for a restore of their own target only."""
    await Jobs(service.control, "other").create(new_backup(kind="restore", archive="backups/no.enc"))
    await service.settings.put({"encryption_password": "canary-of-app"}, None, ADA)
    assert await service.settings.password() == "canary-of-app"
