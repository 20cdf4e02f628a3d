"""Sentences of the specification about the page, the API and the log that no other test holds word by word."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import httpx
import psycopg
import pytest
import structlog

from kleidia_backup import TokenAuth
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.service import Service

from .asking import admin_of, asking, backed_up, bearer
from .asking import ended as ended_by_api
from .conftest import PASSWORD, SECRETS, ended, new_backup

pytestmark = pytest.mark.anyio

ROUTES = """
POST /api/backup/trigger
GET /api/backup/list
DELETE /api/backup/{key}
GET /api/backup/test-connection
POST /api/backup/restore
POST /api/backup/restore/validate-password
GET /api/backup/restore/status
GET /api/backup/jobs
GET /api/backup/jobs/{id}
GET /api/backup/jobs/running
"""


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client of a running service that has its encryption password."""
    async with admin_of(service) as client:
        answer = await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield client


async def test_the_page_says_what_is_promised(api: httpx.AsyncClient) -> None:
    """Backup Management with its tabs, and a form whose fields and buttons have the specification's names."""
    text = html.unescape((await api.get("/settings")).text)
    assert "<strong>Backup Management</strong>" in text
    tabs = re.search(r'<nav aria-label="Tabs">(.*?)</nav>', text, re.DOTALL)
    assert tabs
    links = re.findall(r'href="([^"]*)"[^>]*>([A-Z][a-z]*)</a>', tabs[1])
    assert [name for _, name in links] == ["Settings", "History", "Restore"]
    for path, _ in links:
        assert (await api.get(path)).status_code == 200
    labels = [label.strip().lower() for label in re.findall(r"<label>(?:<input[^>]*>)?([^<]+)", text)]
    for field in (
        *("S3 Endpoint", "Region", "Bucket", "Prefix", "Access Key ID", "Secret Access Key", "Use Path-Style"),
        *("Insecure TLS", "Encryption Password", "Retention Days", "Include Audit Logs"),
    ):
        assert field.lower() in labels, field
    assert "backups, by the schedule" in labels
    assert ">Test S3 Connection</button>" in text
    assert "Run Backup Now" in (await api.get("/history")).text


async def test_the_examples_of_the_fields_are_taken(api: httpx.AsyncClient) -> None:
    """Both of each that has two; what was saved is what is shown."""
    for example in (
        {"endpoint": "https://s3.amazonaws.com", "region": "us-east-1", "path_style": False},
        {"endpoint": "http://minio.local:9000", "region": "eu-west-1", "path_style": True, "insecure_tls": True},
    ):
        wanted: dict[str, Any] = {"bucket": "kleidia-backups", "prefix": "backups/", "access_key_id": "AKIA", **example}
        answer = await api.put("/api/backup/settings", json=wanted | {"secret_access_key": "canary-secret-key"})
        assert answer.status_code == 200, answer.text
        now = (await api.get("/api/backup/settings")).json()
        assert {name: now[name] for name in wanted} == wanted


async def test_the_page_makes_full_backups_alone_and_the_api_all_three(api: httpx.AsyncClient) -> None:
    """The page has no choice of a type; the API takes each."""
    form = re.search(r"<form[^>]*/history/backup.*?</form>", (await api.get("/history")).text, re.DOTALL)
    assert form
    assert "Run Backup Now" in form[0]
    assert not re.search(r"<select|<input|name=", form[0])
    for kind in ("full", "database", "vault"):
        assert (await backed_up(api, kind))["type"] == kind


async def test_each_archive_has_its_restore_beside_it(api: httpx.AsyncClient) -> None:
    """In its own row, and it leads to this archive."""
    keys = {(await backed_up(api, kind))["archive"] for kind in ("vault", "database")}
    table = (await api.get("/restore")).text
    rows = [row for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL) if 'data-label="Name"' in row]
    found = set()
    for row in rows:
        name = re.search(r'data-label="Name"[^>]*>([^<]+)', row)
        link = re.search(r'href="([^"]*/restore/archive\?key=[^"]*)">Restore<', row)
        assert name
        assert link
        answer = await api.get(html.unescape(link[1]))
        assert name[1] in answer.text
        assert "Restore Now" in answer.text
        found.add(name[1])
    assert found == keys


