"""Ending a task that runs beside its owner."""

from __future__ import annotations

import asyncio
from typing import Any

#: Seconds after which a task that has not ended is cancelled again: longer than its cleaning up takes.
AGAIN = 5.0


async def end(task: asyncio.Task[Any], again: float = AGAIN) -> None:
    """Cancel ``task`` until it has ended, every ``again`` seconds.

    One cancellation can get lost: before Python 3.12 ``asyncio.wait_for`` swallows it when what it waits for is done
    at the same moment, and psycopg waits for a server's answer by it. A task that repeats its work would then go on
    for ever, and its owner would wait for it as long.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again)
