"""Helpers for stage authors: run a stage on lists, and check that it keeps the engine's contract.

They ship with the package, need no test framework, and raise ``AssertionError`` when a stage breaks the contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from .edges import Link
from .ends import Inlet, Outlet, size_of
from .errors import StageFailed
from .graph import Pipeline
from .threads import in_thread
from .transform import MAX_CHUNK, Step, Transform, feed, finish, take

T = TypeVar("T")
Stage = Callable[..., Awaitable[None]]


class ListSource(Generic[T]):
    """A source that sends the items of a list, so many ``together``; then raises ``error`` if there is one."""

    def __init__(self, items: Iterable[T], error: Exception | None = None, *, together: int = 1) -> None:
        self.items = items
        self.error = error
        self.together = together

    async def __call__(self, out: Outlet[T]) -> None:
        """Send every item."""
        items = iter(self.items)
        while some := list(islice(items, self.together)):
            await (out.send(some[0]) if self.together == 1 else out.send_together(some))
        if self.error:
            raise self.error


class ListSink(Generic[T]):
    """A sink that keeps every item in ``items``, and says in ``ended`` whether its input ended."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self.ended = False

    async def __call__(self, inlet: Inlet[T]) -> None:
        """Keep every item."""
        async for item in inlet:
            self.items.append(item)
        self.ended = True


