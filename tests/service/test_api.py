"""The API on a real service: every path of the specification, from the trigger to the restored database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import Bucket, KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, admin_of, asking, backed_up, bearer, ended
from .conftest import PASSWORD, SECRETS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client of a running service that has its encryption password."""
    async with admin_of(service) as client:
        answer = await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield client


@pytest.mark.parametrize("archive_format", [None, "v2"])
async def test_from_trigger_to_restored(
    api: httpx.AsyncClient, application: str, kv: KvMount, archive_format: str | None
) -> None:
    """Trigger, follow, list, validate, restore: the application is as it was, and the history is still there."""
    wanted = {"type": "full", "format": archive_format}
    answer = await api.post("/api/backup/trigger", json=wanted, headers={"X-Workstation": "desk-7"})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/backup/jobs/{answer.json()['id']}"
    job = await ended(api, answer.json()["id"])
    assert (job["status"], job["kind"], job["type"], job["error"]) == ("completed", "backup", "full", None)
    assert (job["requested_by"], job["requested_by_name"], job["ip"]) == ("u-1", "ada", "192.0.2.9")
    assert job["workstation"] == "desk-7"
    assert job["report"]["format"] == (archive_format or "v1")
    assert job["progress"]["secrets"] >= SECRETS
    assert job["size"] > 0 < job["duration"]
    assert datetime.fromisoformat(job["finished_at"]).tzinfo is not None

    listed = (await api.get("/api/backup/list", params={"limit": 10})).json()
    (archive,) = listed["backups"]
    assert (archive["key"], archive["size"], archive["type"]) == (job["archive"], job["size"], "full")
    assert (listed["total"], listed["limit"], listed["offset"]) == (1, 10, 0)
    key = archive["key"]
    assert "/" in key

    right = await api.post("/api/backup/restore/validate-password", json={"key": "latest", "password": PASSWORD})
    assert right.json() == {
        "valid": True,
        "reason": "",
        "detail": "The password opens the archive.",
        "next_step": "",
    }
    wrong = await api.post("/api/backup/restore/validate-password", json={"key": key, "password": "canary-wrong"})
    assert (wrong.status_code, wrong.json()["valid"], wrong.json()["reason"]) == (200, False, "wrong_password")
    assert wrong.json()["next_step"]

    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DROP TABLE users")
    kv.put("app/secret-0", {"value": "changed"})
    assert (await api.get("/api/backup/restore/status")).json() == {
        "running": False,
        "job": None,
        "unfinished": [],
    }
    answer = await api.post("/api/backup/restore", json={"key": "latest", "password": PASSWORD})
    assert answer.status_code == 202, answer.text
    restored = await ended(api, answer.json()["id"])
    assert (restored["status"], restored["kind"], restored["archive"]) == ("completed", "restore", key), restored
    status = (await api.get("/api/backup/restore/status")).json()
    assert (status["running"], status["job"]["id"]) == (False, restored["id"])
    with psycopg.connect(application) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
    assert kv.all()["app/secret-0"] == {"value": "s0"}

    jobs = (await api.get("/api/backup/jobs")).json()
    assert [each["id"] for each in jobs["jobs"]] == [restored["id"], job["id"]]
    actions = [each["action"] for each in (await api.get("/api/backup/audit")).json()["entries"]]
    for action in ("restore.completed", "backup.completed", "password.refused", "settings.changed"):
        assert action in actions


