"""What every view shares: who asks, and errors as a page says them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from ...stages.errors import KleidiaError
from ..api.identity.address import base_path
from ..api.identity.auth import SHOWS, AuthenticatedRoute, NotAuthenticated
from ..api.identity.cross_site import SAFE, CrossSite, refuse_cross_site
from ..api.problems import ApiError, told
from .templating import by_htmx, here, page

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ..api.problems import Told

#: Bytes below which compressing saves nothing, and how hard zlib tries: more costs more time than it saves on the wire.
_WORTH, _LEVEL = 1000, 6


class PageRoute(AuthenticatedRoute):
    """Authenticates as the API's routes do. Who is not known is led to the login, and every error is a page.

    A form is only taken from our own pages, however its sender is known: any page can make a browser send one, with
    whatever the host's login, or a proxy, takes for an identity.

    Pages are compressed. Nothing in them is worth guessing by their length: no token against forged forms, no password.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compress the answer for who takes that."""
        await GZipMiddleware(super().handle, _WORTH, _LEVEL)(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the API's, with errors shown."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                if request.method in SAFE:
                    request.scope[SHOWS] = True
                else:
                    await _own_form(request)
                return await handle(request)
            except NotAuthenticated as exc:
                return _to_login(request) if request.app.state.ways else _problem(request, told(exc))
            except (ApiError, KleidiaError, RequestValidationError, ValidationError) as exc:
                return _problem(request, told(exc))
            except HTTPException as exc:
                return _problem(request, told(exc))

        return handler


def router_of() -> APIRouter:
    """A router for views."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


async def _own_form(request: Request) -> None:
    try:
        refuse_cross_site(request)
    except CrossSite as exc:
        await request.app.state.refused.write(request, str(exc))
        raise


def _to_login(request: Request) -> Response:
    to = f"{base_path(request)}/login?next={quote(_wanted(request), safe='')}"
    if by_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


def _wanted(request: Request) -> str:
    """Where to go on after the login: the view itself, or the first one."""
    if request.method != "GET" or by_htmx(request):
        return f"{base_path(request)}/history"
    inside = str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))
    path = f"{base_path(request)}{inside.removeprefix(request.app.state.prefix)}"
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _problem(request: Request, problem: Told) -> Response:
    if problem.status >= 500:
        structlog.get_logger("kleidia_backup.web").warning("a page could not be shown", error=problem.kind)
    name = "_problem.html" if by_htmx(request) else "problem.html"
    return page(name, request, problem.status, problem=problem)


def seen(request: Request, path: str) -> Response:
    """Go on with another view after something was done (so that loading it again does nothing twice)."""
    to = f"{here(request)}{path}"
    return Response(status_code=204, headers={"HX-Redirect": to}) if by_htmx(request) else RedirectResponse(to, 303)
