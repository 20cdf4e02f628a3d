"""Transforms: bytes in, bytes out, without a stage of their own.

A hop to a thread and back costs more than what most transforms do with a chunk, and threads that hand chunks on to each
other also wait for the interpreter's lock. So transforms share one hop with each other and with the stage beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Protocol, TypeVar

from .declares import working_set_of

R = TypeVar("R")

#: Largest item on an edge, in bytes, unless the edge says otherwise.
MAX_CHUNK = 1024 * 1024
#: Pieces made in one hop, at most.
_PIECES = 256


class Transform(Protocol):
    """``feed`` is called for each chunk, then ``finish`` once; in a thread, never twice at the same time.

    Both may be generators: what comes out is asked for piece by piece, each of any size up to ``MAX_CHUNK`` and a
    little, so that a transform that expands its input needs no memory for all of it. What either raises fails the run.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    def feed(self, data: bytes, /) -> Iterable[bytes]:
        """What is ready after these bytes."""

    def finish(self) -> Iterable[bytes]:
        """What is left when the input ended. Raises when it may not end there."""


class Count:
    """What passed a point of a pipeline: items and bytes."""

    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0


class Step(Count):
    """A transform at its place: what came out of it, and the seconds that it took, those of the others not counted."""

    __slots__ = ("seconds", "transform")

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform
        self.seconds = 0.0

    @property
    def working_set(self) -> int:
        """Bytes that the transform holds."""
        return working_set_of(self.transform)

    def feed(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Each of these through the transform."""
        for piece in data:
            yield from self._timed(self.transform.feed, piece)

    def finish(self) -> Iterator[bytes]:
        """The transform's end."""
        yield from self._timed(self.transform.finish)

    def _timed(self, function: Callable[..., Iterable[bytes]], *args: bytes) -> Iterator[bytes]:
        started = perf_counter()
        for made in function(*args):
            self.seconds += perf_counter() - started
            self.items += 1
            self.bytes += len(made)
            yield made
            started = perf_counter()
        self.seconds += perf_counter() - started


def feed(steps: Iterable[Step], data: Iterable[bytes]) -> Iterator[bytes]:
    """These through all the steps, made as it is asked for."""
    for step in steps:
        data = step.feed(data)
    return iter(data)


def finish(steps: Sequence[Step]) -> Iterator[bytes]:
    """Each step's end, through those behind it."""
    for number, step in enumerate(steps, 1):
        yield from feed(steps[number:], step.finish())


def cut(data: bytes, size: int = MAX_CHUNK) -> Iterator[bytes]:
    """Cut into chunks of ``size`` bytes at most; nothing for nothing."""
    if 0 < len(data) <= size:
        yield data
    else:
        for at in range(0, len(data), size):
            yield data[at : at + size]


def take(ready: Iterator[bytes], size: int, function: Callable[[bytes], R]) -> tuple[list[R], bool]:
    """``function`` of about a chunk of what is ready, and whether there may be more.

    A hop ends soon, for nobody can cancel it.
    """
    some: list[bytes] = []
    taken = 0
    more = False
    for number, data in enumerate(ready, 1):
        some += cut(data, size)
        taken += len(data)
        if taken >= MAX_CHUNK or number == _PIECES:
            more = True
            break
    return [function(piece) for piece in some], more
