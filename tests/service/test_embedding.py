"""The API inside another service, which authenticates in its own way and keeps an audit log of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, HTTPException, Request

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.identity.auth import Forbidden, NotAuthenticated
from kleidia_backup.service.api.identity.roles import Principal
from kleidia_backup.service.control.audit import AuditEntry
from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, asking, bearer
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio

_USERS = {"s-ada": Principal("7", "Ada", "admin"), "s-vic": Principal("8", "Vic", "viewer")}


class Log:
    """The other service's own audit log."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def write(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


async def by_session(request: Request) -> Principal:
    """How the other service knows its users."""
    session = request.cookies.get("session", "")
    if session == "s-guest":
        raise Forbidden("Guests see no backups.")
    if session == "s-old":
        raise HTTPException(401)
    if session not in _USERS:
        raise NotAuthenticated("Log in first.", tried=bool(session))
    return _USERS[session]


async def test_mounted_in_another_app(service_settings: ServiceSettings) -> None:
    """Mounted under a path, entered by the other app's lifespan, with its authentication and its audit log."""
    log = Log()
    service = Service(service_settings, application_audit=log)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    host = FastAPI(lifespan=lifespan)
    host.mount("/backups", create_app(service, authenticate=by_session))

    @host.get("/own")
    async def own() -> str:
        return "theirs"

    async with host.router.lifespan_context(host), asking(host, None, Cookie="session=s-ada") as ada:
        assert (await ada.get("/own")).json() == "theirs"
        assert (await ada.get("/backups/healthz")).status_code == 200
        change = {"encryption_password": PASSWORD}
        assert (await ada.put("/backups/api/backup/settings", json=change)).status_code == 200
        answer = await ada.post("/backups/api/backup/trigger", json={"type": "vault"})
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/backups/api/backup/jobs/{answer.json()['id']}"
        assert (await ada.get(answer.headers["Location"])).json()["requested_by_name"] == "Ada"
        assert "/backups/openapi.json" in (await ada.get("/backups/docs")).text
        assert (await ada.get("/backups/openapi.json")).json()["servers"] == [{"url": "/backups"}]
        missing = await ada.get("/backups/api/backup/jobs/999")
        assert missing.json()["instance"] == "/backups/api/backup/jobs/999"
        for cookie, status in (("s-vic", 403), ("s-guest", 403), ("s-old", 401), ("s-nobody", 401), ("", 401)):
            refused = await ada.post("/backups/api/backup/trigger", headers={"Cookie": f"session={cookie}"})
            assert (refused.status_code, refused.headers["Content-Type"]) == (status, MEDIA_TYPE)
        token = await ada.post("/backups/api/backup/trigger", headers={"Cookie": "", **bearer()})
        assert token.status_code == 401  # our tokens count no more
    assert next(entry.action for entry in log.entries if entry.user_name == "Ada") == "settings.changed"
    assert [entry.details for entry in log.entries if entry.action == "login.refused"] == [
        "POST /backups/api/backup/trigger: Log in first."
    ]


async def test_on_its_own_the_app_enters_the_service(service_settings: ServiceSettings) -> None:
    """Run by a server of its own, its lifespan starts and ends the service; a prefix stands before every path."""
    service = Service(service_settings)
    app = create_app(service, prefix="/kleidia")
    async with app.router.lifespan_context(app), asking(app) as admin:
        assert (await admin.get("/kleidia/readyz")).status_code == 200
        assert (await admin.get("/readyz")).status_code == 404
        await admin.put("/kleidia/api/backup/settings", json={"encryption_password": PASSWORD})
        answer = await admin.post("/kleidia/api/backup/trigger", json={"type": "vault"})
        assert answer.headers["Location"] == f"/kleidia/api/backup/jobs/{answer.json()['id']}"
        assert "/kleidia/openapi.json" in (await admin.get("/kleidia/docs")).text
    with pytest.raises(Exception, match="pool"):
        await service.jobs.page()
