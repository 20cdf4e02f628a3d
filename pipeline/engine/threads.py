"""CPU work in threads, on the pipeline's own limiter so that nobody else's work can starve it; and groups of tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio
from anyio import CapacityLimiter, to_thread

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

#: Set by ``Pipeline.run`` for its own tasks.
limiter: ContextVar[CapacityLimiter | None] = ContextVar("limiter", default=None)


async def in_thread(function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Run a chunk-sized piece of work in a thread and wait for it, even when cancelled meanwhile.

    The work must not block on the event loop or on an edge. Outside a pipeline anyio's default limiter is used.
    """
    return await to_thread.run_sync(function, *args, limiter=limiter.get())


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group out of which a single error comes as itself, not as a group of one."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__


def root_cause(error: Exception) -> Exception:
    """The first error in the groups that groups of tasks make, which is the one that ended the others."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
