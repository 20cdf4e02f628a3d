"""Stages that everybody needs: ends without use, beginnings without items, iterables, and a parallel map."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

import anyio

from .declares import name_of
from .threads import in_thread, task_group
from .transform import MAX_CHUNK

if TYPE_CHECKING:
    from .ends import Inlet, Outlet

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


async def drain(items: Inlet[object]) -> None:
    """Sink: read to the end and keep nothing."""
    while await items.batch():
        pass


async def nothing(out: Outlet[T]) -> None:
    """Source: send no item."""


class Items(Generic[T]):
    """Source: sends what an async iterable gives, and closes it if it is a generator. ``source`` makes it of one."""

    def __init__(self, items: AsyncIterable[T]) -> None:
        self._items = items
        self.name = name_of(items)

    async def __call__(self, out: Outlet[T]) -> None:
        """Send every item. Raises what the iterable raises."""
        items = aiter(self._items)
        if isinstance(items, AsyncGenerator):
            async with aclosing(items):
                async for item in items:
                    await out.send(item)
        else:
            async for item in items:
                await out.send(item)


class _Work(Generic[B]):
    """An item on its way through a worker."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.result: list[B] = []


class Map(Generic[A, B]):
    """Stage: ``function`` of every item, for at most ``workers`` of them at once, sent in the order of the input.

    A plain function is called in a thread, an async one is awaited. What it raises fails the stage, without the items
    behind. At most ``workers`` items and results are held beside the item in its hand, of ``max_item`` bytes or fewer.
    """

    @overload
    def __init__(
        self, function: Callable[[A], Awaitable[B]], *, workers: int = 4, max_item: int = MAX_CHUNK, name: str = ""
    ) -> None: ...

    @overload
    def __init__(
        self, function: Callable[[A], B], *, workers: int = 4, max_item: int = MAX_CHUNK, name: str = ""
    ) -> None: ...

    def __init__(
        self,
        function: Callable[[A], B] | Callable[[A], Awaitable[B]],
        *,
        workers: int = 4,
        max_item: int = MAX_CHUNK,
        name: str = "",
    ) -> None:
        if workers < 1:
            raise ValueError("a map needs a worker")
        self.name = name or name_of(function)
        self.working_set = 2 * workers * max_item
        self._function = function
        self._async = iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - not whether it can be called
        self._workers = workers

    async def __call__(self, items: Inlet[A], out: Outlet[B]) -> None:
        """Pass everything through the workers. Raises what ``function`` raises."""
        # One of the works is in the hands of the loop that sends, the others wait in the queue.
        put, get = anyio.create_memory_object_stream[_Work[B]](self._workers - 1)
        with put, get:
            async with task_group() as tasks:
                tasks.start_soon(self._send, get, out)
                async for item in items:
                    work = _Work[B]()
                    await put.send(work)
                    tasks.start_soon(self._work, work, item)
                put.close()

    async def _work(self, work: _Work[B], item: A) -> None:
        if self._async:
            result = await cast("Callable[[A], Awaitable[B]]", self._function)(item)
        else:
            result = await in_thread(cast("Callable[[A], B]", self._function), item)
        work.result.append(result)
        work.done.set()

    async def _send(self, works: anyio.abc.ObjectReceiveStream[_Work[B]], out: Outlet[B]) -> None:
        async for work in works:
            await work.done.wait()
            await out.send(work.result.pop())
