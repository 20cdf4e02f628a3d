"""People log in at a real provider, work with a cookie and log out; and what an attacker tries."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from fastapi import FastAPI

from kleidia_backup.config.login.grants import Grant
from kleidia_backup.config.login.settings import LoginSettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.identity.refused import RefusedLogins
from kleidia_backup.service.api.login.attempt import attempt_of
from kleidia_backup.service.api.login.cookies import ATTEMPT, SESSION
from kleidia_backup.service.api.login.next_page import is_own
from kleidia_backup.service.service import Service
from kleidia_backup.stages.errors import ConfigurationError

from .asking import asking, bearer
from .conftest import new_backup
from .openid import CLIENT, PUBLIC, SECRET, OpenId, open_id
from .test_auth import by_hand

pytestmark = pytest.mark.anyio

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def provider() -> AsyncIterator[OpenId]:
    async with open_id() as running:
        yield running


@pytest.fixture
def service_settings(service_settings: ServiceSettings, provider: OpenId) -> ServiceSettings:
    """With a login; the group ops operates the target, staff looks at another one."""
    login = LoginSettings(
        issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET, role_claim="realm.groups", public_url=PUBLIC
    )
    grants = (Grant("ops", "operator", ("app",)), Grant("staff", "viewer", ("elsewhere",)))
    return replace(service_settings, login=login, grants=grants)


@asynccontextmanager
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Something with a cookie jar, at 192.0.2.9."""
    transport = httpx.ASGITransport(app, client=("192.0.2.9", 4711), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as client:
        yield client


async def sent_back(client: httpx.AsyncClient, page: str = "/docs") -> str:
    """The address that the provider sends a browser to which logs in."""
    answer = await client.get("/login", params={"next": page})
    assert answer.status_code == 303, answer.text
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(answer.headers["Location"])
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


async def log_in(client: httpx.AsyncClient, page: str = "/docs") -> httpx.Response:
    return await client.get(await sent_back(client, page))


async def refused(service: Service) -> str:
    """Why the last refused login was refused, as the audit log has it."""
    return (await service.audit.page(action="login.refused"))[0].details


def app_of(service: Service) -> FastAPI:
    """The app, with every refusal in the audit log: here all come from one address."""
    app = create_app(service)
    app.state.refused = RefusedLogins(service.audit, each=1000)
    return app


def session_of(client: httpx.AsyncClient) -> str | None:
    return client.cookies.get(SESSION)


async def test_from_login_to_logout(service: Service, provider: OpenId) -> None:
    """The cookie, what it is worth on which target, other sites' requests, a new login, and a stolen cookie later."""
    app = app_of(service)
    async with browser(app) as client, browser(app) as thief:
        client.cookies.set(SESSION, "chosen-by-an-attacker", domain="backup.example.org", path="/")
        answer = await log_in(client, "/docs?a=b")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/docs?a=b")
        cookie, gone = answer.headers.get_list("Set-Cookie")
        assert cookie.startswith(f"{SESSION}=")
        assert {"httponly", "samesite=lax", "secure", "path=/"} <= {*cookie.lower().split("; ")}
        assert "domain" not in cookie.lower()
        assert gone.startswith(f'{ATTEMPT}="";')
        first = session_of(client)
        assert first != "chosen-by-an-attacker"
        assert first is not None

        # An operator here, nobody elsewhere; and the login is in the audit log.
        assert (await client.get("/api/backup/jobs")).status_code == 200
        assert [each["name"] for each in (await client.get("/api/targets")).json()["targets"]] == ["app"]
        assert (await client.get("/api/targets/other/backup/jobs")).status_code == 403
        assert (await client.put("/api/backup/settings", json={}, headers=OWN)).status_code == 403
        (entry,) = await service.audit.page(action="login.completed")
        assert (entry.user_id, entry.user_name, entry.ip) == ("s-ada", "Ada", "192.0.2.9")

        # What a foreign page makes the browser send does nothing; nor does a browser that says nothing.
        origin = {"Origin": PUBLIC}
        for headers in (
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "cross-site"} | origin,
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://backup.example.org"},
        ):
            answer = await client.post("/api/backup/trigger", headers=headers)
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "cross-site"), headers
            assert (await client.post("/logout", headers=headers)).status_code == 403
        assert "another site" in await refused(service)
        assert await service.jobs.page(limit=1) == []
        provider.user["realm"] = {"groups": ["admin"]}
        for headers, status in ((OWN, 202), (origin, 409)):
            answer = await client.post("/api/backup/trigger", headers=headers)
            assert answer.status_code == status, answer.text
        job = (await service.jobs.page(limit=1))[0]
        assert (job.requested_by, job.requested_by_name) == ("s-ada", "Ada")
        answer = await client.post("/api/backup/trigger", headers=bearer("viewer"))  # the token counts, not the cookie
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "forbidden")

        # A new login ends the session before, and has the new roles; what it does by GET no link may do.
        assert (await log_in(client)).status_code == 303
        second = session_of(client)
        assert second not in {None, first}
        thief.cookies.set(SESSION, str(first), domain="backup.example.org", path="/")
        assert (await thief.get("/api/backup/jobs")).status_code == 401
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert (await client.get("/api/backup/test-connection", headers=foreign)).status_code == 403
        assert (await client.get("/api/backup/test-connection", headers=OWN)).status_code == 200
        assert (await client.get("/api/backup/jobs", headers=foreign)).status_code == 200

        # Nobody who reads the table has a session by it.
        async with service.control.connection() as connection:
            rows = await (await connection.execute("SELECT s::text FROM kleidia_backup.sessions s")).fetchall()
        assert len(rows) == 1
        assert str(second) not in str(rows)

        # After the logout the cookie is worth nothing, to nobody.
        thief.cookies.set(SESSION, str(second), domain="backup.example.org", path="/")
        assert (await thief.get("/api/backup/jobs")).status_code == 200
        answer = await client.post("/logout", headers=OWN)
        assert answer.status_code == 303
        end = urlsplit(answer.headers["Location"])
        assert f"{end.scheme}://{end.netloc}{end.path}" == f"{provider.issuer}/end"
        assert parse_qs(end.query) == {"client_id": [CLIENT], "post_logout_redirect_uri": [f"{PUBLIC}/"]}
        assert session_of(client) is None
        assert (await thief.get("/api/backup/jobs")).status_code == 401
        assert "session is not known" in await refused(service)
        assert len(await service.audit.page(action="login.ended")) == 1