async def test_a_job_has_each_status_in_turn(service: Service, application: str) -> None:
    """Pending when it was created, running while the backup is in progress, then completed."""
    async with await psycopg.AsyncConnection.connect(application) as holder:
        await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        job = await service.submit(new_backup())
        assert job.status == "pending"
        with anyio.fail_after(60):
            while (now := await service.jobs.get(job.id)) is None or now.status == "pending":  # noqa: ASYNC110 - polled
                await anyio.sleep(0.02)
        assert now.status == "running"
    assert (await ended(service, job.id)).status == "completed"


async def test_the_log_names_stale_jobs(service_settings: ServiceSettings) -> None:
    """``grep -i stale`` finds the job that ran for more than two hours."""
    async with Control(service_settings.control) as control:
        jobs = Jobs(control, service_settings.target)
        stale = (await jobs.create(new_backup())).id
        await jobs.start(stale, "x")
        async with control.connection() as connection:
            await connection.execute(
                "UPDATE kleidia_backup.jobs"
                " SET heartbeat_at = now() + interval '1h', started_at = now() - interval '121min' WHERE id = %s",
                (stale,),
            )
    with structlog.testing.capture_logs() as log:
        async with Service(service_settings):
            pass
    (line,) = [each for each in log if "stale" in str(each).lower()]
    assert (line["log_level"], line["job"]) == ("error", stale)


@pytest.mark.parametrize("failing", ["some", "all"])
async def test_the_log_names_each_secret_that_was_not_written(
    service_settings: ServiceSettings, kv: KvMount, failing: str
) -> None:
    """``grep -i 'failed to write'`` finds each path, whether the restore was completed or failed for them."""
    closed = {f"secret-{number}" for number in range(3 if failing == "some" else SECRETS)}
    rules = f'path "{kv.path}/*" {{ capabilities = ["create", "update", "read", "delete", "list"] }}\n'
    rules += "".join(f'path "{kv.path}/data/app/{name}" {{ capabilities = ["read"] }}\n' for name in sorted(closed))
    kv.server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": rules})
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [kv.path]})
    auth = TokenAuth(answer["auth"]["client_token"])
    async with Service(replace(service_settings, vault=replace(service_settings.vault, auth=auth))) as service:
        backup = await ended(service, (await service.submit(new_backup(backup_type="vault"))).id)
        for name in closed:
            kv.put(f"app/{name}", {"value": "changed"})
        with structlog.testing.capture_logs() as log:
            job = await service.submit(new_backup(kind="restore", archive=backup.archive, backup_type="vault"))
            restore = await ended(service, job.id)
            with anyio.fail_after(10):  # it is logged a moment after the job has ended
                while not any(each["event"] in {"job completed", "job failed"} for each in log):  # noqa: ASYNC110 - likewise
                    await anyio.sleep(0.02)
    assert restore.status == ("completed" if failing == "some" else "failed"), restore
    lines = [each for each in log if each["event"] == "failed to write"]
    assert {each["path"] for each in lines} == closed
    assert {each["log_level"] for each in lines} == {"warning"}
    kv.server.request("DELETE", f"sys/policies/acl/{kv.path}")


async def test_the_api_has_every_promised_route(service: Service) -> None:
    """By its method and its path, as the document says them too."""
    paths = create_app(service).openapi()["paths"]
    for route in ROUTES.strip().splitlines():
        method, path = route.split()
        assert method.lower() in paths[path], route


async def test_the_example_calls_are_answered(service: Service, api: httpx.AsyncClient) -> None:
    """As they are typed: the headers and the body of curl, and the list with its limit."""
    async with asking(create_app(service), None) as curl:
        headers = {**bearer(), "Content-Type": "application/json"}
        answer = await curl.post("/api/backup/trigger", content=b'{"type": "full"}', headers=headers)
        assert answer.status_code == 202
        assert answer.json()["type"] == "full"
        made = await ended_by_api(api, answer.json()["id"])
        listed = await curl.get("/api/backup/list?limit=10", headers=bearer())
        assert listed.status_code == 200
        assert [each["key"] for each in listed.json()["backups"]] == [made["archive"]]
        assert timedelta(seconds=made["duration"]) > timedelta(0)
