"""The page without a browser and without its script: links and forms of a real service, and their effects."""

from __future__ import annotations

import hashlib
import html
import json
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import anyio
import httpx
import psycopg
import pytest

from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service
from kleidia_backup.service.web.static_files import STATIC

from .asking import asking, backed_up, ended, token
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio

_VIEWS = ("/history", "/restore", "/settings", "/audit", "/targets")


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator at the page of a running service that has its encryption password."""
    async with asking(create_app(service)) as client:
        answer = await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield client


async def _shown(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|https?://", _without_values(answer.text))
    return answer.text


def _without_values(text: str) -> str:
    """A page without what people typed: an endpoint is an address."""
    return re.sub(r'value="[^"]*"|xmlns="[^"]*"', "", text)


async def _pressed(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    return await client.post(path, content=urlencode(fields), headers=headers)


async def test_from_run_backup_now_to_restore_now(browser: httpx.AsyncClient, application: str, kv: KvMount) -> None:
    """Run Backup Now, its job, the archive's row, Validate Password, Restore Now: rows and secrets are as they were."""
    assert "No backup has been made yet" in await _shown(browser, "/history")
    answer = await _pressed(browser, "/history/backup")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/history")
    job = await ended(browser, 1)
    assert (job["status"], job["type"], job["requested_by_name"]) == ("completed", "full", "ada")
    history = await _shown(browser, "/history")
    assert "The last backup is from" in history
    assert job["archive"] in history
    shown = await _shown(browser, "/jobs/1")
    assert job["checksum"] in shown
    requests = job["report"]["load"]["vault"]["requests"]
    assert requests > 0
    assert f'<tr><td>vault</td><th scope="row">requests</th><td>{requests}</td></tr>' in shown
    assert '<th scope="row">longest transaction</th>' in shown
    assert "against everybody" not in shown
    assert job["archive"] in await _shown(browser, "/restore")

    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DELETE FROM users")
    kv.put("app/secret-0", {"value": "changed"})
    key = job["archive"]
    page = await _shown(browser, f"/restore/archive?key={key}")
    assert "Restore Now" in page
    wrong = await _pressed(browser, "/restore/validate", key=key, password="wrong")
    assert "does not open" in wrong.text
    assert "wrong" not in re.sub(r"wrong password", "", wrong.text)  # what was typed is not sent back
    right = await _pressed(browser, "/restore/validate", key=key, password=PASSWORD)
    assert "The password opens the archive." in right.text
    assert PASSWORD not in right.text

    typo = await _pressed(browser, "/restore/start", key=key, password=PASSWORD, confirm="another", prune="on")
    assert typo.status_code == 422
    assert "Nothing was started" in typo.text
    assert PASSWORD not in typo.text
    assert 'name="prune" checked' in typo.text
    started = await _pressed(
        browser, "/restore/start", key=key, password=PASSWORD, confirm="app", backup_first="on", reason="Ticket 4711"
    )
    assert (started.status_code, started.headers["Location"]) == (303, "/jobs/2")
    restored = await ended(browser, 2)
    assert restored["status"] == "completed", restored
    assert restored["report"]["backup"]
    assert '<th scope="row">of it against everybody</th>' in await _shown(browser, "/jobs/2")
    with psycopg.connect(application) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
    assert kv.get("app/secret-0") == {"value": "s0"}
    assert "Restart the application" in await _shown(browser, "/jobs/2")
    actions = [entry["action"] for entry in (await browser.get("/api/backup/audit")).json()["entries"]]
    assert {"backup.completed", "restore.completed", "password.refused"} <= {*actions}
    assert "password.refused" in await _shown(browser, "/audit")
    alone = await _shown(browser, "/audit?action=password.refused")
    assert 'data-label="What">password.refused' in alone
    assert 'data-label="What">backup.completed' not in alone
    file = await browser.get("/audit.csv?action=password.refused")
    assert file.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    head, *lines = file.text.splitlines()
    assert head.startswith("id,at,action,user_id")
    assert [line.split(",")[2] for line in lines] == ["password.refused"]
    assert "Ticket 4711" in await _shown(browser, "/jobs/2")


async def test_settings_are_tested_and_saved_and_two_editors_are_told(
    browser: httpx.AsyncClient, service: Service
) -> None:
    """A form with what is stored; what it sends is stored; who comes second sees both."""
    form = await _shown(browser, "/settings")
    sent = _fields(form)
    assert sent["schedule"] == "0 2 * * *"
    assert "The next backups" in form
    saved = await _pressed(browser, "/settings", **(sent | {"retention_days": "12", "timezone": "Europe/Vienna"}))
    assert saved.status_code == 200
    assert "Saved." in saved.text
    settings, version = await service.settings.get()
    assert (settings.retention_days, settings.timezone) == (12, "Europe/Vienna")
    second = await _pressed(browser, "/settings", **(sent | {"retention_days": "40"}))
    assert second.status_code == 409
    assert "Stored: 12" in second.text
    assert _fields(second.text)["retention_days"] == "40"
    again = await _pressed(browser, "/settings", **_fields(second.text))
    assert again.status_code == 200
    assert (await service.settings.get())[0].retention_days == 40
    assert (await service.settings.get())[1] > version
    bad = await _pressed(
        browser, "/settings", **(_fields(again.text) | {"schedule": "every day", "retention_days": "x"})
    )
    assert bad.status_code == 422
    assert "retention_days" in bad.text
    tested = await _pressed(
        browser, "/settings/test", **(_fields(again.text) | {"endpoint": "http://127.0.0.1:9", "bucket": "b"})
    )
    assert tested.status_code == 422
    assert 'class="problem"' in tested.text
    assert (await service.settings.get())[0].bucket == ""


