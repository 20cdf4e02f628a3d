"""What a replica does again and again beside everything else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from ...stages.errors import KleidiaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def repeated(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call ``work()`` every so many seconds while entered; what it raises is logged, and it is called again."""
    task = asyncio.create_task(_repeat(name, seconds, work), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _repeat(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    log = structlog.get_logger(f"kleidia_backup.{name}")
    said = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
            said = ""
        except KleidiaError as exc:
            if said != exc.message:  # once, not every few seconds
                said = exc.message
                log.warning("it failed, and will be tried again", error=exc.message, hint=exc.hint)
        except Exception:
            log.exception("it failed in a way nobody expected, and will be tried again")
