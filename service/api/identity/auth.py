"""Authentication and roles of callers."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from fastapi import Depends, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from ....stages.errors import KleidiaError
from ...control.audit import Actor
from ..problems import ApiError, fields
from .cross_site import CrossSite, refuse_cross_site
from .origin import origin
from .roles import NEEDS, Action, Principal, allowed

if TYPE_CHECKING:
    from .refused import RefusedLogins

#: Authenticates a request. An embedding service brings its own; it raises ``NotAuthenticated`` or ``Forbidden``.
Authenticate: TypeAlias = Callable[[Request], Awaitable[Principal]]


class NotAuthenticated(ApiError):
    """The caller is not authenticated. ``tried``: something was presented and refused, which is audited."""

    def __init__(self, reason: str, *, tried: bool = True) -> None:
        error = ', error="invalid_token"' if tried else ""
        super().__init__(
            401,
            "not-authenticated",
            "Who you are is not known",
            reason,
            "Send Authorization: Bearer with a valid token.",
            headers={"WWW-Authenticate": f'Bearer realm="kleidia-backup"{error}'},
        )
        self.tried = tried


class Forbidden(ApiError):
    """The caller's role does not allow it."""

    def __init__(self, reason: str) -> None:
        super().__init__(403, "forbidden", "Your role may not do this", reason, "Ask an administrator.")


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal, and from where: both are written to jobs and to the audit log.

    ``by_cookie``: a browser said who it is, unasked, so it matters which page made it send the request.
    """

    principal: Principal
    ip: str
    workstation: str
    by_cookie: bool = False

    @property
    def actor(self) -> Actor:
        """The same, as the audit log names it."""
        return Actor(self.principal.subject, self.principal.name, self.ip, self.workstation)


#: Keys in a request's scope: the caller; whether a session's cookie identified him; and whether the route shows a page
#: and does nothing else.
_CALLER, BY_COOKIE, SHOWS = "kleidia_backup.caller", "kleidia_backup.by_cookie", "kleidia_backup.shows"

bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="A JWT whose role claim is admin, operator or viewer."
)


async def authenticated(request: Request, _: Annotated[object, Security(bearer)]) -> Caller:
    """Authenticate: whoever has a role on any target."""
    if (known := request.scope.get(_CALLER)) is not None:
        return known  # type: ignore[no-any-return]  # as AuthenticatedRoute has put it there
    authenticate: Authenticate = request.app.state.authenticate
    refused: RefusedLogins = request.app.state.refused
    try:
        principal = await authenticate(request)
    except NotAuthenticated as exc:
        if exc.tried:
            await refused.write(request, str(exc))
        raise
    except CrossSite as exc:
        await refused.write(request, str(exc))
        raise
    except KleidiaError as exc:  # a sealed vault, a missing secret: no token can be checked
        raise ApiError(
            503,
            "no-keys",
            "Tokens cannot be checked",
            exc.message,
            exc.hint or "Ask an operator.",
            headers={"Retry-After": "10"},
            **fields(exc),
        ) from None
    by_cookie = request.scope.get(BY_COOKIE) is True
    caller = request.scope[_CALLER] = Caller(principal, *origin(request), by_cookie)
    return caller


def target_named(request: Request) -> str:
    """The target that a path names, or the default one; there may be none of that name."""
    named = request.path_params.get("target")
    return str(named) if named is not None else str(request.app.state.targets.default)


def check(request: Request, caller: Caller, action: Action) -> None:
    """Refuse what somebody may not do with the target of a request. Raises ``Forbidden``."""
    if not allowed(caller.principal, action, target_named(request)):
        role = NEEDS[action]
        raise Forbidden(
            "Only an administrator may do this."
            if role == "admin"
            else f"This takes the role {role}, or a higher one, on this target."
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency: the caller, who may do ``action`` with the target that the path names."""

    action: Action

    async def __call__(self, request: Request, caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        """Let through, or raise ``Forbidden`` or ``CrossSite``."""
        check(request, caller, self.action)
        # A link may bring people to what they read. Nothing else is done because a foreign page says so.
        if caller.by_cookie and NEEDS[self.action] != "viewer" and SHOWS not in request.scope:
            try:
                refuse_cross_site(request)
            except CrossSite as exc:
                await request.app.state.refused.write(request, str(exc))
                raise
        return caller


class AuthenticatedRoute(APIRoute):
    """Authenticates before it reads the request: FastAPI reads a body before it calls any dependency.

    So no caller without a token learns what is wrong with a body, and none of it is parsed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI makes it, behind what the route depends on."""
        handle = super().get_route_handler()
        needed = [*_calls(self.dependant)]
        actions = actions_of(self)

        async def handler(request: Request) -> Response:
            if authenticated in needed:
                caller = await authenticated(request, None)
                for each in actions:
                    await Needs(each)(request, caller)
            return await handle(request)

        return handler


def actions_of(route: APIRoute) -> list[Action]:
    """What somebody must be allowed who asks for a route."""
    return [each.action for each in _calls(route.dependant) if isinstance(each, Needs)]


def _calls(dependant: Dependant) -> Iterator[object]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)
