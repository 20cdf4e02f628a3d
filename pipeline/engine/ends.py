"""The two ends of an edge, as a stage is given them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, cast

import anyio

from . import transform
from .errors import OversizeItem, StageBug
from .threads import in_thread

if TYPE_CHECKING:
    from .edges import Link

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
Ts = TypeVarTuple("Ts")


class _Mark(Enum):
    END = "the last item was sent"
    NONE = "no item"


class Batch(tuple[T, ...]):
    """What was sent together."""

    __slots__ = ()


def size_of(item: object) -> int:
    """Bytes an item occupies: its length for bytes, ``nbytes`` where it has one, else 0."""
    if isinstance(item, (bytes, bytearray)):
        return len(item)
    return getattr(item, "nbytes", 0)


def _same(piece: bytes) -> bytes:
    return piece


class End:
    """What both ends have. For the engine alone."""

    def __init__(self, link: Link) -> None:
        self.link = link
        #: Seconds that the stage waited here; of several tasks, all together.
        self.waited = 0.0
        #: Why what passed here is not whole. The stage fails with it, whatever it made of it.
        self.failed: Exception | None = None


class Inlet(End, Generic[T_co]):
    """The reading end of an edge, given to a stage. Iterate it to its end."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.name = link.name
        #: Whether everything upstream succeeded and everything was read.
        self.ended = False
        #: Inlets of the same stage that must end before this one is waited for, with ``when=``.
        self.after: list[Inlet[Any]] = []
        self._plain = not link.steps
        self._rest: Iterator[T_co] = iter(())
        self._ready: Iterator[bytes] | None = None  # what the transforms are about to give
        self._finishing = False
        self._at_mark = False
        self._made: Sequence[Any] = ()  # results of ``each`` that nobody took yet

    def __aiter__(self) -> Inlet[T_co]:
        return self

    async def __anext__(self) -> T_co:
        """The next item. Ends only after the stage that writes this edge, and all before it, succeeded."""
        item = next(self._rest, _Mark.NONE)
        if item is not _Mark.NONE:
            return cast("T_co", item)
        taken = await self._receive() if self._plain else _Mark.END
        return self._first(await self._take(stop=False) if taken is _Mark.END else taken)

    def until_end(self) -> AsyncIterator[T_co]:
        """The items up to the mark of ``Outlet.end``, or to the end of an edge that has none.

        The mark is no success: only the end of the inlet is, which is still to be read.
        """
        return _UntilEnd(self)

    def each(self, function: Callable[[T_co], R]) -> AsyncIterator[R]:
        """``function`` of each item, called in the thread and in the hop in which the edge's transforms run."""
        return _Each(self, function)

    async def batch(self) -> Sequence[T_co]:
        """The items that were sent together, or the next one if it was sent alone; none at the end.

        For a stage that has little to do for each of many small items.
        """
        if rest := tuple(self._rest):
            return rest
        try:
            taken = await self._take(stop=False)
        except StopAsyncIteration:
            return ()
        return taken if isinstance(taken, Batch) else (taken,)

    def _first(self, taken: Any) -> T_co:
        """An item; of a batch the first, the others come next."""
        if not isinstance(taken, Batch):
            return cast("T_co", taken)
        self._rest = iter(taken)
        return next(self._rest)

    async def _take(self, *, stop: bool, function: Callable[[Any], Any] | None = None) -> Any:
        """The next item or batch; ``function`` of each, if that is given. Ends at a mark when it may ``stop`` there."""
        link = self.link
        while True:
            if self._ready is None:
                try:
                    taken = await self._receive()
                except StopAsyncIteration:
                    if self.ended:
                        raise
                    self._finishing = True
                    self._ready = transform.finish(link.steps)
                else:
                    if taken is _Mark.END:
                        if stop:
                            raise StopAsyncIteration
                        continue
                    items = taken if isinstance(taken, Batch) else (taken,)
                    if self._plain or link.making:
                        return await self._call(function, items) if function else taken
                    self._ready = transform.feed(link.steps, items)
            try:
                some, more = await in_thread(transform.take, self._ready, link.chunk, function or _same)
            except Exception as exc:
                self.failed = exc
                raise
            if not more:
                self._ready = None
            if some:
                return Batch(some)

    async def _call(self, function: Callable[[Any], R], items: Sequence[Any]) -> Batch[R]:
        """``function`` of each, in a thread; when it is cancelled before that, they come next."""
        try:
            return Batch(await in_thread(_all, function, items))
        except Exception as exc:
            self.failed = exc
            raise
        except BaseException:
            self._rest = iter(items)
            raise

    async def _receive(self) -> Any:
        """What comes over the stream. Raises again what was raised before: what was lost then does not come back."""
        if self.failed:
            raise self.failed
        if self._made:
            raise StageBug(f"a reader of {self.name} left each() before it had taken all that was made")
        for inlet in self.after:
            if not inlet.ended:
                raise StageBug(
                    f"{self.name} begins only when {inlet.name} ended, and is waited for before: that is for ever"
                )
        if self._at_mark:
            self.link.consumed.set()
        stream = self.link.receive_stream
        try:
            # An item that is there costs no turn of the event loop; an edge is bounded, so that others soon have one.
            taken = stream.receive_nowait()
        except anyio.EndOfStream:
            raise self._end() from None
        except anyio.WouldBlock:
            started = perf_counter()
            try:
                taken = await stream.receive()
            except anyio.EndOfStream:
                raise self._end() from None
            finally:
                self.waited += perf_counter() - started
        if taken is _Mark.END:
            self._at_mark = True
        return taken

    def _end(self) -> StopAsyncIteration:
        """The stream ended; the inlet does when its transforms, if they run on this side, gave their last."""
        self.ended = self._plain or self._finishing or self.link.making is True
        return StopAsyncIteration()


