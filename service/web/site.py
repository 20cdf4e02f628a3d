"""The page as a part of an app: its views for the default target, and for each by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import static_files
from .views import audit, history, keeping, looking, overview, restore, session, settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_OF_A_TARGET = (audit.router, history.router, keeping.router, looking.router, restore.router, settings.router)


def install(app: FastAPI, prefix: str) -> None:
    """Add the page to an app whose paths all begin with ``prefix``."""
    app.state.shown_problem = session.login_problem
    for base in ("", "/targets/{target}"):
        for router in _OF_A_TARGET:
            app.include_router(router, prefix=f"{prefix}{base}")
    for router in (overview.router, session.router, static_files.router):
        app.include_router(router, prefix=prefix)
