"""Looking into archives over the API: what is found, who may, that it holds up no job, and the limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest

from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control.jobs import Job, NewJob
from kleidia_backup.service.service import Service

from .asking import admin_of, asking, backed_up
from .conftest import new_backup

pytestmark = pytest.mark.anyio


async def looked(api: httpx.AsyncClient, what: str, **body: Any) -> dict[str, Any]:
    """An inspection, when it has ended."""
    answer = await api.post(f"/api/backup/{what}", json={"key": "latest", **body})
    assert answer.status_code == 202, answer.text
    where = answer.headers["Location"]
    assert where == f"/api/backup/inspections/{answer.json()['id']}"
    with anyio.fail_after(60):
        while True:
            found: dict[str, Any] = (await api.get(where)).json()
            if found["status"] != "running":
                return found
            await anyio.sleep(0.05)


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_what_is_found(service: Service, application: str, kv: KvMount, archive_format: str) -> None:
    """Contents, differences to an archive and to the servers, and dry runs, beside a job; paths, no values."""
    async with admin_of(service) as api:
        answer = await api.post("/api/backup/trigger", json={"format": archive_format})
        first = await _ended_job(api, answer.json()["id"])
        kv.put("app/secret-3", {"value": "canary-other"})
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users WHERE id > 15")
        writes = await _held(service, new_backup())

        held = await looked(api, "contents", secrets=True)
        assert (held["status"], held["archive"], held["requested_by_name"]) == ("completed", first["archive"], "ada")
        tables = {each["name"]: each["rows"] for each in held["result"]["tables"]}
        assert tables == {"public.users": 20, "public.audit_logs": 5}
        assert "secret-3" in held["result"]["secret_paths"]
        assert held["result"]["left_out"] == {}

        other = await looked(api, "diff")
        assert (other["other"], other["result"]["equal"], other["result"]["new"]) == (None, False, "now")
        assert other["result"]["secrets_changed"] == ["secret-3"]
        (table,) = [each for each in other["result"]["tables"] if each["name"] == "public.users"]
        assert (table["old_rows"], table["new_rows"]) == (20, 15)

        await service.jobs.fail(writes.id, "enough", "")
        planned = await looked(api, "restore/dry-run")
        assert planned["status"] == "completed", planned
        assert planned["result"]["blockers"] == []
        assert planned["result"]["vault"]["changed_paths"] == ["secret-3"]
        one = await looked(api, "restore/dry-run", tables=["public.users"])
        assert [(each["rows_archive"], each["rows_now"]) for each in one["result"]["tables"]] == [(20, 15)]
        shown = repr((held, other, planned, one))
        assert "canary" not in shown

        entries = (await api.get("/api/backup/audit", params={"action": "archive.inspected"})).json()["entries"]
        assert [each["details"] for each in reversed(entries)] == [
            "Contents, with the paths of secrets.",
            "Compared with the database and the vault as they are.",
            "Dry run of a restore.",
            "Dry run of a restore.",
        ]
        with psycopg.connect(application) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (15,)
        where = f"/api/backup/inspections/{one['id']}"
        assert (await api.delete(where)).status_code == 204
        assert (await api.get(where)).status_code == (await api.delete(where)).status_code == 404


async def test_what_is_refused_and_what_fails(service: Service) -> None:
    """Viewers, another one at the same time, the sixth of a minute, a wrong password, an archive that is none."""
    app = create_app(service)
    async with asking(app) as api, asking(app, "viewer") as viewer:
        await backed_up(api, "vault")
        for what in ("contents", "diff", "restore/dry-run"):
            assert (await viewer.post(f"/api/backup/{what}", json={"key": "latest"})).status_code == 403
        assert (await api.post("/api/backup/contents", json={"key": "nothing.enc"})).status_code == 404
        wrong = await looked(api, "contents", password="canary-wrong-password")
        assert (wrong["status"], wrong["code"], wrong["result"]) == ("failed", "wrong-password", None)
        assert (await viewer.get(f"/api/backup/inspections/{wrong['id']}")).status_code == 403
        held = await service.inspections.begin("contents", "x.enc", None, "ada", 60)
        refused = await api.post("/api/backup/contents", json={"key": "latest"})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:kleidia-backup:problem:busy")
        assert await service.inspections.remove(held.id)
        await service.inspections.begin("contents", "x.enc", None, "ada", -1)  # its process is gone
        assert (await looked(api, "contents"))["status"] == "completed"
        assert (await api.post("/api/backup/diff", json={"key": "latest"})).status_code == 202
        statuses: list[int] = []
        while 429 not in statuses:  # a busy machine may need two windows of a minute for what is above
            assert len(statuses) < 12
            statuses.append((await api.post("/api/backup/diff", json={"key": "latest"})).status_code)
        assert set(statuses) <= {202, 409, 429}


async def test_an_archive_is_sent_in_parts(service: Service, store_directory: Path) -> None:
    """Whole, a part, its end, what it has not, and whole again when it is another one than before."""
    async with admin_of(service) as api:
        made = await backed_up(api, "vault")
        data = (store_directory / made["archive"]).read_bytes()
        where = f"/api/backup/archive/{made['archive']}"
        whole = await api.get(where)
        assert (whole.status_code, whole.content) == (200, data)
        tag = whole.headers["ETag"]
        for given, start, end in (
            ("bytes=5-9", 5, 10),
            ("bytes=10-", 10, len(data)),
            ("bytes=-7", len(data) - 7, None),
        ):
            part = await api.get(where, headers={"Range": given, "If-Range": tag})
            assert (part.status_code, part.content) == (206, data[start:end])
            last = (end or len(data)) - 1
            assert part.headers["Content-Range"] == f"bytes {start}-{last}/{len(data)}"
        past = await api.get(where, headers={"Range": f"bytes={len(data)}-"})
        assert (past.status_code, past.headers["Content-Range"]) == (416, f"bytes */{len(data)}")
        other = await api.get(where, headers={"Range": "bytes=5-9", "If-Range": '"another"'})
        assert (other.status_code, other.content) == (200, data)


async def test_a_verification_and_a_backup_run_side_by_side(service: Service) -> None:
    """One job that reads and one that writes; a second of either is refused, with the one in its way."""
    async with admin_of(service) as api:
        reads = await _held(service, new_backup(kind="verify"))
        await backed_up(api)
        refused = await api.post("/api/backup/verify")
        assert (refused.status_code, refused.json()["job"]["id"]) == (409, reads.id)
        await service.jobs.fail(reads.id, "enough", "")
        writes = await _held(service, new_backup())
        verified = await api.post("/api/backup/verify")
        assert (await _ended_job(api, verified.json()["id"]))["status"] == "completed"
        refused = await api.post("/api/backup/trigger")
        assert (refused.status_code, refused.json()["job"]["id"]) == (409, writes.id)


async def _held(service: Service, new: NewJob) -> Job:
    """A job that runs, on a replica that is not there, for as long as the test wants."""
    job = await service.jobs.create(new)
    started = await service.jobs.start(job.id, "elsewhere")
    async with service.control.connection() as connection:
        await connection.execute("UPDATE kleidia_backup.jobs SET heartbeat_at = now() + interval '1 day'")
    assert started is not None
    return started


async def _ended_job(api: httpx.AsyncClient, number: int) -> dict[str, Any]:
    with anyio.fail_after(60):
        while True:
            found = (await api.get(f"/api/backup/jobs/{number}")).json()
            if found["status"] in {"completed", "failed"}:
                return dict(found)
            await anyio.sleep(0.05)
