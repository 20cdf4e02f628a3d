"""Edges: bounded streams between two stages, with counters, transforms and events.

An edge of depth d holds at most d + 2 items: d in the buffer, one in the hands of a waiting writer, one in the
reader's. A bound in bytes therefore also needs a largest item, which ``send`` enforces. What is sent together counts
as one item there, and in the counters as many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

import anyio

from .errors import WiringError
from .events import EdgeSnapshot
from .transform import MAX_CHUNK, Count, Step, Transform

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


T_co = TypeVar("T_co", covariant=True)
_Bytes: TypeAlias = bytes  # an edge has a property of that name


class EdgeEvent:
    """Something that happens to an edge once; for ``when=``, and to be waited for like an event of anyio."""

    def __init__(self, link: Link, kind: Literal["ended", "consumed"]) -> None:
        self.link: Final = link
        self.kind: Final = kind
        self._event = anyio.Event()

    def set(self) -> None:
        """It happened. For the engine alone."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it happened."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it happened."""
        await self._event.wait()


class Link:
    """The inside of an edge: the stream between writer and reader. For the engine alone."""

    def __init__(
        self, name: str, *, depth: int, max_item: int, senders: int = 1, in_hand: int | None = None, tree: int = 0
    ) -> None:
        self.name = name
        self.depth = depth
        self.max_item = max_item
        self.senders = senders
        self.in_hand = senders * max_item if in_hand is None else in_hand
        self.tree = tree
        self.raw = Count()
        self.steps: list[Step] = []
        #: Whether the writer's side runs the transforms; decided by its first item.
        self.making: bool | None = None
        self.opened = False
        self.marked = False
        #: The edge that must be marked as complete before anything is sent here.
        self.before: Link | None = None
        self.ended = EdgeEvent(self, "ended")
        self.consumed = EdgeEvent(self, "consumed")
        self.send_stream: MemoryObjectSendStream[Any]
        self.receive_stream: MemoryObjectReceiveStream[Any]

    def open(self) -> None:
        """Make the stream; an edge of a pipeline that never ran holds nothing to close."""
        self.send_stream, self.receive_stream = anyio.create_memory_object_stream[Any](self.depth)
        self.opened = True
        if not self.steps or self.senders > 1:  # several tasks would mix up what passes through the transforms
            self.making = False

    def close(self) -> None:
        """Close both ends."""
        self.send_stream.close()
        self.receive_stream.close()

    @property
    def last(self) -> Count:
        """What comes out, behind the transforms."""
        return self.steps[-1] if self.steps else self.raw

    @property
    def chunk(self) -> int:
        """Largest piece that transforms may give, in bytes."""
        return min(self.max_item, MAX_CHUNK)

    def memory_bound(self) -> int:
        """Most bytes this edge can hold: its items, what is made in one hop, and what its transforms keep."""
        bound = (self.depth + 1) * self.max_item + self.in_hand
        if self.steps:
            bound += 2 * MAX_CHUNK + sum(step.working_set for step in self.steps)
        return bound

    def snapshot(self) -> EdgeSnapshot:
        """What crossed the stream, and who waits."""
        crossed = self.last if self.making else self.raw
        if not self.opened:
            return EdgeSnapshot(self.name, 0, 0, 0, writer_waits=False, reader_waits=False)
        stats = self.send_stream.statistics()
        return EdgeSnapshot(
            self.name,
            crossed.items,
            crossed.bytes,
            stats.current_buffer_used,
            stats.tasks_waiting_send > 0,
            stats.tasks_waiting_receive > 0,
        )


class Edge(Generic[T_co]):
    """What one stage writes and another reads; each exactly once. Made by ``Pipeline`` and ``through`` only."""

    def __init__(self, link: Link, count: Count) -> None:
        self._link = link
        self._count = count
        #: Whether it has a reader already.
        self.taken = False

    @property
    def link(self) -> Link:
        """For the engine alone."""
        return self._link

    @property
    def name(self) -> str:
        """That of the stage that writes it."""
        return self._link.name

    @property
    def items(self) -> int:
        """Items that passed here so far."""
        return self._count.items

    @property
    def bytes(self) -> int:
        """Bytes that passed here so far; 0 for items without a size."""
        return self._count.bytes

    @property
    def ended(self) -> EdgeEvent:
        """Happens when the stage that writes this edge returned, its last item sent: ``when=sql.ended``."""
        return self._link.ended

    @property
    def consumed(self) -> EdgeEvent:
        """Happens when the reader has dealt with every item before the mark of ``Outlet.end``.

        That is when it asks for more; or, of an edge without a mark, when it returned.
        """
        return self._link.consumed

    def through(self: Edge[_Bytes], *transforms: Transform) -> Edge[_Bytes]:
        """This edge behind some transforms, first to last, which takes the place of this one. Raises ``WiringError``.

        They run in a thread: in the hop in which the writer's work is done if that is ``Outlet.make``, in the hop of
        ``Inlet.each`` if the reader calls that, else in one of their own for each chunk. Each has a line in snapshots.
        When the writing stage has returned, ``finish`` is called, and only then the edge ends.
        """
        if self.taken:
            raise WiringError(f"edge {self.name} has a reader already")
        edge: Edge[_Bytes] = self
        for transform in transforms:
            edge.taken = True
            step = Step(transform)
            self._link.steps.append(step)
            edge = Edge(self._link, step)
        return edge

    def snapshot(self) -> EdgeSnapshot:
        """Who waits at this edge right now, and what crossed it."""
        return self._link.snapshot()
