"""No secret in what is written or answered: every one is planted where it belongs, and looked for elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from psycopg import sql

from kleidia_backup import PostgresSettings, TokenAuth
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import Bucket, KvMount, OpenBaoServer
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.openapi import FILE
from kleidia_backup.service.service import Service

from ..databases import without_sessions
from .asking import JWT_SECRET, asking, backed_up, ended, token

pytestmark = pytest.mark.anyio

#: The secrets that are ours to choose. Others (the vault's token, the S3 server's key) are their servers'.
ENCRYPTION = "canary-encryption-0f2a"
RESTORE = "canary-restore-71bc"
GUESS = "canary-guess-93de"
WRONG_S3 = "canary-s3-wrong-55aa"
DATABASE = "canary-database-c4c4"
STORED = "canary-application-secret-e1e1"


class Everything:
    """All that was answered and logged."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def keep(self, response: httpx.Response) -> None:
        await response.aread()
        self.texts.append(f"{response.request.url} {response.status_code} {response.headers} {response.text}")

    def log(self, _: Any, __: str, event: Any) -> Any:
        self.texts.append(f"log: {event!r}")
        raise structlog.DropEvent


@pytest.fixture
def everything() -> Iterator[Everything]:
    """Collects what is logged through structlog; answers are added by the clients."""
    found = Everything()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.format_exc_info, found.log])
    yield found
    structlog.configure(**before)


@pytest.fixture
def planted(
    service_settings: ServiceSettings, application: str, kv: KvMount, openbao_server: OpenBaoServer
) -> Iterator[ServiceSettings]:
    """Settings whose database password and vault token are known to no other test."""
    kv.put("app/canary", {"value": STORED})
    role = f"canary_{kv.path.replace('-', '_')}"
    with psycopg.connect(application, autocommit=True) as connection:
        name = sql.Identifier(role)
        connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(name, DATABASE))
        assert isinstance(service_settings.database, PostgresSettings)
        made = psycopg.conninfo.make_conninfo(application, user=role, password=DATABASE)
        postgres = replace(service_settings.database, conninfo=made)
        yield replace(service_settings, control=postgres, database=postgres)
        connection.execute(without_sessions(role).encode())
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


