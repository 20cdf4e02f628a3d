"""Logging in and out, for people: by the OpenID provider of ``[login]``."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from ....stages.errors import KleidiaError
from ...control.audit import Actor, AuditEntry
from .. import rates
from ..identity.address import base_path, base_url
from ..identity.auth import Forbidden, NotAuthenticated
from ..identity.cross_site import CrossSite, refuse_cross_site
from ..identity.granting import name_of, role_values
from ..identity.origin import line, origin
from ..identity.tokens import subject_of
from ..login.attempt import Attempt, attempt_of
from ..login.cookies import ATTEMPT, ATTEMPT_LASTS, SESSION, clear_cookie, cleared, cookie_of, set_cookie
from ..login.next_page import is_own
from ..login.people import Login, session_of
from ..problems import ApiError
from .shared import targets_of


class LoginRoute(APIRoute):
    """What goes wrong in a login is shown to a person as a page, where the app has pages; a program gets a problem."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework's, with errors shown."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except (ApiError, KleidiaError, HTTPException) as exc:
                shown = getattr(request.app.state, "shown_problem", None)
                if shown is None or "text/html" not in request.headers.get("accept", ""):
                    raise
                page: Response = shown(request, exc)
                return page

        return handler


router = APIRouter(include_in_schema=False, route_class=LoginRoute)

#: Most values of a role claim that are kept.
_MOST_ROLES = 1000


@router.get("/login")
async def login(request: Request, next: str = "") -> RedirectResponse:  # noqa: A002 - what everybody calls it
    """To the provider, and from there to ``next``, a page of ours; without a provider to the page for tokens."""
    if request.app.state.login is None and request.app.state.by_token is not None:
        return RedirectResponse(f"{base_path(request)}/login/token?next={quote(next, safe='')}", 303)
    provider = _login(request).provider
    await rates.take_login(targets_of(request).find(None), origin(request)[0])
    path = base_path(request)
    attempt = Attempt.new(next if is_own(next, path) else f"{path}/")
    response = RedirectResponse(await provider.authorization(attempt, _redirect(request)), 303)
    set_cookie(response, ATTEMPT, attempt.encoded(), ATTEMPT_LASTS)
    return response


@router.get("/login/callback")
async def callback(request: Request) -> RedirectResponse:
    """What the provider sends a browser back to."""
    held = _login(request)
    service = targets_of(request).find(None)
    await rates.take_login(service, origin(request)[0])
    attempt = attempt_of(cookie_of(request, ATTEMPT), base_path(request))
    try:
        claims = await _claims(request, held, attempt)
        assert attempt is not None
        session, actor = await _begin(request, held, attempt, claims)
    except (NotAuthenticated, Forbidden) as exc:
        await request.app.state.refused.write(request, str(exc))
        exc.headers = {"Set-Cookie": cleared(ATTEMPT)}
        exc.next_step = f"Begin again at {base_path(request)}/login, or ask an administrator."
        raise
    await service.audit.write(AuditEntry.by(actor, "login.completed"))
    response = RedirectResponse(attempt.next, 303)
    set_cookie(response, SESSION, session, held.lasts)
    clear_cookie(response, ATTEMPT)
    return response


@router.post("/logout")
async def logout(request: Request) -> RedirectResponse:
    """End the session, here and at the provider when it began there and has an address for that."""
    cookie = cookie_of(request, SESSION)
    found = None if cookie is None else await session_of(request.app.state.ways, cookie, uses=False)
    onwards = None
    if cookie is not None and found is not None:
        way, session = found
        try:
            refuse_cross_site(request)
        except CrossSite as exc:
            await request.app.state.refused.write(request, str(exc))
            raise
        await way.sessions.end(cookie)
        actor = Actor(session.subject, session.name, *origin(request))
        await targets_of(request).find(None).audit.write(AuditEntry.by(actor, "login.ended"))
        login: Login | None = request.app.state.login
        if login is not None and isinstance(way, Login):
            onwards = await login.provider.end_session(f"{base_url(request)}/")
    response = RedirectResponse(onwards or f"{base_path(request)}/", 303)
    if cookie is not None:  # a foreign page's form brings none, and logs nobody out
        clear_cookie(response, SESSION)
    return response


def _login(request: Request) -> Login:
    held: Login | None = request.app.state.login
    if held is None:
        raise ApiError(
            404,
            "no-login",
            "There is no login here",
            "No OpenID provider is configured, or another application authenticates its users.",
            "Set [login] in the configuration, or send a token.",
        )
    return held


def _redirect(request: Request) -> str:
    return f"{base_url(request)}/login/callback"


async def _claims(request: Request, held: Login, attempt: Attempt | None) -> dict[str, Any]:
    """Who the provider says it is. Raises ``NotAuthenticated``, and ``ApiError`` when it cannot be asked."""
    said = request.query_params
    if any(len(said.getlist(name)) > 1 for name in said):
        raise NotAuthenticated("The provider's answer says something twice.")
    if attempt is None:
        raise NotAuthenticated("No login is under way in this browser, or it took longer than ten minutes.")
    if said.get("state") != attempt.state:
        raise NotAuthenticated("The answer belongs to another login.")
    code = said.get("code")
    if "error" in said or not code:
        raise NotAuthenticated("The provider refused the login.")
    return await held.provider.redeem(code, said.get("iss"), attempt, _redirect(request))


async def _begin(request: Request, held: Login, attempt: Attempt, claims: dict[str, Any]) -> tuple[str, Actor]:
    """A session, and whose it is. Raises ``NotAuthenticated``, ``Forbidden``."""
    subject = subject_of(claims)
    name = name_of(claims, subject)
    values = frozenset(each for each in role_values(claims, held.role_claim) if line(each) == each)
    if len(values) > _MOST_ROLES or held.granting.principal(subject, name, values) is None:
        raise Forbidden("Your login gives you no role here.")
    before = cookie_of(request, SESSION)
    session = await held.sessions.begin(attempt.nonce, subject, name, values, instead_of=before)
    if session is None:
        raise NotAuthenticated("This login was completed before.")
    return session, Actor(subject, name, *origin(request))
