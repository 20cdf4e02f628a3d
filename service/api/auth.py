"""Who asks, and what they may: a principal with a role, from whatever authenticates."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import Depends, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from ...stages.errors import KleidiaError
from ..control.audit import Actor, Audit, AuditEntry
from .problems import ApiError

Role: TypeAlias = Literal["admin", "viewer"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is known: ``subject`` identifies, ``name`` is for people, ``role`` decides."""

    subject: str
    name: str
    role: Role


#: What tells who asks. An embedding service brings its own; it raises ``NotAuthenticated`` or ``Forbidden``.
Authenticate: TypeAlias = Callable[[Request], Awaitable[Principal]]


class NotAuthenticated(ApiError):
    """Nobody that is known. ``tried``: something was presented and refused, which is audited."""

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
    """Somebody known, whose role does not allow it."""

    def __init__(self, reason: str) -> None:
        super().__init__(403, "forbidden", "Your role may not do this", reason, "Ask an administrator.")


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal, and from where: both are written to jobs and to the audit log."""

    principal: Principal
    ip: str
    workstation: str

    @property
    def actor(self) -> Actor:
        """The same, as the audit log names it."""
        return Actor(self.principal.subject, self.principal.name, self.ip, self.workstation)


def line(text: str | None, longest: int = 255) -> str:
    """A foreign text that may be kept: one printable line of bounded length, else nothing."""
    text = (text or "").strip()
    return text if len(text) <= longest and text.isprintable() else ""


def origin(request: Request) -> tuple[str, str]:
    """IP address and workstation.

    Behind a proxy the address is the proxy's, unless the server was told to trust it. The workstation is what the
    client says of itself in ``X-Workstation``; nobody is asked for the name of an address.
    """
    return request.client.host if request.client else "", line(request.headers.get("x-workstation"))


class RefusedLogins:
    """Audits refused logins, and lets nobody fill the table: so many a minute on each replica, the rest are counted."""

    def __init__(self, audit: Audit, per_minute: int = 20, now: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._per_minute = per_minute
        self._now = now
        self._since = float("-inf")
        self._written = self._left_out = 0

    async def write(self, request: Request, reason: str) -> None:
        """Note one refusal."""
        if self._now() - self._since >= 60:
            self._since, self._written = self._now(), 0
        if self._written >= self._per_minute:
            self._left_out += 1
            return
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        more = f" ({left_out} more were refused before and not written.)" if left_out else ""
        ip, workstation = origin(request)
        where = f"{request.method} {line(request.scope['path']) or '(a path that is not printable)'}"
        await self._audit.write(
            AuditEntry.by(Actor(None, "", ip, workstation), "login.refused", details=f"{where}: {reason}{more}")
        )


#: Where a request holds its caller, once it is known.
_CALLER = "kleidia_backup.caller"

bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A JWT whose role claim is admin or viewer.")


async def viewer(request: Request, _: Annotated[object, Security(bearer)]) -> Caller:
    """Anybody with a role."""
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
    except KleidiaError as exc:  # a vault that is sealed, a secret that is not there: nobody can be known
        raise ApiError(
            503,
            "no-keys",
            "Tokens cannot be checked",
            exc.message,
            exc.hint or "Ask an operator.",
            headers={"Retry-After": "10"},
        ) from None
    caller = request.scope[_CALLER] = Caller(principal, *origin(request))
    return caller


async def admin(caller: Annotated[Caller, Depends(viewer)]) -> Caller:
    """Administrators."""
    if caller.principal.role != "admin":
        raise Forbidden("Only an administrator may do this.")
    return caller


class AuthenticatedRoute(APIRoute):
    """Looks who asks before it reads the request: FastAPI reads a body before it asks any dependency.

    So nobody without a token learns what is wrong with a body, and none of it is parsed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI makes it, behind the role that the route depends on."""
        handle = super().get_route_handler()
        needed = set(_calls(self.dependant))

        async def handler(request: Request) -> Response:
            if viewer in needed:
                caller = await viewer(request, None)
                if admin in needed:
                    await admin(caller)
            return await handle(request)

        return handler


def _calls(dependant: Dependant) -> Iterator[object]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)
