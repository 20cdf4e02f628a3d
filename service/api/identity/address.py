"""Where this service is reached, as its callers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fastapi import Request


def base_path(request: Request) -> str:
    """What every path begins with, as callers see it: where the app is mounted, and its prefix. No slash at its end."""
    public: str = request.app.state.public_url
    if public:
        return urlsplit(public).path.rstrip("/")
    return f"{request.scope.get('root_path', '')}{request.app.state.prefix}".rstrip("/")


def base_url(request: Request) -> str:
    """The address of the service: as it is configured, else as the request says. No slash at its end."""
    public: str = request.app.state.public_url
    return public.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}{base_path(request)}"


def own_origin(request: Request) -> str:
    """The origin of our own pages, as browsers write it."""
    parts = urlsplit(base_url(request))
    port = "" if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)} else f":{parts.port}"
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