async def test_what_a_viewer_sees_and_may_not_do(service: Service, browser: httpx.AsyncClient) -> None:
    """Every view, and no button that changes anything; what is sent all the same is refused."""
    await backed_up(browser)
    async with asking(create_app(service), "viewer") as viewer:
        for path in _VIEWS:
            page = await _shown(viewer, path)
            assert 'class="danger"' not in page
            assert "Run Backup Now" not in page.replace("Run Backup Now, under History", "")
        refused = await _pressed(viewer, "/history/backup")
        assert refused.status_code == 403
        assert "This takes the role operator" in refused.text
    assert len((await browser.get("/api/backup/jobs")).json()["jobs"]) == 1


async def test_who_is_not_known_is_led_to_the_login(service: Service) -> None:
    """With the way back; a part of a page is not put where another stood."""
    async with asking(create_app(service, prefix="/backups"), None) as nobody:
        answer = await nobody.get("/backups/jobs/7?x=1")
        led_to = "/backups/login?next=%2Fbackups%2Fjobs%2F7%3Fx%3D1"
        assert (answer.status_code, answer.headers["Location"]) == (303, led_to)
        part = await nobody.get("/backups/history/running", headers={"HX-Request": "true"})
        assert part.status_code == 401
        assert part.headers["HX-Redirect"] == "/backups/login?next=%2Fbackups%2Fhistory"


