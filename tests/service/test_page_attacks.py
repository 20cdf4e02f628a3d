"""What an attacker tries at the page: with names, foreign pages, frames, caches, addresses and old sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import anyio
import httpx
import psycopg
import pytest
from fastapi.routing import iter_route_contexts
from psycopg import sql

from kleidia_backup.config.login.grants import Grant
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control.audit import AuditEntry
from kleidia_backup.service.service import Service

from .asking import asking, backed_up, token
from .conftest import PASSWORD, new_backup

pytestmark = pytest.mark.anyio

EVIL = "\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
#: What the text of a view always has of it when it was written as text.
AS_TEXT = "&gt;&lt;img src=x onerror=alert(1)&gt;{{ 7*7 }}"
#: A job that says nothing else.
SAID = """
UPDATE kleidia_backup.jobs SET status = 'failed', error = %(evil)s, hint = %(evil)s, cancelled_by = %(evil)s,
    warnings = jsonb_build_array(%(evil)s::text), phase = %(evil)s, archive = %(evil)s, checksum = %(evil)s,
    options = jsonb_build_object('reason', %(evil)s::text),
    report = jsonb_build_object(%(evil)s::text, %(evil)s::text, 'seconds', jsonb_build_object(%(evil)s::text, 1))
WHERE id = %(id)s
"""
_WEB = "kleidia_backup.service.web."
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN = FORM | {"Sec-Fetch-Site": "same-origin"}


class Elements(HTMLParser):
    """Every element of a page, as a browser takes it: its name and its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def harmless(text: str) -> None:
    """No element that a name brought, no script but our files, nothing that runs or leads elsewhere."""
    for tag, attributes in Elements(text).found:
        assert tag not in {"img", "iframe", "object", "style", "base"}, tag
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, attributes
        assert tag != "script" or attributes["src"].startswith("/static/")
        for name in ("href", "action", "formaction", "hx-get", "hx-post"):
            assert attributes.get(name, "/").startswith(("/", "#")), attributes
            assert not attributes.get(name, "/").startswith("//"), attributes


@pytest.fixture
def service_settings(service_settings: ServiceSettings, application: str, kv: KvMount) -> ServiceSettings:
    """Everything that has a name has an evil one: a table, a secret, the environment."""
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} (id int)").format(sql.Identifier(EVIL[:60])))
    kv.put(f"app/{EVIL}", {"value": "x"})
    return replace(service_settings, environment=EVIL)


