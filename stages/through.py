"""One stage made of steps that always run together.

A hop to a thread and back costs more than what most steps do with a chunk, and threads that hand chunks on to each
other also wait for the interpreter's lock. So steps without a branch between them share one hop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..pipeline.engine import MAX_CHUNK, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..pipeline.engine import Inlet, Outlet


#: Pieces made in one hop, at most.
_PIECES = 256


class Step(Protocol):
    """Bytes in, bytes out: ``feed`` as often as needed, then ``finish`` once. Neither holds more than it must.

    Both may be generators: what comes out is asked for piece by piece, each of any size up to ``MAX_CHUNK`` and a
    little, so that one that expands its input needs no memory for all of it.
    """

    name: str

    def feed(self, data: bytes) -> Iterable[bytes]:
        """What is ready after these bytes."""

    def finish(self) -> Iterable[bytes]:
        """What is left when the input ended. Raises when it may not end there."""


class Chain:
    """Steps one behind the other; without any, what goes in comes out."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self.name = "+".join(step.name for step in steps)

    def feed(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """What is ready after these bytes, made as it is asked for."""
        return _feed(self._steps, data)

    def finish(self) -> Iterator[bytes]:
        """Each step's end, through those behind it."""
        for number, step in enumerate(self._steps, 1):
            yield from _feed(self._steps[number:], step.finish())


class Through:
    """Stage: passes chunks through steps, first to last, all in one hop to a thread."""

    def __init__(self, *steps: Step) -> None:
        self._chain = Chain(*steps)
        self.name = self._chain.name

    async def __call__(self, chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        """Pass everything through. Raises what the steps raise."""
        async for chunk in chunks:
            await send(self._chain.feed((chunk,)), out)
        await send(self._chain.finish(), out)


async def send(ready: Iterator[bytes], out: Outlet[bytes]) -> None:
    """Make in a thread what an iterator gives, about a chunk at a time, and send it in pieces that an edge takes."""
    more = True
    while more:
        some, more = await in_thread(take, ready)
        for piece in some:
            await out.send(piece)


def _feed(steps: Iterable[Step], data: Iterable[bytes]) -> Iterator[bytes]:
    for step in steps:
        data = _through(step, data)
    return iter(data)


def _through(step: Step, data: Iterable[bytes]) -> Iterator[bytes]:
    for piece in data:
        yield from step.feed(piece)


def take(ready: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """About a chunk of what is ready, and whether there may be more: a hop ends soon, for nobody can cancel it."""
    some: list[bytes] = []
    size = 0
    for number, data in enumerate(ready, 1):
        some += pieces(data)
        size += len(data)
        if size >= MAX_CHUNK or number == _PIECES:
            return some, True
    return some, False


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut into chunks that an edge takes; nothing for nothing."""
    if 0 < len(data) <= MAX_CHUNK:
        yield data
    else:
        for at in range(0, len(data), MAX_CHUNK):
            yield data[at : at + MAX_CHUNK]
