"""Requests that a foreign page makes a browser send, with the cookie of whoever sits before it (CSRF).

A browser says from which site a request comes (``Sec-Fetch-Site``), an old one at least from which origin. Callers with
a token are never asked: no page can make a browser send that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..problems import ApiError
from .address import own_origin

if TYPE_CHECKING:
    from fastapi import Request

#: Methods that change nothing (RFC 9110, 9.2.1).
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CrossSite(ApiError):
    """A request with a session's cookie that does not come from our own pages."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "cross-site",
            "The request comes from another site",
            "A page of another site made the browser send it, or the browser does not say which page did.",
            "Do it from this service's own pages, or send a token.",
        )


def refuse_cross_site(request: Request) -> None:
    """Refuse what does not come from an own page; what is safe may come from the address bar. Raises ``CrossSite``."""
    sites = request.headers.getlist("sec-fetch-site")
    if sites:
        if sites == ["same-origin"] or (sites == ["none"] and request.method in SAFE):
            return
        raise CrossSite
    origins = request.headers.getlist("origin")
    if origins != [own_origin(request)]:
        raise CrossSite
