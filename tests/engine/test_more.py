"""Maps, iterables, wide fan-ins, early ends, declarations and who waits for whom; on asyncio and trio."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
import pytest

from kleidia_backup.pipeline.engine import (
    MAX_CHUNK,
    Enough,
    Event,
    Inlet,
    Map,
    Outlet,
    Pipeline,
    StageBug,
    StageEnded,
    StageFailed,
    drain,
    nothing,
    task_group,
)
from kleidia_backup.pipeline.engine.testing import (
    ListSink,
    ListSource,
    check_cancellation,
    check_input_failure,
    collect,
    run_sink,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(30),
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]

# The parallel map


async def test_a_map_keeps_the_order_and_works_side_by_side() -> None:
    """With threads: the first item is the slowest, and all workers are needed for it to end."""
    barrier = threading.Barrier(4)

    def work(number: int) -> int:
        if number < 4:
            barrier.wait(10)
        return number * 2

    assert await collect(Map(work, workers=4), range(50)) == [number * 2 for number in range(50)]


async def test_a_map_of_an_async_function() -> None:
    """It is awaited, also when it is an object or a partial."""

    async def work(factor: int, number: int) -> int:
        await anyio.sleep(0.001 * (5 - number % 5))
        return number * factor

    class Work:
        async def __call__(self, number: int) -> int:
            return await work(3, number)

    assert await collect(Map(functools.partial(work, 3), workers=5), range(20)) == [3 * n for n in range(20)]
    assert await collect(Map(Work(), workers=5), range(20)) == [3 * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2, 5])
async def test_a_map_holds_no_more_than_it_says(workers: int) -> None:
    """When nobody reads, at most so many items are taken: those that are worked on and one."""
    begun = 0

    async def work(number: int) -> int:
        nonlocal begun
        begun += 1
        return number

    taken = 0

    async def source(out: Outlet[int]) -> None:
        nonlocal taken
        for number in range(100):
            await out.send(number)
            taken += 1

    async def slow(numbers: Inlet[int]) -> None:
        await anyio.wait_all_tasks_blocked()
        assert begun <= workers + 1  # one result waits at the edge
        assert taken <= workers + 3
        await drain(numbers)

    pipeline = Pipeline(depth=0)
    pipeline.sink(slow, pipeline.pipe(Map(work, workers=workers), pipeline.source(source)))
    await pipeline.run()
    assert begun == 100


async def test_a_result_is_sent_as_soon_as_it_is_there() -> None:
    """A map does not wait for the next item to hand on the last."""
    seen = anyio.Event()

    async def source(out: Outlet[int]) -> None:
        await out.send(1)
        await seen.wait()

    async def sink(numbers: Inlet[int]) -> None:
        async for _ in numbers:
            seen.set()

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.pipe(Map[int, int](abs, workers=8), pipeline.source(source)))
    await pipeline.run()


async def test_a_map_keeps_the_contract() -> None:
    """Its own error comes out as itself; its input's failure is no end; it can be cancelled anywhere."""

    def fails(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    with pytest.raises(ValueError, match="seven"):
        await collect(Map(fails, workers=3), range(20))
    await check_input_failure(lambda: Map(abs, workers=2), [1, 2, 3])
    assert await check_cancellation(lambda: Map(abs, workers=2), [1, 2, 3]) >= 7
    assert Map(abs, workers=3).working_set == 6 * MAX_CHUNK
    assert Map(abs).name == "abs"
    with pytest.raises(ValueError, match="needs a worker"):
        Map(abs, workers=0)


# Sources and fan-ins


async def test_a_source_of_an_async_iterable() -> None:
    """A generator, which is closed when the run ends early; or anything else that can be iterated."""
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            closed.append("closed")

    class Three:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Three:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    pipeline = Pipeline()
    sink: ListSink[int] = ListSink()
    edge = pipeline.source(numbers())
    assert edge.name == "numbers"
    pipeline.sink(sink, edge)
    await pipeline.run()
    assert sink.items == list(range(1000))
    assert closed == ["closed"]

    async def fails(items: Inlet[int]) -> None:
        await anext(items)
        raise RuntimeError("no more")

    pipeline = Pipeline()
    pipeline.sink(fails, pipeline.source(numbers()))
    with pytest.raises(StageFailed, match="no more"):
        await pipeline.run()
    assert closed == ["closed"] * 2
    pipeline = Pipeline()
    few: ListSink[int] = ListSink()
    pipeline.sink(few, pipeline.source(Three()))
    await pipeline.run()
    assert few.items == [2, 1, 0]


async def test_an_iterable_that_makes_a_generator_is_closed_within_the_run() -> None:
    """Left to the garbage collector, its cleanup would come at any time, or never."""
    closed: list[str] = []

    class Generates:
        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append("closed")

    async def fails(items: Inlet[int]) -> None:
        await anext(items)
        raise RuntimeError("no more")

    pipeline = Pipeline(depth=0)
    pipeline.sink(fails, pipeline.source(Generates()))
    with pytest.raises(StageFailed, match="no more"):
        await pipeline.run()
    assert closed == ["closed"]


async def concatenate(inlets: Sequence[Inlet[int]], out: Outlet[int]) -> None:
    for inlet in inlets:
        async for item in inlet:
            await out.send(item)


@pytest.mark.parametrize("width", [1, 2, 9])
async def test_a_fan_in_of_any_width(width: int) -> None:
    """A list of edges arrives as a list of inlets; each must be read to its end."""
    pipeline = Pipeline(depth=0)
    sink: ListSink[int] = ListSink()
    sources = [pipeline.source(ListSource([n, n + 100]), name=f"source {n}") for n in range(width)]
    pipeline.sink(sink, pipeline.pipe(concatenate, sources))
    await pipeline.run()
    assert sink.items == [item for n in range(width) for item in (n, n + 100)]


async def test_a_fan_in_of_four_of_different_types() -> None:
    """One parameter for each edge."""

    async def four(a: Inlet[int], b: Inlet[str], c: Inlet[bytes], d: Inlet[float], out: Outlet[object]) -> None:
        async for each in a:
            await out.send(each)
        async for text in b:
            await out.send(text)
        async for data in c:
            await out.send(data)
        async for number in d:
            await out.send(number)

    pipeline = Pipeline()
    sink: ListSink[object] = ListSink()
    a, b = pipeline.source(ListSource([1])), pipeline.source(ListSource(["b"]))
    c, d = pipeline.source(ListSource([b"c"])), pipeline.source(ListSource([0.5]))
    pipeline.sink(sink, pipeline.pipe(four, a, b, c, d))
    await pipeline.run()
    assert sink.items == [1, "b", b"c", 0.5]


# Enough


def head(count: int, kept: list[bytes]) -> Callable[[Inlet[bytes]], Any]:
    async def head(items: Inlet[bytes]) -> None:
        async for item in items:
            kept.append(item)
            if len(kept) == count:
                raise Enough

    return head


async def test_a_sink_that_has_had_enough_ends_the_run() -> None:
    """Upstream is cancelled and cleans up; what it raises then is no failure."""
    cleaned: list[str] = []

    async def forever(out: Outlet[bytes]) -> None:
        try:
            while True:
                await out.send(b"x")
        finally:
            cleaned.append("source")
            raise RuntimeError("the process was killed")

    kept: list[bytes] = []
    events: list[Event] = []
    pipeline = Pipeline()
    pipeline.sink(head(3, kept), pipeline.source(forever))
    await pipeline.run(events.append)
    assert kept == [b"x"] * 3
    assert cleaned == ["source"]
    assert {stage.name: stage.state for stage in pipeline.snapshot().stages} == {
        "forever": "cancelled",
        "head": "finished",
    }
    assert [(e.stage, e.error) for e in events if isinstance(e, StageEnded)] == [("head", None)]


async def test_enough_out_of_a_group_of_tasks() -> None:
    """As every other error."""

    async def sink(items: Inlet[bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(head(1, []), items)

    await run_sink(sink, [b"a"] * 100)


async def test_other_sinks_see_no_end_when_one_has_had_enough() -> None:
    """They are cancelled: what would become visible with the end of their input does not."""

    async def both(inlet: Inlet[bytes], left: Outlet[bytes], right: Outlet[bytes]) -> None:
        async for item in inlet:
            await right.send(item)
            await left.send(item)

    pipeline = Pipeline()
    other: ListSink[bytes] = ListSink()
    left, right = pipeline.split(both, pipeline.source(ListSource([b"a"] * 100)))
    pipeline.sink(head(1, []), left)
    pipeline.sink(other, right)
    pipeline.sink(separate := ListSink[bytes](), pipeline.source(ListSource([b"b"]), when=anyio.Event()))
    await pipeline.run()
    assert (other.ended, separate.ended) == (False, False)


async def test_enough_is_a_failure_of_what_is_no_sink_and_hides_no_failure() -> None:
    """A stage that others wait for cannot end early; and an error that came first is the run's."""

    async def relay(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        raise Enough

    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.pipe(relay, pipeline.source(ListSource([b"a"]))))
    with pytest.raises(StageFailed, match="only a sink") as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, StageBug)
    assert not sink.ended

    async def late(items: Inlet[bytes]) -> None:
        try:
            await drain(items)
        finally:
            raise Enough

    with pytest.raises(ValueError, match="first"):
        await run_sink(late, [b"a"], ValueError("first"))


# Declarations


class Asks:
    """Declares everything."""

    name = "asks"
    senders = 3
    working_set = 11
    server = "the oracle"

    async def __call__(self, out: Outlet[bytes]) -> None:
        await anyio.sleep_forever()

    async def again(self, out: Outlet[bytes]) -> None:
        await anyio.sleep_forever()


async def test_what_a_stage_declares_counts_for_its_methods_too() -> None:
    """A bound method is its object's stage."""
    for stage in (Asks(), Asks().again):
        pipeline = Pipeline(depth=0)
        edge = pipeline.source(stage, max_item=10)
        pipeline.sink(drain, edge)
        assert edge.name == "asks"
        assert pipeline.memory_bound() == (0 + 1 + 3) * 10 + 11
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.run)
            await anyio.wait_all_tasks_blocked()
            assert pipeline.snapshot().waits_for == "the oracle"
            tasks.cancel_scope.cancel()


async def test_a_snapshot_says_which_server_everything_waits_for() -> None:
    """A stage that asks somebody and waits for no other stage; the last one if there are several."""

    class Stage:
        def __init__(self, server: str, name: str) -> None:
            self.server, self.name = server, name
            self.answer = anyio.Event()

        async def source(self, out: Outlet[bytes]) -> None:
            for _ in range(10):
                await out.send(b"x")
            await self.answer.wait()

        async def sink(self, items: Inlet[bytes]) -> None:
            async for _ in items:
                await self.answer.wait()

    source, sink = Stage("the left", "reads"), Stage("the right", "writes")
    pipeline = Pipeline(depth=1)
    pipeline.sink(sink.sink, pipeline.source(source.source))
    assert pipeline.snapshot().waits_for == ""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run)
        await anyio.wait_all_tasks_blocked()
        assert pipeline.snapshot().waits_for == "the right"  # the left waits for room
        sink.answer.set()
        await anyio.wait_all_tasks_blocked()
        assert pipeline.snapshot().waits_for == "the left"
        source.answer.set()
    assert pipeline.snapshot().waits_for == ""


async def test_helpers() -> None:
    """``nothing`` sends nothing; a single error comes out of a group as itself."""
    assert await collect(nothing) == []

    async def fails() -> None:
        raise KeyError("alone")

    with pytest.raises(KeyError, match="alone"):
        async with task_group() as tasks:
            tasks.start_soon(fails)
