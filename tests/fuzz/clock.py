"""A clock that stands still, where the package for it is installed: what an input does is the same on another day."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec


def stop() -> None:
    """Schedules, tokens and dates of HTTP are compared with the time of day."""
    if find_spec("time_machine"):
        import_module("time_machine").travel("2026-01-17T12:00:00+00:00", tick=False).start()
