"""Restores by the API: into other places, and with the backup that is taken first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from secrets import token_hex

import httpx
import psycopg
import pytest

from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.service import Service

from .asking import admin_of, asking, backed_up, ended
from .conftest import PASSWORD, SECRETS

pytestmark = pytest.mark.anyio

URL = "/api/backup/restore"


@pytest.fixture
async def api(service: Service, application: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client of a running service that has its encryption password."""
    async with admin_of(service) as client:
        answer = await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield client


async def test_it_is_backed_up_first_unless_said_otherwise(api: httpx.AsyncClient, application: str) -> None:
    """The archive is named in the report and the audit log, is listed, and is not the latest."""
    key = (await backed_up(api))["archive"]
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DELETE FROM users")
    restored = await ended(api, (await api.post(URL, json={"key": "latest"})).json()["id"])
    assert (restored["status"], restored["error"]) == ("completed", None), restored
    made = restored["report"]["backup"]
    assert "/backup-before-restore-" in made
    keys = [each["key"] for each in (await api.get("/api/backup/list")).json()["backups"]]
    assert sorted(keys) == sorted([key, made])
    (entry, *_) = (await api.get("/api/backup/audit")).json()["entries"]
    assert (entry["action"], made in entry["details"]) == ("restore.completed", True)
    without = {"key": "latest", "backup_first": False}
    again = await ended(api, (await api.post(URL, json=without)).json()["id"])
    assert (again["archive"], again["report"]["backup"]) == (key, None)
    (entry, *_) = (await api.get("/api/backup/audit")).json()["entries"]
    assert "Nothing was backed up" in entry["details"]


async def test_it_goes_to_other_places(
    api: httpx.AsyncClient, application: str, kv: KvMount, kv_mount: Callable[[int], KvMount]
) -> None:
    """Another database that is made, and another mount; what is configured stays, and the audit log names both."""
    await backed_up(api)
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DELETE FROM users")
    kv.put("app/secret-0", {"value": "live"})
    name, mount = f"api_{token_hex(4)}", kv_mount(2)
    wanted = {"key": "latest", "into_database": name, "create_database": True, "into_mount": f"{mount.path}/copy"}
    try:
        restored = await ended(api, (await api.post(URL, json=wanted)).json()["id"])
        assert (restored["status"], restored["error"]) == ("completed", None), restored
        with psycopg.connect(psycopg.conninfo.make_conninfo(application, dbname=name)) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
        with psycopg.connect(application) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    finally:
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
    assert kv.all()["app/secret-0"] == {"value": "live"}
    assert len(mount.all()) == SECRETS + 1  # with the one that signs tokens
    assert all(path.startswith("copy/") for path in mount.all())
    (entry, *_) = (await api.get("/api/backup/audit")).json()["entries"]
    assert f"Into database {name}, vault mount {mount.path}/copy." in entry["details"]


async def test_a_fresh_restore(api: httpx.AsyncClient, kv: KvMount) -> None:
    """What the archive was made with and is missing is made first, and the job says so."""
    assert (await api.put("/api/backup/settings", json={"format": "v2"})).status_code == 200
    policy = f"sys/policies/acl/{kv.path}"
    kv.server.request("PUT", policy, {"policy": "# of the test"})
    await backed_up(api)
    kv.server.request("DELETE", policy)
    wanted = {"key": "latest", "fresh": True, "policies": True, "only": "vault", "backup_first": False}
    restored = await ended(api, (await api.post(URL, json=wanted)).json()["id"])
    assert (restored["status"], restored["error"]) == ("completed", None), restored
    assert f"The policy {kv.path} was missing, and was written." in restored["warnings"]
    assert kv.server.request("GET", policy)[1]["data"]["policy"] == "# of the test"
    (entry, *_) = (await api.get("/api/backup/audit")).json()["entries"]  # also of one that fails after it made them
    assert "KV mounts and roles, and policies that were missing were to be made." in entry["details"]


async def test_what_cannot_be_meant_is_no_job(api: httpx.AsyncClient, service: Service) -> None:
    """422 before there is a job; a viewer may not restore anywhere; a missing database fails with the next step."""
    key = (await backed_up(api))["archive"]
    for wrong in (
        {"create_database": True},
        {"into_database": "x" * 64},
        {"into_database": "x", "only": "vault"},
        {"into_mount": "../x"},
        {"policies": True},
        {"search_path": ["\0"]},
        {"fresh": True, "secrets": ["x"]},
    ):
        answer = await api.post(URL, json={"key": key, **wrong})
        assert answer.status_code == 422, answer.text
    assert (await api.get("/api/backup/jobs", params={"kind": "restore"})).json()["jobs"] == []
    async with asking(api._transport.app, "viewer") as viewer:  # type: ignore[attr-defined]
        answer = await viewer.post(URL, json={"key": key, "into_database": "x", "create_database": True})
        assert answer.status_code == 403
    failed = await ended(api, (await api.post(URL, json={"key": key, "into_database": "is_not_there"})).json()["id"])
    assert failed["status"] == "failed"
    assert "is_not_there" in failed["error"]
    assert "create_database" in failed["next_step"]
    assert len((await api.get("/api/backup/list")).json()["backups"]) == 1