async def test_a_session_ends_by_itself(service: Service, provider: OpenId) -> None:
    """Idle, or old; use keeps it, what a page polls does not. What roles mean is said at each request."""
    app = create_app(service)
    async with browser(app) as client, service.control.connection() as connection:
        await log_in(client)

        async def later(seconds: int, column: str = "seen_at") -> None:
            change = f"UPDATE kleidia_backup.sessions SET {column} = {column} - make_interval(secs => %s)"
            await connection.execute(change, (seconds,))

        async def status(path: str = "/api/backup/list") -> int:
            return (await client.get(path)).status_code

        await later(1700)
        assert await status() == 200  # which counts as use
        await later(1700)
        assert await status("/api/backup/jobs/running") == 200  # which does not
        await later(200)
        noted = len(await service.audit.page(action="login.refused"))
        assert await status() == 401
        assert len(await service.audit.page(action="login.refused")) == noted  # nobody attacks
        await log_in(client)
        await later(28790, "begun_at")
        assert await status() == 200
        await later(20, "begun_at")
        assert await status() == 401
        await log_in(client)
        service.config = replace(service.config, grants=())
        async with browser(create_app(service)) as other:
            other.cookies.set(SESSION, str(session_of(client)), domain="backup.example.org", path="/")
            assert (await other.get("/api/backup/list")).status_code == 403


def _signed_by(provider: OpenId, sign: Callable[[dict[str, Any]], str]) -> Callable[[], None]:
    def do() -> None:
        provider.sign = sign

    return do


async def test_tokens_have_the_same_roles(service: Service) -> None:
    """A token with a role elsewhere gets nothing here, from the cache of polled answers neither; what operators end."""
    app = create_app(service)
    async with asking(app, "staff") as elsewhere, asking(app) as admin, asking(app, "operator") as operator:
        for _ in range(2):
            assert (await elsewhere.get("/api/backup/jobs/running")).status_code == 403
            assert (await admin.get("/api/backup/jobs/running")).status_code == 200
        assert (
            await elsewhere.get("/api/targets/elsewhere/backup/jobs")
        ).status_code == 404  # of which he has the role
        assert (await elsewhere.get("/api/targets")).json()["targets"] == []
        assert (await elsewhere.get("/metrics")).status_code == 403
        for kind, status in (("restore", 403), ("backup", 202)):
            job = await service.jobs.create(new_backup(kind=kind, archive="a"))
            path = f"/api/backup/jobs/{job.id}/cancel"
            assert (await operator.post(path)).status_code == status
            assert (await admin.post(path)).status_code == (202 if status == 403 else 409)


