"""Who may do what at the page: what the API lets them, and only from our own pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from kleidia_backup.config.login.grants import Grant
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.identity.auth import actions_of, authenticated
from kleidia_backup.service.control.audit import AuditEntry
from kleidia_backup.service.control.logins.sessions import Sessions
from kleidia_backup.service.service import Service

from .asking import asking, backed_up, token
from .conftest import PASSWORD, new_backup
from .test_embedding import by_session

pytestmark = pytest.mark.anyio

_WEB = "kleidia_backup.service.web."
#: What each form calls, and the pages that show: method and path of the page, then of the API.
_CALLS = {
    "GET /history": "GET /jobs",
    "GET /history/running": "GET /jobs/running",
    "POST /history/backup": "POST /trigger",
    "GET /jobs/{id}": "GET /jobs/{id}",
    "POST /jobs/{id}/cancel": "POST /jobs/{id}/cancel",
    "GET /audit": "GET /audit",
    "GET /audit.csv": "GET /audit",
    "POST /restore/undo": "POST /restore/undo",
    "POST /restore/dismiss": "POST /restore/dismiss",
    "POST /settings/notify": "POST /notifications/test",
    "GET /restore": "GET /list",
    "GET /restore/archive": "POST /restore",
    "POST /restore/validate": "POST /restore/validate-password",
    "POST /restore/start": "POST /restore",
    "POST /restore/preview": "POST /restore/dry-run",
    "POST /restore/contents": "POST /contents",
    "GET /inspections/{id}": "GET /inspections/{id}",
    "GET /restore/compare": "POST /diff",
    "POST /restore/compare": "POST /diff",
    "GET /jobs/{id}/report": "GET /jobs/{id}",
    "POST /restore/verify": "POST /verify",
    "POST /restore/drill": "POST /drill",
    "POST /restore/download": "GET /download/{key:path}",
    "GET /restore/delete": "DELETE /{key:path}",
    "POST /restore/delete": "DELETE /{key:path}",
    "POST /restore/pin": "POST /pins/{key:path}",
    "POST /restore/unpin": "DELETE /pins/{key:path}",
    "GET /settings": "GET /settings",
    "POST /settings": "PUT /settings",
    "POST /settings/test": "POST /test-connection",
    "POST /settings/retention": "GET /retention/preview",
}
#: Shown to whoever has a role on any target, as GET /api/targets; and to everybody.
_ANYBODY = {"GET /", "GET /targets", "GET /switch"}
_PUBLIC = {"GET /login/token", "POST /login/token", "GET /static/{name}"}


def _routes(service: Service, *, web: bool) -> Iterator[tuple[str, BaseRoute]]:
    for context in iter_route_contexts(create_app(service).routes):
        found = getattr(context.original_route, "endpoint", _routes).__module__.startswith(_WEB)
        for method in (context.methods or set()) - {"HEAD"}:
            if found is web:
                yield f"{method} {context.path}", context.original_route


async def test_every_view_asks_for_the_right_of_the_call_behind_it(service: Service) -> None:
    """For the default target and for each. A new view fails here until it is said what it calls, or who sees it."""
    api = {name: actions_of(route) for name, route in _routes(service, web=False) if isinstance(route, APIRoute)}
    seen = set()
    for name, route in _routes(service, web=True):
        assert isinstance(route, APIRoute)
        method, path = name.split(" ")
        own = f"{method} {path.removeprefix('/targets/{target}')}"
        seen.add(own)
        calls = {each.call for each in route.dependant.dependencies}
        if own in _PUBLIC:
            assert actions_of(route) == [], name
        elif own in _ANYBODY:
            assert (actions_of(route), authenticated in calls) == ([], True), name
        else:
            verb, _, called = _CALLS[own].partition(" ")
            base = "/api/targets/{target}/backup" if own != name else "/api/backup"
            assert actions_of(route) == api[f"{verb} {base}{called}"] != [], name
    assert seen == {*_CALLS} | _ANYBODY | _PUBLIC


async def _sent(client: httpx.AsyncClient, path: str, site: str = "same-origin", **fields: str) -> httpx.Response:
    headers = {"Sec-Fetch-Site": site, "Content-Type": "application/x-www-form-urlencoded"}
    return await client.post(path, content=urlencode(fields), headers=headers)


async def test_a_foreign_form_does_nothing_with_the_login_of_a_host(service: Service) -> None:
    """The host knows people by a cookie of its own, of which we know nothing: a form must come from our pages."""
    app = create_app(service, authenticate=by_session)
    async with asking(app, None, Cookie="session=s-ada") as ada:
        job = await service.jobs.create(new_backup())
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            for path in ("/history/backup", f"/jobs/{job.id}/cancel", "/settings", "/restore/delete"):
                answer = await ada.post(path, content="", headers=form | headers)
                assert (answer.status_code, "another site" in answer.text) == (403, True), (path, headers)
        assert "another site" in (await service.audit.page(action="login.refused"))[0].details
        assert (await service.jobs.page(limit=9))[0].cancelled_by is None
        # A browser that sends no Sec-Fetch-Site sends the origin, if the page lets it.
        shown = await ada.get("/history")
        assert shown.headers["Referrer-Policy"] == "same-origin"
        answer = await ada.post(f"/jobs/{job.id}/cancel", content="", headers=form | {"Origin": "http://api"})
        assert answer.status_code == 303


async def test_a_form_says_no_more_than_the_api_takes(service: Service) -> None:
    """Names with line breaks or none at all, numbers without end; the reason of a restore is kept; a link to fetch."""
    async with asking(create_app(service)) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        key = (await backed_up(admin))["archive"]
        for path in ("pin", "unpin", "download", "delete", "contents", "verify", "validate", "preview"):
            for bad in ("a\x00b", "a\nb", "k" * 2000):
                answer = await _sent(admin, f"/restore/{path}", key=bad, confirm=bad, password=PASSWORD)
                assert (answer.status_code, "key" in answer.text) == (422, True), (path, answer.text)
        long = await _sent(admin, "/settings", retention_days="9" * 5000, version="9" * 5000)
        assert (long.status_code, "retention_days" in long.text) == (422, True)
        for base in ("", "/targets/app"):
            offered = await _sent(admin, f"{base}/restore/download", key=key)
            (link,) = re.findall(r'href="([^"]*/archive/[^"]*)"', offered.text)
            fetched = await admin.get(link)
            assert (fetched.status_code, fetched.content[:4]) == (200, b"KLEI"), link
        started = await _sent(admin, "/restore/start", key=key, confirm="app", reason="case <7>", only="vault")
        assert started.status_code == 303, started.text
        job = (await service.jobs.page(limit=1, kind="restore"))[0]
        assert job.options["reason"] == "case <7>"
        await _sent(admin, f"/jobs/{job.id}/cancel")

        # The page's calls are counted with the API's.
        wanted = {"key": "none.enc", "password": "x"}
        for _ in range(5):
            assert (await admin.post("/api/backup/restore/validate-password", json=wanted)).status_code == 404
            assert (await _sent(admin, "/restore/validate", **wanted)).status_code == 404
        many = await _sent(admin, "/restore/validate", **wanted)
        assert (many.status_code, "Retry-After" in many.headers) == (429, True)


class TestSomeTargets:
    """Whoever has a role on some targets alone."""

    @pytest.fixture
    def service_settings(self, service_settings: ServiceSettings) -> ServiceSettings:
        """The group staff looks at another target, the group near at this one."""
        grants = (Grant("staff", "viewer", ("elsewhere",)), Grant("near", "viewer", ("app",)))
        return replace(service_settings, grants=grants)

    async def test_the_page_shows_the_targets_that_the_api_does(self, service: Service) -> None:
        """The overview is for all of them, and has theirs alone; the rest says nothing of the others."""
        app = create_app(service)
        async with asking(app, "staff") as elsewhere, asking(app, "near") as near:
            assert (await elsewhere.get("/")).headers["Location"] == "/targets"
            assert (await near.get("/")).headers["Location"] == "/history"
            shown = await elsewhere.get("/targets")
            assert (shown.status_code, "0 systems" in shown.text, ">app<" in shown.text) == (200, True, False)
            assert ">app<" in (await near.get("/targets")).text
            for path in ("/history", "/targets/app/history", "/targets/app/jobs/1", "/settings", "/audit"):
                refused = await elsewhere.get(path)
                assert (refused.status_code, "Last success" in refused.text) == (403, False), path
                assert (await near.get(path)).status_code in {200, 404}, path
            # Nobody learns which other targets there are.
            unknown, known = [
                re.sub(r"/targets/[a-z]*", "", (await elsewhere.get(f"/targets/{name}/history")).text)
                for name in ("nobody", "app")
            ]
            assert unknown == known


async def test_what_a_page_asks_for_by_itself_keeps_no_session_alive(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a job runs before which somebody has left; and a link, or a login, leads to every view."""
    uses = []
    find = Sessions.find

    async def noting(self: Sessions, session: str, *, uses_: bool) -> object:
        uses.append(uses_)
        return await find(self, session, uses=uses_)

    monkeypatch.setattr(Sessions, "find", lambda self, session, *, uses: noting(self, session, uses_=uses))
    job = await service.jobs.create(new_backup())
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://api") as person:
        assert (await person.post("/logout", headers={"Sec-Fetch-Site": "cross-site"})).headers.get(
            "Set-Cookie"
        ) is None
        assert (await _sent(person, "/login/token", token=token(), next="/")).status_code == 303
        part = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}
        for path in ("/history/running", f"/jobs/{job.id}"):
            assert (await person.get(path, headers=part)).status_code == 200
        assert (await person.get(f"/jobs/{job.id}")).status_code == 200
        # As after a login at the provider.
        led = await person.get("/restore/archive?key=a.enc", headers={"Sec-Fetch-Site": "cross-site"})
        assert led.status_code == 200
        assert (await _sent(person, "/history/backup", "cross-site")).status_code == 403
    assert uses[:4] == [False, False, True, True]