@pytest.fixture
async def admin(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator with an evil name, at an evil workstation."""
    headers = {"Authorization": f"Bearer {token('admin', name=EVIL)}", "X-Workstation": EVIL}
    async with asking(create_app(service), None, **headers) as client:
        assert (await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})).status_code == 200
        yield client


@asynccontextmanager
async def _browser(service: Service, cookies: httpx.Cookies | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Something with cookies and no token: those of a session, else of one that begins."""
    transport = httpx.ASGITransport(create_app(service), client=("192.0.2.9", 4711), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://api", cookies=cookies) as browser:
        if cookies is None:
            answer = await browser.post("/login/token", content=urlencode({"token": token()}), headers=OWN)
            assert answer.status_code == 303, answer.text
        yield browser


def _routes(service: Service, method: str) -> Iterator[str]:
    """The paths of the page's routes, with something at each place of theirs."""
    for context in iter_route_contexts(create_app(service).routes):
        ours = getattr(context.original_route, "endpoint", _routes).__module__.startswith(_WEB)
        if ours and method in (context.methods or ()):
            path = str(context.path)
            for name, value in (("target", "app"), ("id", "1"), ("name", "page.js")):
                path = path.replace(f"{{{name}}}", value)
            yield path


async def test_names_are_text(admin: httpx.AsyncClient, service: Service, store_directory: Path) -> None:
    """From the store, the database, the vault, errors, warnings, reports, tokens, workstations and the environment."""
    key = (await backed_up(admin))["archive"]
    store_directory.joinpath("backups", f"{EVIL.replace('/', '')}.enc").write_bytes(
        store_directory.joinpath(key).read_bytes()
    )
    job = await service.jobs.create(new_backup(archive=f"{EVIL}.enc", requested_by_name=EVIL))
    with anyio.fail_after(60):
        while (await service.jobs.get(job.id)).active:  # type: ignore[union-attr]  # noqa: ASYNC110 - of a database
            await anyio.sleep(0.05)
    async with service.control.connection() as connection:
        await connection.execute(SAID, {"evil": EVIL, "id": job.id})
    await service.audit.write(AuditEntry(action=EVIL, user_name=EVIL, workstation=EVIL, archive=EVIL, details=EVIL))
    paths = ["/history", f"/jobs/{job.id}", "/restore", "/settings", "/audit", "/targets"]
    paths += [f"/restore/{view}?{urlencode({'key': EVIL})}" for view in ("archive", "delete")]
    for begun in ("contents", "preview"):
        answer = await admin.post(f"/restore/{begun}", content=urlencode({"key": key}), headers=OWN)
        assert answer.status_code == 303, answer.text
        paths.append(answer.headers["Location"])
        with anyio.fail_after(60):
            while "Reading" in (await admin.get(paths[-1])).text:  # noqa: ASYNC110 - as a page asks
                await anyio.sleep(0.05)
    for path in paths:
        shown = await admin.get(path)
        assert shown.status_code == 200, shown.text
        harmless(shown.text)
        assert AS_TEXT[:40] in shown.text, path
        assert "49" not in shown.text.split("7*7")[0][-10:]
    typed = {"key": EVIL, "confirm": EVIL, "reason": EVIL, "tables": EVIL, "secrets": EVIL, "as": EVIL, "prefix": EVIL}
    typed |= {"into_database": EVIL, "into_mount": EVIL, "only": EVIL, "schedule": EVIL, "retention_days": EVIL}
    for path in ("start", "validate", "preview", "contents", "delete", "pin", "download", "verify"):
        harmless((await admin.post(f"/restore/{path}", content=urlencode(typed), headers=OWN)).text)
    for path in ("/settings", "/settings/test", "/settings/retention", "/login/token"):
        harmless((await admin.post(path, content=urlencode(typed | {"next": EVIL}), headers=OWN)).text)


async def test_foreign_pages_do_nothing(service: Service) -> None:
    """No form of theirs is taken with a session's cookie: by no button, and no login or logout either."""
    async with _browser(service) as person:
        before = len((await person.get("/api/backup/audit")).json()["entries"])
        posts = [*_routes(service, "POST"), "/logout"]
        assert len(posts) > 30
        sites = ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {})
        for path in posts:
            for headers in sites:
                answer = await person.post(path, content="key=a&confirm=a", headers=FORM | headers)
                refused = answer.status_code == 403 or (path == "/logout" and "Set-Cookie" not in answer.headers)
                assert refused, (path, headers, answer.status_code)
        assert (await person.get("/history")).status_code == 200  # still logged in
        assert (await service.jobs.page(limit=9)) == []
        entries = (await person.get("/api/backup/audit?limit=1000")).json()["entries"]
        assert {each["action"] for each in entries[: len(entries) - before]} == {"login.refused"}
        # A page is shown by GET alone, and GET changes nothing.
        for path in {*_routes(service, "GET")} - {"/static/page.js"}:
            assert (await person.put(path, headers=OWN)).status_code in {404, 405}, path


async def test_no_answer_is_framed_or_kept(service: Service) -> None:
    """Whatever its status, with a session and without: not by other pages, by browsers or by what stands between."""
    async with _browser(service) as person, asking(create_app(service), None) as nobody:
        for path in [*_routes(service, "GET"), "/jobs/999", "/targets/none/history", "/history?before=x", "/nothing"]:
            for client in (person, nobody):
                answer = await client.get(path)
                assert answer.status_code < 500, path
                assert answer.headers["X-Frame-Options"] == "DENY", path
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert "unsafe" not in answer.headers["Content-Security-Policy"], path
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                if path.startswith("/static/"):
                    assert answer.headers["Cache-Control"] == "max-age=3600"
                    assert "Set-Cookie" not in answer.headers
                else:
                    assert answer.headers["Cache-Control"] == "no-store", path


async def test_a_login_leads_to_no_other_server(service: Service) -> None:
    """Whatever stands behind next: as a form sends it, and as the page shows it."""
    elsewhere = ["//evil.example", "/\\evil.example", "https://evil.example", "https:evil.example", "/\t/evil.example"]
    elsewhere += ["javascript:alert(1)", "/../..//evil.example", "/%2e%2e//evil.example", "\\\\evil.example", " //evil"]
    elsewhere += ["/x\r\nSet-Cookie: a=b", "/" + "a" * 5000, "///evil.example", "data:text/html,x"]
    async with _browser(service) as person:
        for onwards in elsewhere:
            fields = {"token": token(), "next": onwards}
            answer = await person.post("/login/token", content=urlencode(fields), headers=OWN)
            assert (answer.status_code, answer.headers["Location"]) == (303, "/"), onwards
            assert len(answer.headers.get_list("Set-Cookie")) == 1
            shown = await person.get("/login/token", params={"next": onwards})
            assert shown.status_code in {200, 422}
            harmless(shown.text)
        # A path that looks like a server's name is only a path: who is not known there is led to our login alone.
        person.cookies.clear()
        for path in ("//evil.example/history", "/%2Fevil.example/history", "/history?next=//evil.example"):
            answer = await person.get(f"https://api{path}")
            assert not answer.headers.get("Location", "/login").startswith(("//", "http")), path


async def test_whatever_is_asked_is_answered(admin: httpx.AsyncClient, service: Service) -> None:
    """Numbers without end, texts, repetitions, NULs and halves of characters: never an error of ours."""
    names = ("before", "kind", "status", "offset", "key", "action", "next")
    for path in {*_routes(service, "GET")} - {"/static/page.js"}:
        if path.startswith("/targets/app"):  # the same functions
            continue
        for value in ("9" * 5000, "-1", "\x00", "a" * 2000, ""):
            query = urlencode([(name, text) for name in names for text in (value, value[:9])])
            answer = await admin.get(f"{path}?{query}")
            assert answer.status_code < 500, (path, value[:20], answer.text[:300])
        assert (await admin.get(f"{path}?before=%ff%fe&kind=%ed%a0%80")).status_code < 500, path
    for number in ("9" * 5000, "0", "-1", "1%00", "%2e%2e", "9223372036854775808"):
        for path in (f"/jobs/{number}", f"/inspections/{number}", f"/targets/{number}/history"):
            assert 400 <= (await admin.get(path)).status_code < 500, path


async def test_static_files_are_those_of_the_page(service: Service) -> None:
    """No way out of their folder, and nothing of it but what pages name."""
    names = [
        "../route.py",
        "..%2froute.py",
        "%2e%2e/templates/base.html",
        "..%5croute.py",
        "....//route.py",
        "/etc/passwd",
    ]
    names += [
        "%2fetc%2fpasswd",
        "page.js%00",
        "page.js/",
        "page.js/..",
        "manifest.json",
        "htmx.LICENSE",
        "PAGE.JS",
        "",
        ".",
    ]
    async with asking(create_app(service), None) as nobody:
        for name in names:
            url = httpx.URL("http://api").copy_with(raw_path=f"/static/{name}".encode())
            answer = await nobody.send(httpx.Request("GET", url))
            assert answer.status_code in {303, 404}, (name, answer.status_code)
            assert "import" not in answer.text
            assert "root:" not in answer.text
        assert (await nobody.get("/static/page.js")).status_code == 200


class TestARemovedRole:
    """Somebody was an administrator when the session began, and is none any more."""

    async def test_a_session_has_no_more_than_its_role_has_now(self, service: Service) -> None:
        """What the role means is asked at each request: none at all, or less."""
        async with _browser(service) as person:
            assert "Restore" in (await person.get("/restore")).text
            cookies, config = person.cookies, service.config
        for grants, status, sees in (
            ((Grant("others", "admin", ("*",)),), 403, 403),
            ((Grant("admin", "viewer", ("app",)), Grant("others", "admin", ("*",))), 403, 200),
        ):
            service.config = replace(config, grants=grants, admin_roles=("others",))
            async with _browser(service, cookies) as same:
                shown = await same.get("/history")
                assert (shown.status_code, "Last success" in shown.text) == (sees, sees == 200)
                assert "Run Backup Now" not in shown.text
                for path in ("/history/backup", "/restore/start", "/settings"):
                    answer = await same.post(path, content="key=a", headers=OWN)
                    assert answer.status_code == status, path
                assert (await same.get("/api/backup/jobs")).status_code == sees
        service.config = config
        assert (await service.jobs.page(limit=9)) == []

    async def test_who_is_shut_out_can_log_out(self, service: Service) -> None:
        """Else the browser would be of no use until the session ends."""
        async with _browser(service) as person:
            cookies, config = person.cookies, service.config
        service.config = replace(config, grants=(Grant("others", "admin", ("*",)),), admin_roles=("others",))
        async with _browser(service, cookies) as same:
            assert (await same.get("/history")).status_code == 403
            assert (await same.post("/logout", headers=OWN)).status_code == 303
            assert (await same.get("/history")).status_code == 303  # to the login
        service.config = config
