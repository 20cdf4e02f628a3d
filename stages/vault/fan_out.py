"""Many workers on one edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream


T = TypeVar("T")

#: Items that wait for a worker, at most.
AHEAD = 4


async def fan_out(
    items: AsyncIterable[T],
    workers: int,
    handle: Callable[[T], Awaitable[None]],
    alone: Callable[[T], bool] = lambda _: False,
) -> None:
    """Await ``handle`` for every item, for at most ``workers`` of them at once. Raises what it raises.

    Of the items for which ``alone`` holds, there is one at a time, besides those that the workers have.
    """
    hand, taken = anyio.create_memory_object_stream[T](AHEAD)

    async def work(mine: MemoryObjectReceiveStream[T]) -> None:
        with mine:
            while (item := await _next(mine)) is not None:
                await handle(item)

    async with anyio.create_task_group() as tasks, taken, hand:  # taken: open until what a worker raised is seen
        for _ in range(workers):
            tasks.start_soon(work, taken.clone())
        async for item in items:
            if alone(item):
                await handle(item)
                continue
            try:
                hand.send_nowait(item)
            except anyio.WouldBlock:
                await hand.send(item)


async def _next(items: MemoryObjectReceiveStream[T]) -> T | None:
    """The next item; None at the end. Without a turn of the event loop where it is there: each item takes enough."""
    try:
        return items.receive_nowait()
    except anyio.WouldBlock:
        pass
    except anyio.EndOfStream:
        return None
    try:
        return await items.receive()
    except anyio.EndOfStream:
        return None
