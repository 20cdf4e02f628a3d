"""The service: jobs, schedule, retention and audit; what runs them; their HTTP API.

The names in ``__all__`` are what another application needs to embed it; each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.reader import load
    from ..config.service_build import service_settings
    from .api.app import create_app
    from .api.identity.auth import NotAuthenticated
    from .api.identity.roles import Principal
    from .service import Service

_HOME = {
    "NotAuthenticated": ".api.identity.auth",
    "Principal": ".api.identity.roles",
    "Service": ".service",
    "create_app": ".api.app",
    "load": "..config.reader",
    "service_settings": "..config.service_build",
}

__all__ = ["NotAuthenticated", "Principal", "Service", "create_app", "load", "service_settings"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
