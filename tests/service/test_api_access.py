"""Who may what, route by route; and what surrounds every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from kleidia_backup.config.login.grants import ROLES, Grant
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.identity.auth import actions_of
from kleidia_backup.service.api.identity.roles import NEEDS, Principal, allowed, cancelling, role_on
from kleidia_backup.service.api.metrics import MetricsAccess
from kleidia_backup.service.api.routes.shared import DEFAULT, EACH
from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, asking, bearer

pytestmark = pytest.mark.anyio

_KEY = "backups/backup-full-20200101-000000.enc"


@dataclass(frozen=True)
class Row:
    """One route, a request for it, and the status that nobody, a viewer and an administrator get.

    None: the administrator's depends on the moment, and another test has it.
    """

    method: str
    path: str
    nobody: int
    viewer: int
    admin: int | None
    body: Any = None

    @property
    def asked(self) -> str:
        return self.path.replace("{key:path}", _KEY).replace("{id}", "999999").replace("{name}", "swagger-ui.css")


#: They look at the token themselves, for there is another way in, or what they show is chosen by it.
_CHECKED_INSIDE = {"/metrics", "/api/targets"}
#: Every route of the app, those of each target once.
TABLE = (
    Row("POST", "/api/backup/trigger", 401, 403, 202),
    Row("GET", "/api/backup/list", 401, 200, 200),
    Row("GET", "/api/backup/copies", 401, 200, 200),
    Row("POST", "/api/backup/copies/sync", 401, 403, 202),
    Row("DELETE", "/api/backup/{key:path}", 401, 403, 404),
    Row("GET", "/api/backup/test-connection", 401, 403, 200),
    Row("POST", "/api/backup/test-connection", 401, 403, 200, {}),
    Row("GET", "/api/backup/download/{key:path}", 401, 403, 404),
    Row("POST", "/api/backup/verify", 401, 403, 404, {"key": _KEY, "password": "p"}),
    Row("POST", "/api/backup/drill", 401, 403, 404, {"key": _KEY}),
    Row("GET", "/api/backup/archive/{key:path}", 401, 403, 404),
    Row("POST", "/api/backup/restore/undo", 401, 403, None),  # 202, or 409 while the first row's backup runs
    Row("POST", "/api/backup/restore/dismiss", 401, 403, None),
    Row("POST", "/api/backup/restore", 401, 403, 404, {"key": _KEY, "password": "p"}),
    Row("POST", "/api/backup/restore/validate-password", 401, 403, 404, {"key": _KEY, "password": "p"}),
    Row("GET", "/api/backup/restore/status", 401, 200, 200),
    Row("POST", "/api/backup/contents", 401, 403, 404, {"key": _KEY}),
    Row("POST", "/api/backup/diff", 401, 403, 404, {"key": _KEY}),
    Row("POST", "/api/backup/restore/dry-run", 401, 403, 404, {"key": _KEY, "password": "p"}),
    Row("GET", "/api/backup/inspections/{id}", 401, 403, 404),
    Row("DELETE", "/api/backup/inspections/{id}", 401, 403, 404),
    Row("GET", "/api/backup/drills", 401, 200, 200),
    Row("GET", "/api/backup/drills/{id}", 401, 404, 404),
    Row("GET", "/api/backup/drills/{id}/evidence", 401, 404, 404),
    Row("GET", "/api/backup/schedule/next", 401, 200, 200),
    Row("GET", "/api/backup/statistics", 401, 200, 200),
    Row("GET", "/api/backup/jobs", 401, 200, 200),
    Row("GET", "/api/backup/jobs/running", 401, 200, 200),
    Row("GET", "/api/backup/jobs/{id}", 401, 404, 404),
    Row("POST", "/api/backup/jobs/{id}/cancel", 401, 403, 404),
    Row("GET", "/api/backup/settings", 401, 200, 200),
    Row("PUT", "/api/backup/settings", 401, 403, 200, {}),
    Row("GET", "/api/backup/audit", 401, 200, 200),
    Row("GET", "/api/backup/pins", 401, 200, 200),
    Row("POST", "/api/backup/pins/{key:path}", 401, 403, 404),
    Row("DELETE", "/api/backup/pins/{key:path}", 401, 403, 404),
    Row("GET", "/api/backup/retention/preview", 401, 403, 200),
    Row("POST", "/api/backup/notifications/test", 401, 403, 200),
    Row("GET", "/api/targets", 401, 200, 200),
    Row("GET", "/login", 303, 303, 303),
    Row("GET", "/login/callback", 404, 404, 404),
    Row("POST", "/logout", 303, 303, 303),
    Row("GET", "/healthz", 200, 200, 200),
    Row("GET", "/readyz", 200, 200, 200),
    Row("GET", "/metrics", 401, 200, 200),
    Row("GET", "/openapi.json", 200, 200, 200),
    Row("GET", "/docs", 200, 200, 200),
    Row("GET", "/docs/start.js", 200, 200, 200),
    Row("GET", "/docs/{name}", 200, 200, 200),
)


@pytest.fixture
async def app(service: Service) -> FastAPI:
    return create_app(service)


def _routes(app: FastAPI) -> Iterator[tuple[str, str, BaseRoute]]:
    """The API's: those of the page call the functions of these, and have a test of their own (test_page.py)."""
    for context in iter_route_contexts(app.routes):
        if getattr(context.original_route, "endpoint", _routes).__module__.startswith("kleidia_backup.service.web."):
            continue
        for method in (context.methods or set()) - {"HEAD"}:
            assert context.path is not None
            yield method, context.path, context.original_route


