"""Archives that a bucket locks, by the API: what it shows, and restores of what was deleted."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import psycopg
import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.service.service import Service

from ..buckets import s3_settings
from .asking import admin_of, backed_up, ended
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("locking_bucket", ["seaweedfs"], indirect=True)
async def test_what_was_deleted_is_restored(
    service_settings: ServiceSettings, locking_bucket: Bucket, application: str
) -> None:
    """It is listed, verified and restored as of a time before that; until then nobody deletes it for good."""
    store = s3_settings(locking_bucket, lock_mode="governance", lock_days=3)
    async with Service(replace(service_settings, store=store)) as service, admin_of(service) as client:
        answer = await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert answer.status_code == 200, answer.text
        (tried,) = (await client.get("/api/backup/test-connection")).json()["checks"]
        assert (tried["ok"], tried["allowed"]["lifts_locks"], tried["allowed"]["lock_days"]) == (True, True, 3)
        assert "BypassGovernanceRetention" in tried["warnings"][0]
        key = (await backed_up(client))["archive"]
        (shown,) = (await client.get("/api/backup/list")).json()["backups"]
        left = datetime.fromisoformat(shown["locked_until"]) - datetime.now(UTC)
        assert (timedelta(days=2) < left <= timedelta(days=3), shown["held"]) == (True, False)
        refused = await client.delete(f"/api/backup/{key}")
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "object-retained"), (
            refused.text
        )

        await anyio.sleep(1.05 - time.time() % 1)  # stores tell times in seconds
        then = datetime.now(UTC).isoformat()
        await anyio.sleep(1.05 - time.time() % 1)
        with contextlib.closing(locking_bucket.server.client()) as thief:
            thief.delete_object(Bucket=locking_bucket.name, Key=key)
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users")
        assert (await client.get("/api/backup/list")).json()["backups"] == []
        (found,) = (await client.get("/api/backup/list", params={"as_of": then})).json()["backups"]
        assert found["key"] == key
        for url in ("/api/backup/verify", "/api/backup/restore"):
            assert (await client.post(url, json={"key": key})).status_code == 404
            answer = await client.post(url, json={"key": "latest", "as_of": then})
            assert answer.status_code == 202, answer.text
            job = await ended(client, answer.json()["id"])
            assert (job["status"], job["archive"]) == ("completed", key), job
        with psycopg.connect(application) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
        assert job["report"]["backup"].startswith("backups/backup-before-restore-")
        (entry, *_) = (await client.get("/api/backup/audit")).json()["entries"]
        assert f"as the store had it at {then}" in entry["details"]
        for wrong in (12, "2026-01-01T00:00:00", "yesterday", True):
            answer = await client.post("/api/backup/restore", json={"key": key, "as_of": wrong})
            assert answer.status_code == 422, answer.text