class Through:
    """A stage that passes chunks through transforms, for the checks of stages: ``lambda: Through(Gzip())``."""

    def __init__(self, *transforms: Transform) -> None:
        self._steps = [Step(transform) for transform in transforms]

    async def __call__(self, chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        """Pass everything through. Raises what the transforms raise."""
        async for chunk in chunks:
            await self._send(feed(self._steps, (chunk,)), out)
        await self._send(finish(self._steps), out)

    async def _send(self, ready: Iterator[bytes], out: Outlet[bytes]) -> None:
        more = True
        while more:
            some, more = await in_thread(take, ready, MAX_CHUNK, bytes)
            for piece in some:
                await out.send(piece)


async def collect(stage: Stage, *inputs: Iterable[Any], max_item: int = MAX_CHUNK) -> list[Any]:
    """Run a stage on lists, one for each of its inlets, and return what it sends. Raises what the stage raises."""
    pipeline = Pipeline(depth=1)
    edges = [pipeline.source(ListSource(items), name=f"input {n}", max_item=1 << 40) for n, items in enumerate(inputs)]
    sink: ListSink[Any] = ListSink()
    pipeline.sink(sink, pipeline.pipe(stage, *edges, max_item=max_item) if edges else pipeline.source(stage))
    await _run(pipeline)
    return sink.items


async def collect_split(stage: Stage, items: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Run a stage with two outlets on a list and return what it sends on each. Raises what the stage raises."""
    pipeline = Pipeline(depth=1)
    first, second = pipeline.split(
        stage, pipeline.source(ListSource(items), max_item=1 << 40), max_items=(1 << 40,) * 2
    )
    left: ListSink[Any] = ListSink()
    right: ListSink[Any] = ListSink()
    pipeline.sink(left, first)
    pipeline.sink(right, second)
    await _run(pipeline)
    return left.items, right.items


async def run_sink(stage: Stage, items: Iterable[Any], error: Exception | None = None, *, together: int = 1) -> None:
    """Run a sink on a list, sent so many ``together``; with ``error`` its input fails after the last item.

    Raises what the stage raises.
    """
    pipeline = Pipeline(depth=1)
    pipeline.sink(stage, pipeline.source(ListSource(items, error, together=together), name="input", max_item=1 << 40))
    await _run(pipeline)


async def _run(pipeline: Pipeline) -> None:
    try:
        await pipeline.run()
    except StageFailed as exc:
        raise exc.cause from None


# Contract checks ----------------------------------------------------------------------------------------------


async def check_chunking(make_stage: Callable[[], Stage], data: bytes, sizes: Sequence[int]) -> bytes:
    """Assert that a bytes-to-bytes stage gives the same bytes for any chunking of its input; return them."""
    whole = b"".join(await collect(make_stage(), [data] if data else []))
    for size in sizes:
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        got = b"".join(await collect(make_stage(), chunks))
        assert got == whole, f"chunks of {size} bytes give other bytes"
    return whole


async def check_chunk_size(make_stage: Callable[[], Stage], *inputs: Iterable[Any]) -> None:
    """Assert that a stage sends no item larger than ``MAX_CHUNK``, whatever it is given."""
    for item in await collect(make_stage(), *inputs, max_item=1 << 40):
        assert size_of(item) <= MAX_CHUNK, f"an item of {size_of(item)} bytes"


async def check_input_failure(make_stage: Callable[[], Stage], items: Sequence[Any]) -> None:
    """Assert that a stage with one inlet and one outlet passes no end on when its input fails after any item."""
    for count in range(len(items) + 1):
        pipeline = Pipeline(depth=1)
        error = RuntimeError("the input failed")
        source = pipeline.source(ListSource(items[:count], error), name="input", max_item=1 << 40)
        sink: ListSink[Any] = ListSink()
        pipeline.sink(sink, pipeline.pipe(make_stage(), source))
        try:
            await pipeline.run()
        except StageFailed as exc:
            assert exc.cause is error, f"after {count} items the cause became {exc.cause!r}"
        else:
            raise AssertionError(f"an input that failed after {count} items was taken for a success")
        assert not sink.ended, f"after {count} items the sink saw an end"


class _Countdown:
    """Cancels a scope at the n-th operation on any edge, before or after the operation itself."""

    def __init__(self, scope: anyio.CancelScope, operations: int) -> None:
        self.scope = scope
        self.left = operations

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


class _CountingInlet(Inlet[T]):
    countdown: _Countdown

    async def _receive(self) -> Any:
        self.countdown.tick()
        await checkpoint()
        return await super()._receive()


class _CountingOutlet(Outlet[T]):
    countdown: _Countdown

    async def _put(self, item: object, size: int, count: int) -> None:
        self.countdown.tick()
        await checkpoint()
        await super()._put(item, size, count)


async def check_cancellation(
    make_stage: Callable[[], Stage],
    *inputs: Sequence[Any],
    outlets: int = 1,
    assert_clean: Callable[[], None] = lambda: None,
    operations: int = 1000,
) -> int:
    """Cancel a stage at its first, second, … send or receive until it finishes uncancelled.

    Asserts that it never swallows the cancellation, and calls ``assert_clean`` after each; returns how many there
    were. Raises ``AssertionError`` when the stage takes more than ``operations``.
    """
    for at in range(1, operations + 1):
        if await _cancelled_at(at, make_stage(), inputs, outlets):
            assert_clean()
        else:
            return at - 1
    raise AssertionError(f"the stage was not finished after {operations} operations; give it a shorter input")


async def _cancelled_at(at: int, stage: Stage, inputs: Sequence[Sequence[Any]], outlets: int) -> bool:
    links: list[Link] = []
    ends: list[Any] = []
    returned = False
    with anyio.CancelScope() as scope:
        countdown = _Countdown(scope, at)
        for items in inputs:
            link = Link("input", depth=len(items), max_item=1 << 40)
            link.open()
            for item in items:
                link.send_stream.send_nowait(item)
            link.send_stream.close()
            links.append(link)
            inlet: _CountingInlet[Any] = _CountingInlet(link)
            inlet.countdown = countdown
            ends.append(inlet)
        for _ in range(outlets):
            link = Link("output", depth=1 << 20, max_item=1 << 40)
            link.open()
            links.append(link)
            outlet: _CountingOutlet[Any] = _CountingOutlet(link)
            outlet.countdown = countdown
            ends.append(outlet)
        try:
            await stage(*ends)
            returned = True
        finally:
            for link in links:
                link.close()
    assert not (returned and scope.cancel_called), f"the stage swallowed a cancellation at operation {at}"
    return scope.cancelled_caught
