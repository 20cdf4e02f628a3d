"""Many workers on one edge."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

T = TypeVar("T")

#: Batches of items that wait for a worker, at most: one that they take from, and the next.
AHEAD = 2


async def fan_out(
    batch: Callable[[], Awaitable[Sequence[T]]],
    workers: int,
    handle: Callable[[T], Awaitable[None]],
    alone: Callable[[T], bool] = lambda _: False,
) -> None:
    """Await ``handle`` for every item, for at most ``workers`` of them at once. Raises what it raises.

    ``batch`` gives items until it gives none. It is awaited while the workers are busy with those before.
    Of the items for which ``alone`` holds, there is one at a time, besides those that the workers have.
    """
    ready: deque[T] = deque()
    more, empty = anyio.Event(), anyio.Event()
    ended = False

    async def work() -> None:
        while ready or not ended:
            if ready:
                item = ready.popleft()
                if not ready:
                    empty.set()
                await handle(item)
            else:
                await more.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(workers):
            tasks.start_soon(work)
        while items := await batch():
            if ready:
                await empty.wait()
            empty = anyio.Event()
            large: list[T] = []
            for item in items:
                (large if alone(item) else ready).append(item)
            more.set()
            more = anyio.Event()
            for item in large:
                await handle(item)
        ended = True
        more.set()
