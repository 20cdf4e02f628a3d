"""The event loop that some libraries need: aiohttp's own error elsewhere says nothing to anybody."""

from __future__ import annotations

import asyncio

from .errors import ConfigurationError


def need_asyncio(what: str) -> None:
    """Refuse to go on under another loop than asyncio's. Raises ``ConfigurationError``."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            f"{what} can be used on asyncio alone, and this program runs on another event loop.",
            hint="Run it by asyncio.run, or by anyio.run without another backend.",
        ) from None