async def test_answers_that_are_none_of_the_providers(service: Service, provider: OpenId) -> None:
    """Each attack ends without a session, is answered without a secret, and is in the audit log with its reason."""
    other = OpenId(issuer=provider.issuer)
    now = int(time.time())

    def says(**change: Any) -> Callable[[], None]:
        return lambda: provider.change.update(change)

    attacks: dict[str, tuple[Callable[[], None], str]] = {
        "none": (
            _signed_by(provider, lambda claims: by_hand({"alg": "none"}, claims)),
            "is none, or not signed in a way",
        ),
        "HS256 with the public key": (
            _signed_by(provider, lambda claims: by_hand({"alg": "HS256"}, claims, provider.public_pem)),
            "not signed in a way",
        ),
        "another key": (_signed_by(provider, other.signed), "signature is not valid"),
        "audience": (says(aud="somebody-else"), "another audience"),
        "one of many": (says(aud=[CLIENT, "somebody-else"]), "another client"),
        "given to another": (says(azp="somebody-else"), "another client"),
        "issuer": (says(iss="https://evil.example"), "another issuer"),
        "expired": (says(exp=now - 60), "expired"),
        "nonce": (says(nonce="n" * 43), "another login"),
        "no nonce": (says(nonce=None), "lacks a claim"),
        "no subject": (says(sub="a\nb"), "subject"),
        "no role": (says(realm={"groups": ["nobody"]}), "no role"),
    }
    app = app_of(service)
    async with browser(app) as client, browser(app) as victim:
        for name, (prepare, reason) in attacks.items():
            provider.change, provider.sign = {}, None
            prepare()
            answer = await log_in(client)
            assert answer.status_code in {401, 403}, name
            assert reason in answer.json()["detail"], name
            assert f"{ATTEMPT}=" in answer.headers["Set-Cookie"]
            assert session_of(client) is None, name
        provider.change, provider.sign = {}, None
        assert "no role" in await refused(service)

        # Another browser's answer, a state that is not this login's, none at all, a refusal, and everything twice.
        back = await sent_back(client)
        kept = str(client.cookies.get(ATTEMPT))
        assert "No login is under way" in (await victim.get(back)).json()["detail"]
        await sent_back(victim)
        assert "another login" in (await victim.get(back)).json()["detail"]
        for query, reason in (
            ("?code=a", "another login"),
            (f"?{urlsplit(back).query}&code=b", "twice"),
            (f"?state={parse_qs(urlsplit(back).query)['state'][0]}&error=access_denied", "refused the login"),
            (f"?{urlsplit(back).query.partition('&iss=')[0]}", "another provider"),
            (f"?{urlsplit(back).query.partition('&iss=')[0]}&iss=https://evil.example", "another provider"),
        ):
            client.cookies.set(ATTEMPT, kept, domain="backup.example.org", path="/")
            answer = await client.get(f"/login/callback{query}")
            assert (answer.status_code, reason in answer.json()["detail"]) == (401, True), (query, answer.text)

        # A code is good once: the provider says so, and where it does not, we do.
        for forgetful, reason in ((False, "does not take the code"), (True, "completed before")):
            provider.forgetful = forgetful
            back = await sent_back(client)
            kept = str(client.cookies.get(ATTEMPT))
            assert (await client.get(back)).status_code == 303
            thief = {"Cookie": f"{ATTEMPT}={kept}"}
            answer = await victim.get(back, headers=thief)
            assert (answer.status_code, reason in answer.json()["detail"]) == (401, True), answer.text
            assert session_of(victim) is None
        # And to whoever has the verifier alone.
        back = await sent_back(client)
        client.cookies.delete(ATTEMPT)
        await sent_back(client)
        forged = attempt_of(client.cookies.get(ATTEMPT), "")
        assert forged is not None
        own = replace(forged, state=parse_qs(urlsplit(back).query)["state"][0])
        client.cookies.set(ATTEMPT, own.encoded(), domain="backup.example.org", path="/")
        assert "does not take the code" in (await client.get(back)).json()["detail"]
        entries = await service.audit.page(action="login.refused")
        assert SECRET not in str(entries)


async def test_a_provider_that_is_gone(service: Service, provider: OpenId) -> None:
    """Nobody can log in, who is logged in stays, machines notice nothing; and a wrong secret."""
    app = create_app(service)
    gone = create_app(service)
    assert service.config.login is not None
    gone.state.login = replace(
        gone.state.login,
        provider=type(gone.state.login.provider)(replace(service.config.login, issuer="http://[::1]:9")),
    )
    async with browser(app) as client, browser(gone) as late, asking(gone) as machine:
        await log_in(client)
        answer = await late.get("/login")
        assert (answer.status_code, answer.json()["title"]) == (503, "Nobody can log in")
        late.cookies = client.cookies
        assert (await late.get("/api/backup/list")).status_code == 200
        assert (await machine.get("/api/backup/list")).status_code == 200
        answer = await late.post("/logout", headers=OWN)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        assert (await client.get("/api/backup/list")).status_code == 401
    wrong = replace(service.config.login, client_secret="wrong")
    app.state.login = replace(app.state.login, provider=type(app.state.login.provider)(wrong))
    async with browser(app) as client:
        answer = await log_in(client)
        assert (answer.status_code, "(invalid_client)" in answer.json()["detail"]) == (503, True)
        statuses = {(await client.get("/login")).status_code for _ in range(70)}
        assert statuses == {303, 429}


