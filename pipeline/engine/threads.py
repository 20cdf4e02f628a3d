"""CPU work in threads, on the pipeline's own limiter so that nobody else's work can starve it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

#: Set by ``Pipeline.run`` for its own tasks.
limiter: ContextVar[CapacityLimiter | None] = ContextVar("limiter", default=None)


async def in_thread(function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Run a chunk-sized piece of work in a thread and wait for it, even when cancelled meanwhile.

    The work must not block on the event loop or on an edge. Outside a pipeline anyio's default limiter is used.
    """
    return await to_thread.run_sync(function, *args, limiter=limiter.get())