async def test_a_token_begins_a_session(service: Service) -> None:
    """Pasted once: then a cookie says who it is, until it is ended; no other page can begin or use one."""
    own = {"Origin": "https://api", "Content-Type": "application/x-www-form-urlencoded"}
    transport = httpx.ASGITransport(create_app(service), client=("192.0.2.9", 4711), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://api", headers=own) as person:
        assert "Log in with the token" in await _shown(person, "/login/token?next=%2Fsettings")
        wrong = await person.post("/login/token", content="token=x.y.z&next=/settings")
        assert (wrong.status_code, "x.y.z" in wrong.text, person.cookies) == (401, False, httpx.Cookies())
        pasted = urlencode({"token": token("viewer"), "next": "/settings"})
        foreign = await person.post("/login/token", content=pasted, headers={"Origin": "https://other.example"})
        assert (foreign.status_code, person.cookies) == (403, httpx.Cookies())
        right = await person.post("/login/token", content=pasted)
        assert (right.status_code, right.headers["Location"]) == (303, "/settings")
        cookie = right.headers["Set-Cookie"]
        assert cookie.startswith("__Host-kleidia-session=")
        assert "HttpOnly" in cookie
        assert "Secure" in cookie
        assert "ada, viewer" in await _shown(person, "/history")
        assert (await person.get("/api/backup/list")).status_code == 200
        elsewhere = await person.post(
            "/login/token", content=urlencode({"token": token(), "next": "https://evil.example/"})
        )
        assert elsewhere.headers["Location"] == "/"
        old = httpx.Cookies({"__Host-kleidia-session": cookie.partition("=")[2].partition(";")[0]})
        assert (await person.post("/history/backup", headers={"Origin": "https://other.example"})).status_code == 403
        assert (await person.post("/history/backup")).status_code == 303
        await ended(person, 1)
        assert (await person.post("/logout")).status_code == 303
        assert (await person.get("/history")).status_code == 303
        person.cookies = old  # it ended with the second login
        assert (await person.get("/history")).status_code == 303
    async with asking(create_app(service)) as admin:
        actions = [entry["action"] for entry in (await admin.get("/api/backup/audit")).json()["entries"]]
    assert actions.count("login.completed") == 2
    assert {"login.ended", "login.refused"} <= {*actions}


async def test_a_session_ends_with_its_token(service: Service) -> None:
    """However long sessions may be."""
    own = {"Origin": "https://api", "Content-Type": "application/x-www-form-urlencoded"}
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://api", headers=own) as person:
        for seconds in (2, 10, 60):  # as long as a busy machine needs to look once before it is over
            pasted = urlencode({"token": token("admin", exp=int(time.time()) + seconds)})
            assert (await person.post("/login/token", content=pasted)).status_code == 303
            if (await person.get("/history")).status_code == 200:
                break
        else:
            raise AssertionError("the session never began")
        with anyio.fail_after(120):
            while (await person.get("/history")).status_code == 200:  # noqa: ASYNC110 - a clock is waited for
                await anyio.sleep(0.2)


async def test_errors_are_pages(browser: httpx.AsyncClient) -> None:
    """With the cause and the next step, and the status that the API has."""
    assert "There is no job 77." in await _shown(browser, "/jobs/77", 404)
    assert "No target has that name." in await _shown(browser, "/targets/nobody/history", 404)
    other = await browser.post("/history/backup", json={}, headers={"Sec-Fetch-Site": "same-origin"})
    assert other.status_code == 415


async def test_what_runs_is_asked_for_until_it_has_ended(browser: httpx.AsyncClient) -> None:
    """The part of the page asks again while something runs; 286 ends that."""
    await _pressed(browser, "/history/backup")
    part = await browser.get("/history/running", headers={"HX-Request": "true"})
    assert part.status_code in {200, 286}
    assert "<html" not in part.text
    await ended(browser, 1)
    last = await browser.get("/history/running", headers={"HX-Request": "true"})
    assert (last.status_code, last.headers["HX-Trigger"]) == (286, "ended")
    job = await browser.get("/jobs/1", headers={"HX-Request": "true"})
    assert (job.status_code, "<html" in job.text) == (286, False)


async def test_what_is_asked_for_every_second_asks_no_vault(
    browser: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a page that hundreds may poll; the whole page says what of the vault is known."""
    await backed_up(browser)
    part = {"HX-Request": "true"}

    async def asked(*_: object) -> None:
        raise AssertionError("the vault is asked")

    monkeypatch.setattr(service.settings, "_described", asked)  # which looks at the secrets
    assert (await browser.get("/history/running", headers=part)).status_code == 286
    assert (await browser.get("/jobs/1", headers=part)).status_code == 286
    assert (await browser.get("/history")).status_code == 500


async def test_an_archive_is_deleted_by_who_types_its_name(browser: httpx.AsyncClient) -> None:
    """And verified, by a button."""
    job = await backed_up(browser)
    key = job["archive"]
    verified = await _pressed(browser, "/restore/verify", key=key)
    assert verified.headers["Location"] == "/jobs/2"
    assert (await ended(browser, 2))["status"] == "completed"
    assert "Delete it" in await _shown(browser, f"/restore/delete?key={key}")
    assert (await _pressed(browser, "/restore/delete", key=key, confirm="x")).status_code == 422
    assert (await _pressed(browser, "/restore/delete", key=key, confirm=key)).status_code == 303
    assert (await browser.get("/api/backup/list")).json()["total"] == 0


async def test_pages_are_mounted_anywhere(service: Service) -> None:
    """Every address of a page begins with the mount."""
    async with asking(create_app(service, prefix="/backups")) as client:
        text = await _shown(client, "/backups/history")
        assert set(re.findall(r'(?:href|src|action)="(/[a-z]*)', text)) == {"/backups"}


async def test_what_stands_before_a_restore(browser: httpx.AsyncClient) -> None:
    """Contents and a preview of an archive, by links; a pin keeps it; the rules show what they would delete."""
    key = (await backed_up(browser))["archive"]
    for path, words in (("/restore/contents", "audit_logs"), ("/restore/preview", "Nothing stands in the way")):
        begun = await _pressed(browser, path, key=key)
        assert begun.status_code == 303
        with anyio.fail_after(30):
            while words not in (text := await _shown(browser, begun.headers["Location"])):
                assert "Reading" in text, text
                await anyio.sleep(0.1)
        assert "secret-0" in text or "is replaced" in text, text
    assert (await _pressed(browser, "/restore/pin", key=key, reason="case 7")).status_code == 303
    assert "pinned" in await _shown(browser, "/restore")
    refused = await _pressed(browser, "/restore/delete", key=key, confirm=key)
    assert refused.status_code == 409
    shown = await _pressed(browser, "/settings/retention", retention_days="1", keep_at_least="1")
    assert "Nothing would be deleted now: all 1 archives stay." in shown.text
    assert (await _pressed(browser, "/restore/unpin", key=key)).status_code == 303
    assert (await browser.get("/api/backup/pins")).json() == {"pins": []}


def test_the_script_of_others_is_what_its_manifest_says() -> None:
    """Version, licence and digest of what is vendored; our own script stays small."""
    (vendored,) = json.loads((STATIC / "manifest.json").read_text(encoding="utf-8"))
    text = (STATIC / vendored["file"]).read_bytes()
    assert hashlib.sha256(text).hexdigest() == vendored["sha256"]
    assert f'version:"{vendored["version"]}"'.encode() in text
    assert "Zero-Clause BSD" in (STATIC / vendored["licence_file"]).read_text(encoding="utf-8")
    assert vendored["licence"] == "0BSD"
    assert len((STATIC / "page.js").read_text(encoding="utf-8").splitlines()) <= 150


def _fields(page: str) -> dict[str, str]:
    """What a browser would send of the settings' form as it is shown."""
    form, found = page[page.index('action="/settings"') :], dict[str, str]()
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and "checkbox" in tag:
            found |= {name[1]: "on"} if "checked" in tag else {}
        elif name and "password" not in tag:
            found[name[1]] = html.unescape(value[1]) if value else ""
    for name, options in re.findall(r'<select name="([^"]*)">(.*?)</select>', form, re.DOTALL):
        found[name] = re.findall(r"<option selected>([^<]*)", options)[0]
    return found
