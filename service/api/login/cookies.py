"""The two cookies of a login. Both are ``__Host-``: of this host alone, over TLS alone, and no script reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from fastapi import Request

SESSION, ATTEMPT = "__Host-kleidia-session", "__Host-kleidia-login"
#: Seconds that somebody has to log in at the provider.
ATTEMPT_LASTS = 600
#: Longest value that is looked at.
_LONGEST = 4096


def cookie_of(request: Request, name: str) -> str | None:
    """What a request has; None when that is nothing, or cannot be ours."""
    value = request.cookies.get(name, "")
    return value if 0 < len(value) <= _LONGEST and value.isascii() and value.isprintable() else None


def set_cookie(response: Response, name: str, value: str, lasts: float) -> None:
    """Give a browser one, for so many seconds."""
    response.set_cookie(name, value, max_age=int(lasts), path="/", secure=True, httponly=True, samesite="lax")


def clear_cookie(response: Response, name: str) -> None:
    """Take it away."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def cleared(name: str) -> str:
    """The header that does so."""
    response = Response()
    clear_cookie(response, name)
    return response.headers["set-cookie"]
