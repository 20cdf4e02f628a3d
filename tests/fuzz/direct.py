"""The product's own coroutines and stages, run without an event loop and without threads: a thousand times a second.

What they wait for here is always there, so that one step ends them. That they read as the pipelines do is tested.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from .harness import Finding

R = TypeVar("R")


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """What it returns; it must wait for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    coroutine.close()
    raise Finding("a reading waited for something that is in memory")


async def at_once(function: Callable[..., R], *args: Any) -> R:
    """In the place of ``in_thread``."""
    return function(*args)


class Transform(Protocol):
    """As of the engine."""

    def feed(self, data: bytes, /) -> Iterable[bytes]:
        """Take some."""

    def finish(self) -> Iterable[bytes]:
        """What is left."""


def through(data: Iterable[bytes], *transforms: Transform) -> Iterator[bytes]:
    """What comes out of the last of them, as an edge does it."""
    for transform in transforms:
        data = _through(data, transform)
    yield from data


def _through(data: Iterable[bytes], transform: Transform) -> Iterator[bytes]:
    for one in data:
        yield from transform.feed(one)
    yield from transform.finish()


class Given:
    """In the place of an ``Inlet``."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._data = data

    async def each(self, parse: Callable[[bytes], R]) -> AsyncIterator[R]:
        """What becomes of each chunk."""
        for one in self._data:
            yield parse(one)


class Taken:
    """In the place of an ``Outlet``."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.ended = False

    async def send(self, item: object) -> None:
        """Take one."""
        if self.ended:
            raise Finding("something came behind the end")
        self.items.append(item)

    async def send_together(self, items: Sequence[object]) -> None:
        """Take some."""
        for item in items:
            await self.send(item)

    async def end(self) -> None:
        """No more will come."""
        self.ended = True