async def test_below_a_mount_and_behind_a_proxy(service: Service) -> None:
    """Without public_url the address is the request's, with mount and prefix; without [login] there is no login."""
    assert service.config.login is not None
    settings = service.config
    service.config = replace(settings, login=replace(settings.login, public_url=""))  # type: ignore[type-var]
    app = create_app(service, prefix="/backups")
    transport = httpx.ASGITransport(app, root_path="/mounted", client=("192.0.2.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://other.example:8443") as client:
        for page, kept in (("/mounted/backups/docs", "/mounted/backups/docs"), ("/docs", "/mounted/backups/")):
            answer = await client.get("/mounted/backups/login", params={"next": page})
            (sent_to,) = parse_qs(urlsplit(answer.headers["Location"]).query)["redirect_uri"]
            assert sent_to == "https://other.example:8443/mounted/backups/login/callback"
            attempt = attempt_of(client.cookies.get(ATTEMPT), "/mounted/backups")
            assert attempt is not None
            assert attempt.next == kept
    service.config = replace(settings, login=None)
    async with browser(create_app(service)) as client:
        assert (await client.get("/login")).headers["Location"] == "/login/token?next="
        for answer in (await client.get("/login/callback"),):
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "no-login")


@pytest.mark.parametrize(
    "page",
    [
        *(
            "",
            "docs",
            "https://evil.example/",
            "//evil.example/",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
        ),
        *("/\t/evil.example", "/\n/evil.example", " /docs", "/a b", "/\u2028", "javascript:alert(1)", "/a/../../b"),
        *("/mounted/%2e%2e/b", "/mounted/a/.%2E/../b"),
        *("/\x00", "/" + "a" * 3000, "http:/docs", "@evil.example", ".evil.example"),
    ],
)
def test_no_login_leads_elsewhere(page: str) -> None:
    """Where a browser would leave this server, or it is not sure."""
    assert not is_own(page, "")
    assert not is_own(page, "/mounted")


def test_where_a_login_may_lead() -> None:
    """Pages below where the app is mounted."""
    for page in ("/", "/docs", "/docs?a=/b&c=//d", "/a#b", "/%2F%2Fevil.example"):
        assert is_own(page, "")
        assert is_own(f"/mounted{page}", "/mounted")
    assert not is_own("/mountedelsewhere", "/mounted")
    assert not is_own("//a", "/")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"issuer": "https://login.example.org"},
        {"issuer": "http://login.example.org", "client_id": "c"},
        {"issuer": "https://u:p@login.example.org", "client_id": "c"},
        {"issuer": f"https://{'a' * 64}.example.org", "client_id": "c"},
        {"issuer": "https://login.example.org?a=b", "client_id": "c"},
        {"issuer": "https://login.example.org", "client_id": "c", "public_url": "backup.example.org"},
        {"issuer": "https://login.example.org", "client_id": "c", "scopes": ("a b",)},
        {"issuer": "https://login.example.org", "client_id": "c", "idle": 0.0},
    ],
)
def test_settings_that_cannot_be_used(said: dict[str, Any]) -> None:
    """They are refused at the start."""
    with pytest.raises(ConfigurationError):
        LoginSettings(**said)


def test_the_provider_signs_as_others_do() -> None:
    """The tests' own provider: what it signs PyJWT takes."""
    provider = OpenId(issuer="https://a.example")
    assert jwt.decode(provider.signed({"sub": "1"}), provider.public_pem, ["RS256"]) == {"sub": "1"}


async def test_a_login_that_failed_is_a_page_for_people(service: Service) -> None:
    """With the cause and the ways on; a program gets the problem as before, and the attempt is forgotten either way."""
    async with browser(app_of(service)) as client:
        there = await sent_back(client)
        answer = await client.get(f"{there}&state=other", headers={"Accept": "text/html,*/*;q=0.8"})
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (401, "text/html")
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "The provider&#39;s answer says something twice." in answer.text
        assert 'href="/login"' in answer.text
        assert ATTEMPT in answer.headers["Set-Cookie"]
        assert "says something twice" in await refused(service)
        again = await client.get("/login/callback?code=x&state=y", headers={"Accept": "text/html"})
        assert "No login is under way in this browser" in again.text
        program = await client.get("/login/callback?code=x&state=y")
        assert program.headers["Content-Type"] == "application/problem+json"
