"""Who sends a request: a machine by its token, or somebody who logged in by the cookie of his browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from ...control.logins.sessions import Session, Sessions
from ..identity.auth import BY_COOKIE, Authenticate, Forbidden, NotAuthenticated
from ..identity.authenticators import granting
from ..identity.cross_site import SAFE, refuse_cross_site
from .cookies import SESSION, cookie_of
from .provider import Provider

if TYPE_CHECKING:
    from fastapi import Request

    from ....config.service import ServiceSettings
    from ...control.database import Control
    from ..identity.granting import Granting
    from ..identity.roles import Principal


class Way(Protocol):
    """A way to log in: its sessions, and what their roles mean."""

    @property
    def sessions(self) -> Sessions:
        """Who is logged in."""

    @property
    def granting(self) -> Granting:
        """What the values of the role claim mean."""


@dataclass(frozen=True, slots=True)
class Login:
    """All that a login needs. ``lasts``: seconds after which a browser forgets it, if it is still open.

    ``origin`` is the provider's.
    """

    provider: Provider
    sessions: Sessions
    granting: Granting
    role_claim: str
    lasts: float
    origin: str


def login_of(config: ServiceSettings, control: Control) -> Login | None:
    """The login that is configured, if there is one."""
    if (settings := config.login) is None:
        return None
    client = f"{settings.issuer} {settings.client_id}"
    return Login(
        Provider(settings),
        Sessions(control, client, idle=settings.idle, longest=settings.longest),
        granting(config),
        settings.role_claim or config.role_claim,
        settings.longest,
        "{0.scheme}://{0.netloc}".format(urlsplit(settings.issuer)),
    )


class PeopleAndMachines:
    """Authenticates by token where there is one, else by the cookie of a session.

    Raises what ``tokens`` raises, ``NotAuthenticated``, ``Forbidden``, ``CrossSite`` for what changes something and
    comes from a foreign page, and what ``Control.connection`` raises.
    """

    def __init__(self, tokens: Authenticate, ways: Sequence[Way]) -> None:
        self._tokens = tokens
        self._ways = ways

    async def __call__(self, request: Request) -> Principal:
        """Who sent it."""
        cookie = cookie_of(request, SESSION)
        if cookie is None or "authorization" in request.headers:
            return await self._tokens(request)
        found = await session_of(self._ways, cookie, uses=not _asked_by_itself(request))
        if found is None:
            raise NotAuthenticated("The session is not known, or was ended.")
        way, session = found
        if not session.live:
            raise NotAuthenticated("The session has ended. Log in again.", tried=False)
        if request.method not in SAFE:
            refuse_cross_site(request)
        request.scope[BY_COOKIE] = True
        principal = way.granting.principal(session.subject, session.name, session.roles)
        if principal is None:
            raise Forbidden("Your login gives you no role here.")
        return principal


def _asked_by_itself(request: Request) -> bool:
    """Whether a page asks on its own, again and again, which does not keep a session alive."""
    part = request.method in SAFE and request.headers.get("hx-request") == "true"
    return part or getattr(request.scope.get("endpoint"), "polled", False)


async def session_of(ways: Sequence[Way], cookie: str, *, uses: bool) -> tuple[Way, Session] | None:
    """The session of a cookie, and the way it was begun. Raises what ``Control.connection`` raises."""
    for way in ways:
        if (session := await way.sessions.find(cookie, uses=uses)) is not None:
            return way, session
    return None
