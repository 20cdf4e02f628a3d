"""``when=``: what begins later, and why it never waits for ever; on asyncio and trio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from kleidia_backup.pipeline.engine import (
    Inlet,
    Outlet,
    Pipeline,
    StageBug,
    StageFailed,
    StageStarted,
    WiringError,
    drain,
)
from kleidia_backup.pipeline.engine.testing import ListSink, ListSource

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(30),
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def first_then_second(first: Inlet[bytes], second: Inlet[bytes], out: Outlet[bytes]) -> None:
    for inlet in (first, second):
        async for item in inlet:
            await out.send(item)


async def second_then_first(first: Inlet[bytes], second: Inlet[bytes], out: Outlet[bytes]) -> None:
    await first_then_second(second, first, out)


def logged(log: list[str], name: str, count: int = 20) -> Callable[[Outlet[bytes]], Any]:
    async def source(out: Outlet[bytes]) -> None:
        log.append(f"{name} begins")
        for _ in range(count):
            await out.send(name.encode())
        await anyio.lowlevel.checkpoint()
        log.append(f"{name} returns")

    return source


async def test_a_source_begins_when_another_ended() -> None:
    """Through a stage in between, and with more items than any buffer holds."""
    log: list[str] = []
    pipeline = Pipeline(depth=0)
    sink: ListSink[bytes] = ListSink()
    one = pipeline.source(logged(log, "one"))
    two = pipeline.source(logged(log, "two"), when=one.ended)
    pipeline.sink(sink, pipeline.pipe(first_then_second, one, two))
    started: list[str] = []
    await pipeline.run(lambda event: started.append(event.stage) if isinstance(event, StageStarted) else None)
    assert log == ["one begins", "one returns", "two begins", "two returns"]
    assert sink.items == [b"one"] * 20 + [b"two"] * 20
    assert started[-1] == "source 2"


async def test_a_fan_in_that_reads_the_later_side_first_is_told() -> None:
    """It would wait for ever; with few items it would by luck not, and is told all the same."""
    for count in (0, 1, 100):
        pipeline = Pipeline()
        one = pipeline.source(logged([], "one", count))
        two = pipeline.source(logged([], "two"), when=one.ended)
        pipeline.sink(drain, pipeline.pipe(second_then_first, one, two))
        with pytest.raises(StageFailed) as caught:
            await pipeline.run()
        assert isinstance(caught.value.cause, StageBug)


async def test_trees_that_do_not_meet_may_wait_for_each_other_one_way() -> None:
    """A source, and a sink whose writer waits at its full edge meanwhile."""
    log: list[str] = []
    pipeline = Pipeline(depth=0)
    one, two, three = (pipeline.source(logged(log, name), name=name) for name in ("one", "two", "three"))
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(drain, one)
    pipeline.sink(sink, two, when=one.ended)
    pipeline.sink(drain, three, when=two.consumed)
    await pipeline.run()
    assert log.index("one returns") < log.index("two returns") < log.index("three returns")
    assert len(sink.items) == 20


async def test_trees_that_wait_for_each_other_in_a_circle_are_refused() -> None:
    """Nothing runs."""
    log: list[str] = []
    pipeline = Pipeline()
    one = pipeline.source(logged(log, "one"))
    two = pipeline.source(logged(log, "two"), when=one.ended)
    pipeline.sink(drain, one, when=two.ended)
    pipeline.sink(drain, two)
    with pytest.raises(WiringError, match="waits for"):
        await pipeline.run()
    assert log == []


async def test_a_sink_that_waits_for_the_end_of_its_own_tree_is_refused() -> None:
    """Its writer would wait for it."""

    async def both(inlet: Inlet[bytes], left: Outlet[bytes], right: Outlet[bytes]) -> None:
        await drain(inlet)

    for what in ("itself", "sibling", "upstream"):
        pipeline = Pipeline()
        source = pipeline.source(ListSource([b"a"]))
        left, right = pipeline.split(both, source)
        pipeline.sink(drain, left)
        pipeline.sink(drain, right, when={"itself": right, "sibling": left, "upstream": source}[what].ended)
        with pytest.raises(WiringError, match="which can wait for"):
            await pipeline.run()


async def test_an_edge_of_another_pipeline_is_refused() -> None:
    """Nobody would run it."""
    other = Pipeline().source(ListSource([b"a"]))
    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(ListSource([b"a"]), when=other.ended))
    with pytest.raises(WiringError, match="another pipeline"):
        await pipeline.run()


async def test_an_event_from_outside() -> None:
    """Anything that can be waited for; a stage that waits can be cancelled, and its state says that it never ran."""
    event = anyio.Event()
    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.source(ListSource([b"a"]), when=event))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run)
        await anyio.wait_all_tasks_blocked()
        assert [stage.state for stage in pipeline.snapshot().stages] == ["pending", "running"]
        event.set()
    assert sink.items == [b"a"]

    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(ListSource([b"a"]), when=anyio.Event()))
    with anyio.move_on_after(0.05):
        await pipeline.run()
    assert [(stage.state, stage.seconds > 0) for stage in pipeline.snapshot().stages] == [
        ("cancelled", False),
        ("cancelled", True),
    ]


# The mark


async def letters_then_numbers(inlet: Inlet[bytes], letters: Outlet[bytes], numbers: Outlet[bytes]) -> None:
    """Marks the end of the letters, which come first."""
    async for item in inlet:
        if item.isdigit():
            await letters.end()
            await numbers.send(item)
        else:
            await letters.send(item)
    await letters.end()


async def test_a_sink_begins_when_the_edge_beside_its_own_was_consumed() -> None:
    """The work behind the mark is done before; the true end comes when everything upstream succeeded."""
    log: list[str] = []

    async def work(inlet: Inlet[bytes]) -> None:
        async for item in inlet.until_end():
            log.append(item.decode())
        await anyio.sleep(0.01)
        log.append("executed")
        assert not inlet.ended
        async for _ in inlet:
            raise AssertionError
        log.append("ended")

    async def later(inlet: Inlet[bytes]) -> None:
        async for item in inlet:
            log.append(item.decode())

    pipeline = Pipeline(depth=0)
    letters, numbers = pipeline.split(
        letters_then_numbers, pipeline.source(ListSource(list(map(bytes, [b"a", b"b", *([b"1"] * 9)]))))
    )
    pipeline.sink(work, letters)
    pipeline.sink(later, numbers, when=letters.consumed)
    await pipeline.run()
    assert log[:3] == ["a", "b", "executed"]
    assert log.count("1") == 9
    assert "ended" in log
    assert (letters.items, letters.bytes) == (2, 2)


async def test_readers_that_do_not_ask_never_see_the_mark() -> None:
    """Neither one by one nor together; and it is no end, so nothing becomes visible by it."""

    async def source(out: Outlet[bytes]) -> None:
        await out.send(b"a")
        await out.end()
        await out.end()
        await anyio.wait_all_tasks_blocked()
        assert (sink.items, sink.ended) == ([b"a"], False)
        if fails:
            raise RuntimeError("bad exit")

    async def together(inlet: Inlet[bytes]) -> None:
        while batch := await inlet.batch():
            sink.items += batch
        sink.ended = True

    for fails in (False, True):
        for reader in (None, together):
            sink: ListSink[bytes] = ListSink()
            pipeline = Pipeline()
            pipeline.sink(reader or sink, pipeline.source(source))
            if fails:
                with pytest.raises(StageFailed, match="bad exit"):
                    await pipeline.run()
            else:
                await pipeline.run()
            assert sink.ended is not fails


async def test_who_stops_at_the_mark_has_not_read_its_input() -> None:
    """The mark is no success."""

    async def stops(inlet: Inlet[bytes]) -> None:
        async for _ in inlet.until_end():
            pass

    async def source(out: Outlet[bytes]) -> None:
        await out.end()

    pipeline = Pipeline()
    pipeline.sink(stops, pipeline.source(source))
    with pytest.raises(StageFailed, match="before its input source ended"):
        await pipeline.run()


async def test_without_a_mark_until_end_goes_to_the_end() -> None:
    """Of any edge."""
    found: list[bytes] = []

    async def sink(inlet: Inlet[bytes]) -> None:
        found.extend([item async for item in inlet.until_end()])

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(ListSource([b"a", b"b"])))
    await pipeline.run()
    assert found == [b"a", b"b"]


async def test_a_split_that_sends_to_the_later_sink_too_early_is_told() -> None:
    """Before the mark, whatever the buffers hold; and nothing may follow the mark on its own edge."""

    async def early(inlet: Inlet[bytes], left: Outlet[bytes], right: Outlet[bytes]) -> None:
        async for item in inlet:
            await right.send(item)

    async def late(inlet: Inlet[bytes], left: Outlet[bytes], right: Outlet[bytes]) -> None:
        await left.end()
        async for item in inlet:
            await left.send(item)

    for stage, what in ((early, "begins only when"), (late, "after its last one")):
        pipeline = Pipeline()
        left, right = pipeline.split(stage, pipeline.source(ListSource([b"a"])))
        pipeline.sink(drain, left)
        pipeline.sink(drain, right, when=left.consumed)
        with pytest.raises(StageFailed, match=what) as caught:
            await pipeline.run()
        assert isinstance(caught.value.cause, StageBug)


async def test_a_source_cannot_wait_for_what_its_own_tree_consumes() -> None:
    """Only the end of an edge says that nobody needs the source before."""
    pipeline = Pipeline()
    one = pipeline.source(ListSource([b"a"]))
    two = pipeline.source(ListSource([b"b"]), when=one.consumed)
    pipeline.sink(drain, pipeline.pipe(first_then_second, one, two))
    with pytest.raises(WiringError, match="which can wait for"):
        await pipeline.run()


async def reads_only(chunks: Inlet[bytes], first: Outlet[bytes], second: Outlet[bytes]) -> None:
    await drain(chunks)


@pytest.mark.parametrize("own", [True, False])
async def test_a_sink_cannot_wait_for_what_it_reads_itself(own: bool) -> None:
    """Neither directly, nor by the sink beside it that waits for this one."""
    pipeline = Pipeline()
    one, two = pipeline.split(reads_only, pipeline.source(ListSource([b"item"])))
    pipeline.sink(drain, one, when=one.consumed if own else two.consumed)
    pipeline.sink(drain, two, when=None if own else one.consumed)
    with anyio.fail_after(5), pytest.raises(WiringError, match="can wait for"):
        await pipeline.run()


async def test_sources_on_both_sides_of_a_split_may_not_wait_across_it() -> None:
    """Each alone could: the side that one waits for goes on without it. Here that side waits for this one."""

    async def in_order(inlets: Sequence[Inlet[bytes]], out: Outlet[bytes]) -> None:
        for inlet in inlets:
            await drain(inlet)

    pipeline = Pipeline(depth=1)
    left, right = pipeline.split(reads_only, pipeline.source(ListSource([b"item"])))
    last = pipeline.source(ListSource([b"more than the buffer holds"] * 50), name="last")
    after_last = pipeline.source(ListSource([b"item"]), name="after last", when=last.ended)
    met = pipeline.pipe(in_order, [right, after_last], name="right")
    before_last = pipeline.source(ListSource([b"item"]), name="before last", when=met.ended)
    pipeline.sink(drain, met)
    pipeline.sink(drain, pipeline.pipe(in_order, [left, before_last, last], name="left"))
    with anyio.fail_after(5), pytest.raises(WiringError, match="waits for right, which can wait"):
        await pipeline.run()
