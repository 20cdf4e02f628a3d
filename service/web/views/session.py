"""The login by a token, for whoever has one: pasted once, and a session from then on."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from ....stages.errors import KleidiaError
from ...api import rates
from ...api.identity.address import base_path
from ...api.identity.auth import Forbidden, NotAuthenticated
from ...api.identity.cross_site import CrossSite, refuse_cross_site
from ...api.identity.origin import origin
from ...api.login.cookies import SESSION, cookie_of, set_cookie
from ...api.login.next_page import is_own
from ...api.problems import ApiError, told
from ...api.routes.shared import targets_of
from ...control.audit import Actor, AuditEntry
from ..forms import Form, read
from ..templating import page

router = APIRouter(include_in_schema=False)


@router.get("/login/token")
async def ask(request: Request, next: Annotated[str, Query(max_length=2000)] = "") -> Response:  # noqa: A002 - what everybody calls it
    """The form."""
    return _form(request, next)


@router.post("/login/token")
async def begin(request: Request) -> Response:
    """Begin a session for whoever the token is of. Refused ones are audited, and limited."""
    way = request.app.state.by_token
    if way is None:
        return _form(
            request, "", ApiError(404, "no-login", "There is no login here", "Another application logs in.", "")
        )
    service, (ip, workstation) = targets_of(request).find(None), origin(request)
    form = Form()
    try:
        form = await read(request)
        refuse_cross_site(request)
        await rates.take_login(service, ip)
        session, principal = await way.begin(form.text("token"), cookie_of(request, SESSION))
    except (NotAuthenticated, Forbidden, CrossSite) as exc:
        await request.app.state.refused.write(request, str(exc))
        return _form(request, form.text("next"), exc)
    except (ApiError, KleidiaError) as exc:
        return _form(request, form.text("next"), exc)
    actor = Actor(principal.subject, principal.name, ip, workstation)
    await service.audit.write(AuditEntry.by(actor, "login.completed", details="By a token."))
    response = RedirectResponse(_wanted(request, form.text("next")), 303)
    set_cookie(response, SESSION, session, way.lasts)
    return response


def _wanted(request: Request, onwards: str) -> str:
    path = base_path(request)
    return onwards if is_own(onwards, path) else f"{path}/"


def _form(request: Request, onwards: str, error: Exception | None = None) -> Response:
    said = None if error is None else told(error)
    other = request.app.state.login is not None
    return page("login.html", request, 200 if said is None else said.status, next=onwards, problem=said, other=other)


def login_problem(request: Request, error: Exception) -> Response:
    """Why a login at the provider, or its end, did not work: the cause, and the ways on."""
    said = told(error)
    ways = {"again": request.app.state.login is not None, "by_token": request.app.state.by_token is not None}
    return page("login_problem.html", request, said.status, problem=said, **ways)