async def test_a_login_that_cannot_be_is_a_page(service: Service) -> None:
    """A form that is none; and a vault that has nothing with which tokens are signed."""
    async with asking(create_app(service), None) as nobody:
        answer = await nobody.post(
            "/login/token",
            content=b"token=%ff",
            headers={"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (answer.status_code, "Log in with the token" in answer.text) == (400, True)
        service.config = replace(service.config, jwt_path="nothing/here")
    async with asking(create_app(service), None) as nobody:
        pasted = token()
        answer = await _sent(nobody, "/login/token", token=pasted)
        assert (answer.status_code, "Log in with the token" in answer.text, pasted in answer.text) == (409, True, False)
        assert "Set-Cookie" not in answer.headers


async def test_whatever_is_told_is_text(service: Service) -> None:
    """What people and stores left in the control database is never read as a part of a page."""
    evil = "\"><script>alert(1)</script>'{{ 7*7 }}"
    job = await service.jobs.create(new_backup(archive=f"{evil}.enc", requested_by_name=evil))
    await service.audit.write(AuditEntry(action=evil, user_name=evil, workstation=evil, archive=evil, details=evil))
    async with asking(create_app(service), "admin", **{"X-Workstation": evil}) as admin:
        for path in ("/history", f"/jobs/{job.id}", "/audit", f"/restore/delete?{urlencode({'key': evil})}"):
            shown = await admin.get(path)
            assert shown.status_code == 200, path
            assert ("<script>alert" in shown.text, "&lt;script&gt;alert" in shown.text) == (False, True), path
            assert "{{ 7*7 }}" in shown.text, path
        for chosen, found in (("kind=&status=", True), ("kind=backup&status=", True), ("kind=drill&status=", False)):
            listed = await admin.get(f"/history?{chosen}")  # as the form above the list sends it
            assert (listed.status_code, "&lt;script&gt;alert(1)&lt;/script&gt;" in listed.text.split("<table")[1]) == (
                200,
                found,
            )
