"""Edges: bounded streams between two stages, with counters.

An edge of depth d holds at most d + 2 items: d in the buffer, one in the hands of a waiting writer, one in the
reader's. A bound in bytes therefore also needs a largest item, which ``send`` enforces. What is sent together counts
as one item there, and in the counters as many.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from .errors import OversizeItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

#: Largest item on an edge, in bytes, unless the edge says otherwise.
MAX_CHUNK = 1024 * 1024


def size_of(item: object) -> int:
    """Bytes an item occupies: its length for bytes, ``nbytes`` where it has one, else 0."""
    if isinstance(item, (bytes, bytearray)):
        return len(item)
    return getattr(item, "nbytes", 0)


class _Batch(tuple[T, ...]):
    """What was sent together."""

    __slots__ = ()


class Edge(Generic[T]):
    """What one stage writes and another reads; each exactly once. Made by ``Pipeline`` only."""

    def __init__(self, name: str, *, depth: int, max_item: int, senders: int, tree: int) -> None:
        self.name = name
        self.depth = depth
        self.max_item = max_item
        self.senders = senders
        self.tree = tree
        self.taken = False
        self.items = 0
        self.bytes = 0
        self.send_stream: MemoryObjectSendStream[T]
        self.receive_stream: MemoryObjectReceiveStream[Any]

    def open(self) -> None:
        """Make the stream; an edge of a pipeline that never ran holds nothing to close."""
        self.send_stream, self.receive_stream = anyio.create_memory_object_stream[Any](self.depth)

    def memory_bound(self) -> int:
        """Most bytes this edge can hold."""
        return (self.depth + 1 + self.senders) * self.max_item

    def close(self) -> None:
        """Close both ends."""
        self.send_stream.close()
        self.receive_stream.close()


class Inlet(Generic[T_co]):
    """The reading end of an edge, given to a stage. Iterate it to its end."""

    def __init__(self, edge: Edge[T_co]) -> None:
        self._edge = edge
        self.name = edge.name
        self.tree = edge.tree
        self.ended = False
        self.waited = 0.0
        self._rest: Iterator[T_co] = iter(())

    def __aiter__(self) -> Inlet[T_co]:
        return self

    async def __anext__(self) -> T_co:
        """The next item. Ends only after the stage that writes this edge, and all before it, succeeded."""
        for item in self._rest:
            return item
        taken = await self._take()
        if not isinstance(taken, _Batch):
            return taken
        self._rest = iter(taken)
        return next(self._rest)

    async def batch(self) -> Sequence[T_co]:
        """The items that were sent together, or the next one if it was sent alone; none at the end.

        For a stage that has little to do for each of many small items.
        """
        if rest := tuple(self._rest):
            return rest
        try:
            taken = await self._take()
        except StopAsyncIteration:
            return ()
        return taken if isinstance(taken, _Batch) else (taken,)

    async def _take(self) -> T_co | _Batch[T_co]:
        stream: MemoryObjectReceiveStream[T_co | _Batch[T_co]] = self._edge.receive_stream
        try:
            # An item that is there costs no turn of the event loop; an edge is bounded, so that others soon have one.
            return stream.receive_nowait()
        except anyio.EndOfStream:
            self.ended = True
            raise StopAsyncIteration from None
        except anyio.WouldBlock:
            pass
        started = perf_counter()
        try:
            return await stream.receive()
        except anyio.EndOfStream:
            self.ended = True
            raise StopAsyncIteration from None
        finally:
            self.waited += perf_counter() - started


class Outlet(Generic[T_contra]):
    """The writing end of an edge, given to a stage."""

    def __init__(self, edge: Edge[Any]) -> None:
        self._edge = edge
        #: Tasks of the stage that send, and the seconds that they waited, all together.
        self.senders = edge.senders
        self.waited = 0.0

    async def send(self, item: T_contra) -> None:
        """Hand an item on; waits while the edge is full.

        Raises ``OversizeItem`` for an item of more bytes than the edge takes: cut it first.
        """
        await self._put(item, size_of(item), 1)

    async def send_together(self, items: Sequence[T_contra]) -> None:
        """Hand several on at the cost of one. Raises ``OversizeItem`` when together they are larger than one may be."""
        if items:
            await self._put(_Batch(items), sum(map(size_of, items)), len(items))

    async def _put(self, item: object, size: int, count: int) -> None:
        edge = self._edge
        if size > edge.max_item:
            raise OversizeItem(f"an item of {size} bytes on edge {edge.name}, which takes {edge.max_item} at most")
        try:
            edge.send_stream.send_nowait(item)
        except anyio.WouldBlock:
            started = perf_counter()
            try:
                await edge.send_stream.send(item)
            finally:
                self.waited += perf_counter() - started
        edge.items += count
        edge.bytes += size