async def test_every_route_has_a_row(app: FastAPI) -> None:
    """A new route fails here until the table says who may use it."""
    routes = {(method, path) for method, path, _ in _routes(app)}
    of_each = {(method, path.replace(EACH, DEFAULT, 1)) for method, path in routes if path.startswith(EACH)}
    assert of_each == {(method, path) for method, path in routes if path.startswith(DEFAULT)}  # of each target the same
    assert {each for each in routes if not each[1].startswith(EACH)} == {(row.method, row.path) for row in TABLE}


async def test_every_route_has_an_action(app: FastAPI) -> None:
    """What a token is asked for says what it is for, and the table of actions says who may do that."""
    found = {}
    for method, path, route in _routes(app):
        found[method, path] = actions_of(route) if isinstance(route, APIRoute) else []
    for row in TABLE:
        for path in {row.path, row.path.replace(DEFAULT, EACH, 1)}:
            if row.nobody != 401 or row.path in _CHECKED_INSIDE:
                assert found[row.method, path] == [], row
            else:
                (action,) = found[row.method, path]
                assert (NEEDS[action] == "viewer") == (row.viewer != 403), row
    assert {method + path for (method, path), actions in found.items() if "cancel" in actions} == {
        f"POST{base}/jobs/{{id}}/cancel" for base in (DEFAULT, EACH)
    }


def test_what_roles_may() -> None:
    """Each role what the ones below may, for all targets or for those that are granted; nobody what is not granted."""
    eve = Principal("1", "Eve", None, (Grant("a", "admin", ("vienna",)), Grant("b", "viewer", ("*",))))
    assert [role_on(eve, target) for target in ("vienna", "graz")] == ["admin", "viewer"]
    assert role_on(Principal("2", "Bob", "operator", (Grant("a", "viewer", ("vienna",)),)), "vienna") == "operator"
    may = {role: {each for each in NEEDS if allowed(Principal("3", "C", role), each, "any")} for role in ROLES}
    assert may["viewer"] == {"read"}
    assert may["operator"] - may["viewer"] == {"backup", "verify", "drill", "cancel"}
    assert may["admin"] == {*NEEDS}
    assert [each for each in NEEDS if allowed(Principal("4", "D", None), each, "any")] == []
    assert [cancelling(kind) for kind in ("backup", "verify", "drill", "restore", "undo")] == [
        *["cancel"] * 3,
        *["cancel-any"] * 2,
    ]