def _all(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    return [function(item) for item in items]


class _UntilEnd(Generic[T]):
    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet

    def __aiter__(self) -> _UntilEnd[T]:
        return self

    async def __anext__(self) -> T:
        inlet = self._inlet
        item = next(inlet._rest, _Mark.NONE)  # noqa: SLF001 - its other half
        if item is not _Mark.NONE:
            return cast("T", item)
        return inlet._first(await inlet._take(stop=True))  # noqa: SLF001


class _Each(Generic[T, R]):
    def __init__(self, inlet: Inlet[T], function: Callable[[T], R]) -> None:
        self._inlet = inlet
        self._function = function
        self._made: deque[R] = deque()

    def __aiter__(self) -> _Each[T, R]:
        return self

    async def __anext__(self) -> R:
        inlet = self._inlet
        if not self._made:
            rest = tuple(inlet._rest)  # noqa: SLF001 - its other half
            call = inlet._call(self._function, rest) if rest else inlet._take(stop=False, function=self._function)  # noqa: SLF001
            self._made.extend(await call)
            inlet._made = self._made  # noqa: SLF001
        return self._made.popleft()


class Outlet(End, Generic[T_contra]):
    """The writing end of an edge, given to a stage."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        #: Tasks of the stage that send.
        self.senders = link.senders

    async def send(self, item: T_contra) -> None:
        """Hand an item on; waits while the edge is full.

        Raises ``OversizeItem`` for an item of more bytes than the edge takes: cut it first.
        """
        link = self.link
        if link.making:
            await self._hand_on(transform.feed(link.steps, self._counted(item)))
        else:
            link.making = False
            await self._put(item, size_of(item), 1)

    async def send_together(self, items: Sequence[T_contra]) -> None:
        """Hand several on at the cost of one. Raises ``OversizeItem`` when together they are larger than one may be."""
        if self.link.making:
            for item in items:
                await self.send(item)
        elif items:
            self.link.making = False
            await self._put(Batch(items), sum(map(size_of, items)), len(items))

    async def make(self: Outlet[bytes], function: Callable[[*Ts], bytes], *args: *Ts) -> None:
        """Call ``function`` in a thread and hand on what it returns, cut into what the edge takes.

        The edge's transforms run in the same hop. Raises what they and ``function`` raise.
        """
        link = self.link
        if link.making is None:
            link.making = True

        def made() -> Iterator[bytes]:
            data = function(*args)
            if link.making:
                link.raw.items += 1
                link.raw.bytes += len(data)
            yield from transform.cut(data, link.chunk)

        await self._hand_on(transform.feed(link.steps, made()) if link.making else made())

    async def end(self) -> None:
        """Mark that the last item was sent, of an edge that stays open for long; not for one with transforms.

        For a stage that sends on several edges, one after the other. Most readers never see the mark; one that asks
        for it with ``Inlet.until_end`` can finish its work, and those that begin with ``when=edge.consumed`` begin.
        """
        if self.link.steps:
            raise StageBug(f"edge {self.link.name} has transforms, and ends with its stage")
        if not self.link.marked:
            self.link.marked = True
            await self.link.send_stream.send(_Mark.END)

    async def finish(self) -> None:
        """The end of the transforms that ran on this side. For the engine alone."""
        if self.link.making:
            await self._hand_on(transform.finish(self.link.steps))

    def _counted(self, item: Any) -> Iterator[bytes]:
        self.link.raw.items += 1
        self.link.raw.bytes += len(item)
        yield item

    async def _hand_on(self, ready: Iterator[bytes]) -> None:
        """Make in a thread what an iterator gives, about a chunk at a time, and send it.

        What comes behind a piece that was lost must not end as if it were whole, whatever the stage makes of it.
        """
        link = self.link
        if self.failed:
            raise self.failed
        more = True
        try:
            while more:
                some, more = await in_thread(transform.take, ready, link.chunk, _same)
                for piece in some:
                    await self._put(piece, len(piece), 1)
        except Exception as exc:
            if link.making:
                self.failed = exc
            raise
        except BaseException:
            self.failed = StageBug(f"what was made for edge {link.name} was cancelled before all of it was sent")
            raise

    async def _put(self, item: object, size: int, count: int) -> None:
        link = self.link
        if size > link.max_item:
            raise OversizeItem(f"an item of {size} bytes on edge {link.name}, which takes {link.max_item} at most")
        if link.marked:
            raise StageBug(f"an item on edge {link.name} after its last one")
        if link.before is not None and not link.before.marked:
            raise StageBug(f"an item on edge {link.name}, whose reader begins only when {link.before.name} is consumed")
        try:
            link.send_stream.send_nowait(item)
        except anyio.WouldBlock:
            started = perf_counter()
            try:
                await link.send_stream.send(item)
            finally:
                self.waited += perf_counter() - started
        if not link.making:
            link.raw.items += count
            link.raw.bytes += size