async def test_a_second_job_names_the_first(api: httpx.AsyncClient, application: str) -> None:
    """While a job runs another is refused with 409, which holds that job; it can be cancelled, and then no more."""
    with psycopg.connect(application) as blocker:
        blocker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")  # a dump waits for it
        first = (await api.post("/api/backup/trigger")).json()
        answer = await api.post("/api/backup/trigger", json={"type": "database"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, MEDIA_TYPE)
        assert answer.json()["type"] == "urn:kleidia-backup:problem:busy"
        assert answer.json()["job"]["id"] == first["id"]
        assert answer.json()["next_step"]
        running = (await api.get("/api/backup/jobs/running")).json()["jobs"]
        assert [each["id"] for each in running] == [first["id"]]
        answer = await api.post(f"/api/backup/jobs/{first['id']}/cancel")
        assert (answer.status_code, answer.json()["id"]) == (202, first["id"])
        job = await ended(api, first["id"])
    assert (job["status"], job["error"][:17]) == ("failed", "Cancelled by ada.")
    again = await api.post(f"/api/backup/jobs/{first['id']}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, "urn:kleidia-backup:problem:ended")
    assert (await api.get("/api/backup/jobs/running")).json() == {"jobs": []}
    audited = (await api.get("/api/backup/audit", params={"action": "job.cancelled"})).json()["entries"]
    assert [(each["job_id"], each["user_name"]) for each in audited] == [(first["id"], "ada")]


async def test_archives_are_deleted_by_their_whole_name(api: httpx.AsyncClient) -> None:
    """DELETE takes a key with slashes, is audited, and answers 404 for what is not there or no archive's name."""
    key = (await backed_up(api, "vault"))["archive"]
    for unknown in (
        "backups/backup-full-20200101-000000.enc",
        "backups/backup-full-20200101-000000.txt",
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "a//b.enc",
        "list",
        "%00.enc",
        "x" * 2000,
    ):
        answer = await api.request("DELETE", f"/api/backup/{unknown}")
        assert answer.status_code in {404, 422}, (unknown, answer.text)
        assert answer.headers["Content-Type"] == MEDIA_TYPE
    answer = await api.get(f"/api/backup/download/{key}")
    assert (answer.status_code, "no URLs" in answer.json()["detail"]) == (409, True)  # of a directory
    answer = await api.delete(f"/api/backup/{key}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.delete(f"/api/backup/{key}")).status_code == 404
    assert (await api.get("/api/backup/list")).json()["backups"] == []
    audited = (await api.get("/api/backup/audit", params={"action": "archive.deleted"})).json()["entries"]
    assert [(each["archive"], each["user_id"], each["ip"]) for each in audited] == [(key, "u-1", "192.0.2.9")]


async def test_an_archive_that_is_being_restored_is_not_deleted(api: httpx.AsyncClient, application: str) -> None:
    """Its deletion is refused until the restore ended."""
    key = (await backed_up(api))["archive"]
    with psycopg.connect(application) as blocker:
        blocker.execute("LOCK TABLE users IN ACCESS SHARE MODE")  # a restore waits for it
        job = (await api.post("/api/backup/restore", json={"key": key, "password": PASSWORD})).json()
        assert (await api.get("/api/backup/restore/status")).json()["running"] is True
        answer = await api.delete(f"/api/backup/{key}")
        assert (answer.status_code, f"Job {job['id']}" in answer.json()["detail"]) == (409, True)
        await api.post(f"/api/backup/jobs/{job['id']}/cancel")
        assert (await ended(api, job["id"]))["status"] == "failed"
    assert (await api.delete(f"/api/backup/{key}")).status_code == 204


async def test_a_restore_of_nothing_is_refused_before_it_is_a_job(api: httpx.AsyncClient, service: Service) -> None:
    """An unknown archive: 404, for restore, validation and download; no job is made."""
    body = {"key": "backups/backup-full-20200101-000000.enc", "password": "canary-restore"}
    for path in ("restore", "restore/validate-password"):
        answer = await api.post(f"/api/backup/{path}", json=body)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, MEDIA_TYPE)
        assert "canary" not in answer.text
    assert (await api.get(f"/api/backup/download/{body['key']}")).status_code == 404
    assert await service.jobs.page() == []


async def test_a_damaged_archive_is_told_from_a_wrong_password(api: httpx.AsyncClient, service: Service) -> None:
    """Validation says why a password opens nothing: the archive ends early, or is none."""
    key = (await backed_up(api, "vault"))["archive"]
    path = service.config.store.path / key  # type: ignore[union-attr]  # a directory, in this test
    whole = path.read_bytes()
    begin = 17 + 4 + int.from_bytes(whole[17:21], "big") + 32 + 12
    path.write_bytes(whole[: begin + 10])
    answer = await api.post("/api/backup/restore/validate-password", json={"key": key, "password": PASSWORD})
    assert (answer.status_code, answer.json()["valid"], answer.json()["reason"]) == (200, False, "damaged")
    path.write_bytes(b"no archive" * 100)
    answer = await api.post("/api/backup/restore/validate-password", json={"key": key, "password": PASSWORD})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:kleidia-backup:problem:not-an-archive")


async def test_guessing_is_limited(api: httpx.AsyncClient, service: Service) -> None:
    """The eleventh validation in a minute is answered with 429 and Retry-After, on every replica."""
    body = {"key": "backups/backup-full-20200101-000000.enc", "password": "guess"}
    async with admin_of(service) as other:
        answers = [
            await (api, other)[number % 2].post("/api/backup/restore/validate-password", json=body)
            for number in range(21)
        ]
    statuses = [answer.status_code for answer in answers]
    assert 429 in statuses
    assert statuses.count(404) <= 20  # at most two windows of a minute
    assert set(statuses) == {404, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["type"] == "urn:kleidia-backup:problem:too-many"
    # Another administrator is not locked out by that.
    async with asking(create_app(service), **bearer(sub="u-2")) as another:
        assert (await another.post("/api/backup/restore/validate-password", json=body)).status_code == 404


async def test_pages(api: httpx.AsyncClient) -> None:
    """Archives by offset, jobs and audit by a cursor; 50 unless asked for, 1,000 at most."""
    jobs = [(await backed_up(api, "vault"))["id"] for _ in range(3)]
    first = (await api.get("/api/backup/jobs", params={"limit": 2})).json()
    second = (await api.get("/api/backup/jobs", params={"limit": 2, "before": first["next"]})).json()
    assert [each["id"] for each in first["jobs"] + second["jobs"]] == jobs[::-1]
    assert second["next"] is None
    assert (await api.get("/api/backup/jobs", params={"kind": "restore"})).json()["jobs"] == []
    assert len((await api.get("/api/backup/jobs", params={"status": "completed"})).json()["jobs"]) == 3
    page = (await api.get("/api/backup/list", params={"limit": 2, "offset": 2})).json()
    assert (len(page["backups"]), page["total"]) == (1, 3)
    assert (await api.get("/api/backup/list")).json()["limit"] == 50
    entries = (await api.get("/api/backup/audit", params={"limit": 1})).json()
    more = (await api.get("/api/backup/audit", params={"limit": 1, "before": entries["next"]})).json()
    assert more["entries"][0]["id"] < entries["entries"][0]["id"]
    for path in ("list", "jobs", "audit"):
        for limit in ("0", "1001", "x"):
            assert (await api.get(f"/api/backup/{path}", params={"limit": limit})).status_code == 422


async def test_archives_beyond_the_first_page(api: httpx.AsyncClient, store_directory: Path) -> None:
    """More than a page may have: the total says how many there are, and the pages that follow have the others."""
    made = store_directory / (await backed_up(api, "vault"))["archive"]
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    for hours in range(1049):
        made.with_name(f"backup-vault-{begin + timedelta(hours=hours):%Y%m%d-%H%M%S}.enc").hardlink_to(made)
    keys: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = (await api.get("/api/backup/list", params={"limit": 1000, "offset": offset})).json()
        assert page["total"] == 1050
        keys += [each["key"] for each in page["backups"]]
        offset = page["next"]
    assert len(keys) == len(set(keys)) == 1050
    assert (await api.get("/api/backup/list", params={"offset": 1040})).json()["next"] is None
    assert (await api.get("/restore", params={"offset": 1040})).status_code == 200


async def test_settings_are_read_and_changed(api: httpx.AsyncClient) -> None:
    """What is left out stays; secrets never come back; an older version is refused; what cannot be names its field."""
    before = (await api.get("/api/backup/settings")).json()
    assert (before["schedule"], before["retention_days"], before["include_audit_logs"]) == ("0 2 * * *", 30, True)
    assert (before["has_encryption_password"], before["has_secret_access_key"]) == (True, False)
    change = {
        "endpoint": "https://s3.example.org",
        "bucket": "kleidia-backups",
        "access_key_id": "AKIA",
        "secret_access_key": "canary-s3-secret",
        "timezone": "Europe/Vienna",
        "version": before["version"],
    }
    answer = await api.put("/api/backup/settings", json=change)
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["bucket"], after["timezone"], after["retention_days"]) == ("kleidia-backups", "Europe/Vienna", 30)
    assert after["has_secret_access_key"] is True
    assert after["version"] > before["version"]
    assert after == (await api.get("/api/backup/settings")).json()
    assert "canary" not in answer.text
    stale = await api.put("/api/backup/settings", json={"retention_days": 3, "version": before["version"]})
    assert (stale.status_code, stale.json()["type"]) == (409, "urn:kleidia-backup:problem:settings-changed")
    for bad, named in (
        ({"schedule": "every day"}, "schedule"),
        ({"timezone": "Moon/Crater"}, "timezone"),
        ({"retention_days": -1}, "retention_days"),
        ({"retention_days": "canary"}, "retention_days"),
        ({"encryption_password": ""}, "encryption_password"),
        ({"encryption_password": "canary-5678"}, "encryption_password cannot be used"),
        ({"encryption_password": "canary-5678"}, "at least 12 characters"),
        ({"encryption_password": 5}, "encryption_password"),
        ({"canary": 5}, "(unknown)"),
        ({"retention_days": True}, "retention_days"),
        ({"keep_at_least": "3"}, "keep_at_least"),
        ({"endpoint": "ftp://user:canary@host"}, "endpoint"),
    ):
        answer = await api.put("/api/backup/settings", json=bad)
        assert (answer.status_code, answer.headers["Content-Type"]) == (422, MEDIA_TYPE), answer.text
        assert named in answer.text
        assert "canary" not in answer.text
    (entry, *_) = (await api.get("/api/backup/audit", params={"action": "settings.changed"})).json()["entries"]
    assert "secret_access_key" in entry["details"]
    assert "canary" not in entry["details"]


async def test_connections_are_tested(api: httpx.AsyncClient, rclone_bucket: Bucket) -> None:
    """GET tries what is configured; POST tries candidates, which are not saved, and says what is wrong with them."""
    answer = await api.get("/api/backup/test-connection")
    assert answer.status_code == 200
    assert (answer.json()["ok"], [each["part"] for each in answer.json()["checks"]]) == (True, ["store"])
    server = rclone_bucket.server
    candidate = {
        "endpoint": server.endpoint,
        "region": server.region,
        "bucket": rclone_bucket.name,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
        "path_style": True,
    }
    answer = await api.post("/api/backup/test-connection", json=candidate)
    assert answer.json()["ok"] is True, answer.text
    answer = await api.post("/api/backup/test-connection", json=candidate | {"secret_access_key": "canary-wrong-key"})
    (check,) = answer.json()["checks"]
    assert (answer.json()["ok"], check["part"], bool(check["next_step"])) == (False, "store", True)
    assert "canary" not in answer.text
    assert (await api.post("/api/backup/test-connection", json={"endpoint": "no url"})).status_code == 422
    assert (await api.get("/api/backup/settings")).json()["bucket"] == ""


async def test_a_download_is_a_url_for_an_hour(
    service_settings: ServiceSettings, rclone_bucket: Bucket, application: str
) -> None:
    """From S3 a presigned URL, with which anybody gets the archive; audited."""
    server = rclone_bucket.server
    async with Service(service_settings) as service, admin_of(service) as api:
        change = {
            "endpoint": server.endpoint,
            "region": server.region,
            "bucket": rclone_bucket.name,
            "access_key_id": server.access_key,
            "secret_access_key": server.secret_key,
            "path_style": True,
            "encryption_password": PASSWORD,
        }
        assert (await api.put("/api/backup/settings", json=change)).status_code == 200
        job = await backed_up(api, "vault")
        answer = await api.get(f"/api/backup/download/{job['archive']}")
        assert answer.status_code == 200, answer.text
        async with httpx.AsyncClient() as anybody:
            body = (await anybody.get(answer.json()["url"])).content
        assert (len(body), body[:17]) == (job["size"], b"KLEIDIA_BACKUP_V1")
        left = datetime.fromisoformat(answer.json()["expires_at"]) - datetime.fromisoformat(job["finished_at"])
        assert 3590 < left.total_seconds() < 3660
        assert (await api.get("/api/backup/download/backups/backup-none.enc")).status_code == 404
        audited = (await api.get("/api/backup/audit", params={"action": "archive.downloaded"})).json()["entries"]
        assert [each["archive"] for each in audited] == [job["archive"]]