async def test_nobody_a_viewer_and_an_administrator(app: FastAPI) -> None:
    """Each route with no token, a viewer's and an administrator's; a refused one changes nothing."""
    async with asking(app, None) as nobody, asking(app, "viewer") as viewer, asking(app) as admin:
        for row in TABLE:
            for client, expected in ((nobody, row.nobody), (viewer, row.viewer), (admin, row.admin)):
                if expected is None:
                    continue
                answer = await client.request(row.method, row.asked, json=row.body)
                assert answer.status_code == expected, (row, expected, answer.text)
                if expected >= 400:
                    assert answer.headers["Content-Type"] == MEDIA_TYPE
                    assert {"type", "title", "status", "detail", "instance", "next_step"} <= answer.json().keys()
                    assert answer.json()["next_step"]
                    assert answer.json()["instance"] == row.asked
        jobs = (await admin.get("/api/backup/jobs")).json()["jobs"]
        assert len(jobs) == 1  # the administrator's


async def test_a_token_is_looked_at_before_anything_else(app: FastAPI) -> None:
    """With JSON that cannot be used or read, or none, the answer without a token is 401, not what is expected."""
    json = {"Content-Type": "application/json"}
    async with asking(app, None) as nobody, asking(app, "viewer") as viewer:
        for row in TABLE:
            if row.nobody == 401:
                bodies: tuple[Any, ...] = (None, {"canary": 1}, [])
                for body in bodies:
                    answer = await nobody.request(row.method, row.asked, json=body)
                    assert answer.status_code == 401, row
                answer = await nobody.request(row.method, row.asked, content=b'{"canary', headers=json)
                assert (answer.status_code, "invalid" in answer.json()) == (401, False), row
                if row.viewer == 403:
                    answer = await viewer.request(row.method, row.asked, content=b'{"canary', headers=json)
                    assert answer.status_code == 403, row


async def test_a_body_is_not_read_before_the_token(app: FastAPI) -> None:
    """Whoever has no token has nothing read of what is sent, be it endless: no POST, no PUT asks for it."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" "

    async with asking(app, None) as nobody:
        for row in TABLE:
            if row.method in {"POST", "PUT"}:
                answer = await nobody.request(row.method, row.asked, content=endless())
                assert (answer.status_code, read) == (row.nobody, 0), row


async def test_answers_are_kept_nowhere_and_framed_by_nobody(app: FastAPI) -> None:
    """Security headers on every answer, errors too; no CORS."""
    async with asking(app, None) as nobody:
        for path in ("/healthz", "/api/backup/jobs", "/nothing"):
            answer = await nobody.get(path, headers={"Origin": "https://evil.example"})
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        answer = await nobody.options("/api/backup/trigger", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 405


async def test_what_the_framework_refuses_is_a_problem_too(app: FastAPI) -> None:
    """404, 405, 413, 422 and unreadable JSON have the same form, and repeat nothing of the request."""
    async with asking(app) as admin:
        long = b'{"type": "' + b"canary" * 300_000 + b'"}'

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(long), 65536):
                yield long[start : start + 65536]

        json = {"Content-Type": "application/json"}
        for answer, status in (
            (await admin.get("/api/nothing"), 404),
            (await admin.patch("/api/backup/jobs"), 405),
            (await admin.get("/api/backup/nothing"), 405),
            (await admin.post("/api/backup/trigger", content=long, headers=json), 413),
            (await admin.post("/api/backup/trigger", content=pieces(), headers=json), 413),
            (await admin.post("/api/backup/trigger", content=b'{"type": canary', headers=json), 422),
            (await admin.post("/api/backup/trigger", content=b'{"type": "\x80canary"}', headers=json), 400),
            (await admin.post("/api/backup/trigger", data={"type": "canary"}), 422),
            (await admin.post("/api/backup/trigger", json={"type": "canary"}), 422),
            (await admin.post("/api/backup/trigger", json=["canary"]), 422),
            (await admin.post("/api/backup/trigger", content=b'{"\\ud800": "canary"}', headers=json), 422),
            (await admin.post("/api/backup/restore", content=b'{"key": "\\ud800canary"}', headers=json), 422),
            (await admin.post("/api/backup/restore", content=b'{"key": "a\\u0000canary"}', headers=json), 422),
            (await admin.get("/api/backup/jobs/99999999999999999999"), 422),
            (await admin.get("/api/backup/jobs/canary"), 422),
        ):
            assert (answer.status_code, answer.headers["Content-Type"]) == (status, MEDIA_TYPE), answer.text
            assert answer.json()["status"] == status
            assert "canary" not in answer.text.replace(answer.json()["instance"], "")
        assert "Allow" in (await admin.patch("/api/backup/jobs")).headers
        named = (await admin.post("/api/backup/trigger", json={"type": 5, "tpye": 6})).json()["invalid"]
        assert sorted(each["field"] for each in named) == ["body.(unknown)", "body.type"]


async def test_the_unexpected_shows_nothing(app: FastAPI, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is answered with 500 and an id, under which it is logged without its text."""
    logged: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **values: Any) -> None:
            logged.append(values | {"event": event})

    async def bug(*_: object, **__: object) -> None:
        raise ValueError("canary-of-an-inside")

    monkeypatch.setattr(service.jobs, "running", bug)
    monkeypatch.setattr("kleidia_backup.service.api.middleware.structlog.get_logger", lambda *_: Log())
    async with asking(create_app(service)) as admin:
        answer = await admin.get("/api/backup/jobs/running")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, MEDIA_TYPE)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (entry,) = logged
    assert entry["incident"] == answer.json()["incident"]
    assert entry["error"] == "ValueError"
    assert "canary" not in answer.text + str(entry)


