"""Background work that a replica repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from ...stages.background import end
from ...stages.errors import KleidiaError


@asynccontextmanager
async def every(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call ``work()`` every ``seconds`` while entered; what it raises is logged, and it is called again."""
    task = asyncio.create_task(_repeat(name, seconds, work), name=name)
    try:
        yield
    finally:
        await end(task)


async def _repeat(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    log = structlog.get_logger(f"kleidia_backup.{name}")
    logged = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
            logged = ""
        except KleidiaError as exc:
            if logged != exc.message:  # once, not every few seconds
                logged = exc.message
                log.warning("it failed, and will be tried again", error=exc.message, hint=exc.hint)
        except Exception:
            log.exception("it failed in a way nobody expected, and will be tried again")