async def test_no_secret_is_told(
    planted: ServiceSettings,
    everything: Everything,
    rclone_bucket: Bucket,
    application: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A service's life, with failures of every kind; then answers, logs, tables and the document are searched."""
    caplog.set_level(logging.DEBUG)
    server = rclone_bucket.server
    s3 = {
        "endpoint": server.endpoint,
        "region": server.region,
        "bucket": rclone_bucket.name,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
        "path_style": True,
    }
    allowed = (f"{server.endpoint}/{rclone_bucket.name}",)  # it is restored from by a password in the request
    async with Service(replace(planted, allowed_endpoints=allowed)) as service:
        app = create_app(service)
        async with asking(app) as admin, asking(app, None) as nobody:
            admin.event_hooks = nobody.event_hooks = {"response": [everything.keep]}
            await _live(admin, s3)
            await _be_refused(nobody, admin)
            await _break(admin, service, application)
            for path in ("jobs", "audit", "settings", "restore/status", "jobs/running", "list"):
                assert (await admin.get(f"/api/backup/{path}?limit=1000")).status_code == 200
            assert (await admin.get("/metrics")).status_code == 200
            assert (await admin.get("/openapi.json")).status_code == 200
        url_secret = server.secret_key
        chain_key = (await service.secrets.chain_key(create=False)).key.hex()
    written = _tables(application)
    assert isinstance(planted.vault.auth, TokenAuth)
    secrets = {
        "encryption password": ENCRYPTION,
        "restore's password": RESTORE,
        "guessed password": GUESS,
        "S3 secret key": url_secret,
        "wrong S3 secret key": WRONG_S3,
        "database password": DATABASE,
        "vault token": planted.vault.auth.token,
        "JWT secret": JWT_SECRET,
        "audit log's key": chain_key,
        "application's secret": STORED,
    }
    captured = capfd.readouterr()
    places = {
        "answers and logs": "\n".join(everything.texts),
        "library logs": caplog.text,
        "output": captured.out + captured.err,
        "tables": written,
        "document": FILE.read_text(encoding="utf-8"),
        "reprs": repr(planted) + repr(service.__dict__),
    }
    assert len(everything.texts) > 40
    assert any(text.startswith("log: ") for text in everything.texts)
    assert "login.refused" in written
    for where, text in places.items():
        for what, secret in secrets.items():
            for form in (secret, json.dumps(secret)[1:-1], secret.encode().hex()):
                assert form not in text, f"the {what} is in the {where}"
    tokens = [text for text in (places["tables"], places["output"], places["library logs"]) if "eyJ" in text]
    assert not tokens, "a token was kept"


async def _live(admin: httpx.AsyncClient, s3: dict[str, Any]) -> None:
    """What goes well: settings, tests, a backup, a download, a restore."""
    change = s3 | {"encryption_password": RESTORE}
    assert (await admin.put("/api/backup/settings", json=change)).status_code == 200
    assert (await admin.get("/api/backup/test-connection")).json()["ok"] is True
    job = await backed_up(admin)
    assert (await admin.put("/api/backup/settings", json={"encryption_password": ENCRYPTION})).status_code == 200
    assert (await admin.get(f"/api/backup/download/{job['archive']}")).status_code == 200
    body = {"key": job["archive"], "password": GUESS}
    assert (await admin.post("/api/backup/restore/validate-password", json=body)).json()["valid"] is False
    body["password"] = RESTORE
    assert (await admin.post("/api/backup/restore/validate-password", json=body)).json()["valid"] is True
    answer = await admin.post("/api/backup/restore", json=body)
    assert answer.status_code == 202
    assert (await ended(admin, answer.json()["id"]))["status"] == "completed"


async def _be_refused(nobody: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    """Requests that cannot be used, with secrets at every place where one might be put by mistake."""
    for bad in (
        "rubbish." + GUESS,
        token(secret=GUESS + "-with-more-than-32-bytes"),
        token(exp=1),
        token(aud="somebody"),
        GUESS,
    ):
        answer = await nobody.get("/api/backup/jobs", headers={"Authorization": f"Bearer {bad}"})
        assert answer.status_code == 401
    json_type = {"Content-Type": "application/json"}
    assert (await nobody.get("/api/backup/jobs", headers={"Authorization": f"Basic {GUESS}"})).status_code == 401
    for body in (
        {"key": GUESS + "\n", "password": GUESS},
        {"key": "k", "password": {"nested": GUESS}},
        {"key": "k", "password": [GUESS]},
        {"key": "k", "password": GUESS * 200},
        {"key": "k", "password": GUESS, "only": GUESS},
        {"key": "k", "password": GUESS, "prune": GUESS},
        {"key": {GUESS: 1}, "password": GUESS},
        [GUESS],
        GUESS,
    ):
        for path in ("restore", "restore/validate-password"):
            answer = await admin.post(f"/api/backup/{path}", json=body)
            assert answer.status_code == 422, answer.text
    for content in (f'{{"password": {GUESS}'.encode(), GUESS.encode(), b"\x80" + GUESS.encode()):
        answer = await admin.post("/api/backup/restore", content=content, headers=json_type)
        assert answer.status_code in {400, 422}
    form = {"key": "k", "password": GUESS}
    assert (await admin.post("/api/backup/restore", data=form)).status_code == 422
    for wrong in ({"secret_access_key": WRONG_S3 + "\n"}, {"encryption_password": GUESS + "\0"}, {"timezone": GUESS}):
        answer = await admin.put("/api/backup/settings", json=wrong)
        assert answer.status_code == 422, answer.text
    with_key = {"endpoint": f"https://user:{GUESS}@s3.example.org", "secret_access_key": WRONG_S3}
    assert (await admin.post("/api/backup/test-connection", json=with_key)).status_code == 422
    answer = await admin.post("/api/backup/test-connection", json={"secret_access_key": WRONG_S3})
    assert answer.json()["ok"] is False


async def _break(admin: httpx.AsyncClient, service: Service, application: str) -> None:
    """Jobs that fail: a wrong password, a store that refuses the key; and an error that nobody expected."""
    *_, archive = (await admin.get("/api/backup/list")).json()["backups"]  # the others were made before restores
    answer = await admin.post("/api/backup/restore", json={"key": archive["key"], "password": GUESS})
    assert (await ended(admin, answer.json()["id"]))["status"] == "failed"
    right = (await service.settings.store()).secret_access_key  # type: ignore[union-attr]  # S3, in this test
    assert (await admin.put("/api/backup/settings", json={"secret_access_key": WRONG_S3})).status_code == 200
    job = (await admin.post("/api/backup/trigger")).json()
    failed = await ended(admin, job["id"])
    assert (failed["status"], bool(failed["error"]), bool(failed["next_step"])) == ("failed", True, True)
    assert (await admin.get("/api/backup/list")).status_code in {502, 503}
    assert (await admin.put("/api/backup/settings", json={"secret_access_key": right})).status_code == 200

    async def bug(*_: object, **__: object) -> None:
        raise ValueError(f"{GUESS} {right} {ENCRYPTION}")

    running, service.jobs.running = service.jobs.running, bug  # type: ignore[method-assign, assignment]  # a bug
    assert (await admin.get("/api/backup/jobs/running")).status_code == 500
    service.jobs.running = running  # type: ignore[method-assign]  # as it was


def _tables(application: str) -> str:
    """Every row of every table of the control schema, the queue's too."""
    with psycopg.connect(application) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'kleidia_backup'").fetchall()
        assert len(names) > 8
        rows = []
        for (name,) in names:
            rows += connection.execute(
                sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier("kleidia_backup", name))
            ).fetchall()
    return "\n".join(text for (text,) in rows)