async def test_readiness_is_the_database(app: FastAPI, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its database a replica is alive and not ready; every other route says 503 with a next step."""
    async with asking(app) as admin:
        assert (await admin.get("/readyz")).status_code == 200
        await service.control._pool.close()
        monkeypatch.setattr(service.control._pool, "timeout", 0.2)
        assert (await admin.get("/healthz")).status_code == 200
        for path in ("/readyz", "/api/backup/jobs", "/metrics"):
            answer = await admin.get(path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (503, MEDIA_TYPE), answer.text
            assert answer.json()["next_step"]


async def test_the_page_of_the_document_needs_nobody_else(app: FastAPI) -> None:
    """/docs loads its script and its style from here, and a policy keeps it so."""
    async with asking(app, None) as nobody:
        page = await nobody.get("/docs")
        assert "://" not in page.text
        assert "script-src 'self';" in page.headers["Content-Security-Policy"]
        assert b"SwaggerUIBundle" in (await nobody.get("/docs/swagger-ui-bundle.js")).content
        assert (await nobody.get("/docs/start.js")).headers["Content-Type"].startswith("text/javascript")
        assert (await nobody.get("/docs/..%2f__init__.py")).status_code == 404


async def test_metrics_are_for_those_with_a_token(service: Service) -> None:
    """A role, the metrics' own token, or anybody where that is configured."""
    own = "metrics-token-of-prometheus"
    async with asking(create_app(service, metrics_access=MetricsAccess(token=own)), None) as nobody:
        assert (await nobody.get("/metrics")).status_code == 401
        assert (await nobody.get("/metrics", headers={"Authorization": f"Bearer {own}"})).status_code == 200
        assert (await nobody.get("/metrics", headers={"Authorization": f"Bearer {own}x"})).status_code == 401
        assert (await nobody.get("/metrics", headers=bearer("viewer"))).status_code == 200
        assert (await nobody.get("/api/backup/jobs", headers={"Authorization": f"Bearer {own}"})).status_code == 401
    async with asking(create_app(service, metrics_access=MetricsAccess(public=True)), None) as nobody:
        assert (await nobody.get("/metrics")).status_code == 200
    with pytest.raises(ValueError, match="16"):
        MetricsAccess(token="short")
    assert own not in repr(MetricsAccess(token=own))
