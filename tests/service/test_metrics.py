"""What Prometheus reads: from the database, so every replica says the same."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.service import Service

from .asking import admin_of, backed_up, ended
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_of(service) as client:
        yield client


async def scrape(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names, but for the target's."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert set(re.findall(r'target="([^"]*)"', answer.text)) == {"app"}
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels) if name != "target")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_before_anything_ran_nothing_is_made_up(api: httpx.AsyncClient) -> None:
    """No last success is said before there is one: an alert on its absence works, a zero would hide it."""
    found = await scrape(api)
    assert found["kleidia_backup_running", "backup"] == found["kleidia_backup_running", "restore"] == 0
    assert not [key for key in found if "last" in key[0] or "runs" in key[0]]


async def test_what_ran_is_told_by_every_replica(
    api: httpx.AsyncClient, service: Service, service_settings: ServiceSettings
) -> None:
    """Last success, duration, size and runs by status, as the jobs say; a failure does not touch the last success."""
    await api.put("/api/backup/settings", json={"encryption_password": PASSWORD})
    job = await backed_up(api, "vault")
    path = service.config.store.path  # type: ignore[union-attr]  # a directory, in this test
    path.rename(path.with_name("away"))
    failed = (await api.post("/api/backup/trigger", json={"type": "vault"})).json()
    assert (await ended(api, failed["id"]))["status"] == "failed"
    found = await scrape(api)
    at = found["kleidia_backup_last_success_timestamp_seconds", "backup", "vault"]
    assert datetime.fromtimestamp(at, UTC) == datetime.fromisoformat(job["finished_at"])
    assert found["kleidia_backup_last_size_bytes", "backup", "vault"] == job["size"]
    assert found["kleidia_backup_last_duration_seconds", "backup", "vault"] == pytest.approx(job["duration"])
    load = job["report"]["load"]["vault"]
    assert found["kleidia_backup_last_vault_requests", "backup", "vault"] == load["requests"]
    assert found["kleidia_backup_last_vault_request_p99_seconds", "backup", "vault"] == pytest.approx(
        load["p99_ms"] / 1000
    )
    assert ("kleidia_backup_last_longest_transaction_seconds", "backup", "vault") not in found, "no database was asked"
    assert found["kleidia_backup_runs_total", "backup", "completed", "vault"] == 1
    assert found["kleidia_backup_runs_total", "backup", "failed", "vault"] == 1
    async with Service(service_settings) as replica, admin_of(replica) as other:
        again = await scrape(other)
    assert {key: again[key] for key in found} == found


async def test_what_runs_and_what_is_due(api: httpx.AsyncClient, service: Service, application: str) -> None:
    """A job that waits or runs is counted; the next due time is the schedule's."""
    await api.put("/api/backup/settings", json={"encryption_password": PASSWORD, "schedule": "0 2 4 5 *"})
    with psycopg.connect(application) as blocker:
        blocker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")  # a dump waits for it
        job = (await api.post("/api/backup/trigger")).json()
        assert (await scrape(api))["kleidia_backup_running", "backup"] == 1
        await api.post(f"/api/backup/jobs/{job['id']}/cancel")
        await ended(api, job["id"])
    assert (await scrape(api))["kleidia_backup_running", "backup"] == 0
    await service.ticker.tick()  # now, and not in a few seconds, the schedule follows the settings
    due = await service.schedule.next_due(service.target)
    assert due is not None
    assert due.month == 5
    assert (await scrape(api))["kleidia_backup_next_due_timestamp_seconds",] == due.timestamp()


async def test_openmetrics_when_it_is_asked_for(api: httpx.AsyncClient) -> None:
    """Prometheus may ask for the newer format."""
    answer = await api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
