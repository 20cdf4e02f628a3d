"""The engine's rules (design, section 3), each on asyncio and trio."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from kleidia_backup.pipeline.engine import (
    MAX_CHUNK,
    EdgeSnapshot,
    Event,
    Inlet,
    Outlet,
    OversizeItem,
    Pipeline,
    Snapshot,
    StageEnded,
    StageFailed,
    StageStarted,
    UnreadInput,
    WiringError,
    in_thread,
)
from kleidia_backup.pipeline.engine.testing import (
    ListSink,
    ListSource,
    check_cancellation,
    check_chunk_size,
    check_chunking,
    check_input_failure,
    collect,
    collect_split,
    run_sink,
)

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


async def relay(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
    async for item in inlet:
        await out.send(item)


async def merge(first: Inlet[bytes], second: Inlet[bytes], out: Outlet[bytes]) -> None:
    for inlet in (first, second):
        async for item in inlet:
            await out.send(item)


async def both(inlet: Inlet[bytes], left: Outlet[bytes], right: Outlet[bytes]) -> None:
    async for item in inlet:
        await left.send(item)
        await right.send(item)


async def drain(inlet: Inlet[Any]) -> None:
    async for _ in inlet:
        pass


class Commit(ListSink[bytes]):
    """A sink that commits when its input ended, as the archive sink does."""

    committed = False

    async def __call__(self, inlet: Inlet[bytes]) -> None:
        await super().__call__(inlet)
        await anyio.lowlevel.checkpoint()
        self.committed = True


# Rule 1: end of stream is not success


def process(code: str) -> Callable[[Outlet[bytes]], Any]:
    async def stage(out: Outlet[bytes]) -> None:
        async with await anyio.open_process([sys.executable, "-c", code], stderr=None) as child:
            assert child.stdout
            async for chunk in child.stdout:
                await out.send(chunk)
            if await child.wait() != 0:
                raise RuntimeError(f"exit status {child.returncode}")

    return stage


@pytest.mark.parametrize("death", ["sys.exit(1)", "os.kill(os.getpid(), 9)"])
async def test_process_that_dies_after_its_last_byte_commits_nothing(death: str) -> None:
    """A producer that closes its stdout and then fails never lets the sink commit."""
    code = f"import os, sys; sys.stdout.write('x' * 300_000); sys.stdout.flush(); os.close(1); {death}"
    for _ in range(5):
        pipeline = Pipeline()
        sink = Commit()
        pipeline.sink(sink, pipeline.pipe(relay, pipeline.source(process(code))))
        with pytest.raises(StageFailed, match="exit status"):
            await pipeline.run()
        assert sum(map(len, sink.items)) <= 300_000
        assert not sink.ended
        assert not sink.committed


async def test_failure_in_shielded_cleanup_after_the_last_item_commits_nothing() -> None:
    """A source that awaits its cleanup after the last item, then raises, is no success either."""

    async def source(out: Outlet[bytes]) -> None:
        await out.send(b"all there is")
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        raise RuntimeError("bad exit")

    for _ in range(100):
        pipeline = Pipeline(depth=0)
        sink = Commit()
        pipeline.sink(sink, pipeline.source(source))
        with pytest.raises(StageFailed):
            await pipeline.run()
        assert not sink.committed


async def test_end_of_input_means_everything_upstream_succeeded() -> None:
    """With nothing failing, the sink gets every item in order and commits."""
    pipeline = Pipeline()
    sink = Commit()
    first = pipeline.source(ListSource([b"a", b"b"]))
    second = pipeline.source(ListSource([b"c"]))
    pipeline.sink(sink, pipeline.pipe(merge, first, second))
    await pipeline.run()
    assert sink.items == [b"a", b"b", b"c"]
    assert sink.committed


async def test_a_failing_second_source_of_a_fan_in_commits_nothing() -> None:
    """The end of one input of a fan-in says nothing about the other."""
    pipeline = Pipeline()
    sink = Commit()
    first = pipeline.source(ListSource([b"a"]))
    second = pipeline.source(ListSource([b"c"], RuntimeError("the second")))
    pipeline.sink(sink, pipeline.pipe(merge, first, second))
    with pytest.raises(StageFailed, match="the second"):
        await pipeline.run()
    assert not sink.committed


# Rule 2: the sink aborts, shielded, and nothing is left


@pytest.mark.parametrize("how", ["failure", "cancellation"])
async def test_sink_aborts_on_failure_and_on_cancellation(how: str) -> None:
    """A sink's shielded cleanup runs to its end before run() returns."""
    log: list[str] = []

    async def sink(inlet: Inlet[bytes]) -> None:
        try:
            async for _ in inlet:
                log.append("item")
            log.append("commit")
        except BaseException:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 5):
                await anyio.lowlevel.checkpoint()
                log.append("abort")
            raise

    async def source(out: Outlet[bytes]) -> None:
        await out.send(b"x")
        await anyio.wait_all_tasks_blocked()
        if how == "failure":
            raise RuntimeError("late")
        scope.cancel()
        await anyio.sleep_forever()

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(source))
    with anyio.CancelScope() as scope:
        if how == "failure":
            with pytest.raises(StageFailed):
                await pipeline.run()
        else:
            await pipeline.run()
    assert scope.cancelled_caught == (how == "cancellation")
    assert log == ["item", "abort"]


# Rule 3: what is refused


async def test_returning_before_the_input_ended_is_an_error() -> None:
    """A stage that leaves its input unread fails the run."""

    async def first_only(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        await out.send(await anext(inlet))

    pipeline = Pipeline()
    sink = Commit()
    pipeline.sink(sink, pipeline.pipe(first_only, pipeline.source(ListSource([b"a", b"b"]))))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, UnreadInput)
    assert not sink.committed


async def test_an_edge_without_a_reader_is_refused() -> None:
    """A forgotten connection is found before anything runs."""
    ran = []

    async def source(out: Outlet[bytes]) -> None:
        ran.append(1)

    pipeline = Pipeline()
    pipeline.source(source)
    with pytest.raises(WiringError, match="nobody reads"):
        await pipeline.run()
    assert not ran


async def test_an_edge_read_twice_is_refused() -> None:
    """Two readers of one edge would each get half of it."""
    pipeline = Pipeline()
    edge = pipeline.source(ListSource([b"a"]))
    pipeline.sink(drain, edge)
    with pytest.raises(WiringError, match="reader already"):
        pipeline.sink(drain, edge)


async def test_branches_of_one_split_may_not_meet_again() -> None:
    """Directly or after other stages, also through a fan-in with a third source."""
    pipeline = Pipeline()
    left, right = pipeline.split(both, pipeline.source(ListSource([b"a"])))
    other = pipeline.pipe(merge, pipeline.pipe(relay, left), pipeline.source(ListSource([b"b"])))
    with pytest.raises(WiringError, match="deadlock"):
        pipeline.pipe(merge, other, right)


async def test_an_edge_of_another_pipeline_and_a_second_run_are_refused() -> None:
    """An edge belongs to its pipeline, and a pipeline runs once."""
    one, two = Pipeline(), Pipeline()
    edge = one.source(ListSource([b"a"]))
    with pytest.raises(WiringError, match="another pipeline"):
        two.sink(drain, edge)
    one.sink(drain, edge)
    await one.run()
    with pytest.raises(WiringError, match="ran already"):
        await one.run()


async def test_split_to_two_sinks() -> None:
    """A split that stays a tree runs, with many more items than the buffers hold."""
    left, right = await collect_split(both, [b"%d" % n for n in range(100)])
    assert left == right
    assert len(left) == 100


# Rule 4: one exception, the root cause first


async def test_the_root_cause_comes_first_and_echoes_are_not_shown() -> None:
    """What a stage raises because it is being stopped is not the cause."""
    cause = ValueError("root")

    async def fails(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        async for _ in inlet:
            raise cause

    async def complains(inlet: Inlet[bytes]) -> None:
        try:
            await drain(inlet)
        finally:
            raise RuntimeError("echo")

    pipeline = Pipeline()
    pipeline.sink(complains, pipeline.pipe(fails, pipeline.source(ListSource([b"a"] * 9))))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert caught.value.cause is cause
    assert caught.value.__cause__ is cause
    assert caught.value.stage == "fails"
    assert [str(exc) for exc in caught.value.others] == ["echo"]


async def test_the_cause_inside_a_stages_own_task_group_is_found() -> None:
    """A fan-out stage raises a group; its first leaf is the cause."""

    async def worker(out: Outlet[bytes]) -> None:
        raise KeyError("inner")

    async def fan_out(out: Outlet[bytes]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(worker, out)

    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(fan_out))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, KeyError)


# Rule 5: threads


async def test_threads_are_the_pipelines_own() -> None:
    """Work of the pipeline goes on although every thread of the default limiter is taken."""

    async def upper(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        async for item in inlet:
            await out.send(await in_thread(item.upper))

    default = anyio.to_thread.current_default_thread_limiter()
    tokens = [object() for _ in range(int(default.total_tokens))]
    for token in tokens:
        await default.acquire_on_behalf_of(token)
    try:
        with anyio.fail_after(5):
            assert await collect(upper, [b"a", b"b"]) == [b"A", b"B"]
    finally:
        for token in tokens:
            default.release_on_behalf_of(token)


# Memory


async def test_oversize_chunk_is_a_bug() -> None:
    """Bytes edges refuse a chunk over 1 MiB."""
    with pytest.raises(OversizeItem):
        await collect(relay, [bytes(MAX_CHUNK + 1)])
    assert await collect(relay, [bytes(MAX_CHUNK)]) == [bytes(MAX_CHUNK)]


@pytest.mark.parametrize("depth", [0, 1, 4])
async def test_memory_bound_holds_against_the_real_peak(depth: int) -> None:
    """What tracemalloc sees stays under memory_bound(), and the bound is not idle talk (at least half is used)."""

    class Slow:
        working_set = 0

        async def __call__(self, inlet: Inlet[bytes]) -> None:
            async for _ in inlet:
                await anyio.wait_all_tasks_blocked()

    async def source(out: Outlet[bytes]) -> None:
        for n in range(12):
            await out.send(bytes([n]) * MAX_CHUNK)

    pipeline = Pipeline(depth=depth)
    edge = pipeline.source(source)
    for _ in range(3):
        edge = pipeline.pipe(relay, edge)
    pipeline.sink(Slow(), edge)
    tracemalloc.start()
    try:
        await pipeline.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bound = pipeline.memory_bound()
    assert bound == 4 * (depth + 2) * MAX_CHUNK
    assert bound / 2 < peak < bound + 256 * 1024


async def test_memory_bound_counts_working_sets_and_senders() -> None:
    """A stage states its own working set, and a fan-out its senders."""

    class FanOut:
        working_set = 7
        senders = 20

        async def __call__(self, out: Outlet[bytes]) -> None:
            await out.send(b"x")

    pipeline = Pipeline(depth=2)
    pipeline.sink(drain, pipeline.source(FanOut(), max_item=10))
    assert pipeline.memory_bound() == (2 + 1 + 20) * 10 + 7


async def test_items_that_are_sent_together_are_one_on_the_edge() -> None:
    """They come one by one or together, as the reader likes; counters count them all, and the bound in bytes holds."""
    read: list[object] = []

    async def source(out: Outlet[bytes]) -> None:
        await out.send_together([b"ab", b"c", b"d"])
        await out.send_together([])
        await out.send(b"e")
        await out.send_together([b"f", b"g"])
        with pytest.raises(OversizeItem):
            await out.send_together([b"xxx", b"yy"])

    async def mixed(inlet: Inlet[bytes]) -> None:
        read.append(await anext(inlet))
        read.append(await inlet.batch())
        read.append(await anext(inlet))
        async for item in inlet:
            read.append(item)
        read.append(await inlet.batch())

    pipeline = Pipeline(depth=0)
    edge = pipeline.source(source, max_item=4)
    pipeline.sink(mixed, edge)
    await pipeline.run()
    assert read == [b"ab", (b"c", b"d"), b"e", b"f", b"g", ()]
    assert (edge.items, edge.bytes) == (6, 7)


async def test_a_batch_that_was_not_read_to_its_end_is_unread_input() -> None:
    """An end is seen only behind the last item of the last batch."""

    async def source(out: Outlet[bytes]) -> None:
        await out.send_together([b"a", b"b"])

    async def first(inlet: Inlet[bytes]) -> None:
        await anext(inlet)

    pipeline = Pipeline()
    pipeline.sink(first, pipeline.source(source))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, UnreadInput)


# Rule 6: events and snapshots


async def test_observer_sees_starts_ends_and_counters() -> None:
    """Counters come from the edges: the stages know nothing of the observer."""
    seen: list[Event] = []
    pipeline = Pipeline()
    letters = pipeline.source(ListSource([b"abc", b"de"]), name="letters")
    relayed = pipeline.pipe(relay, letters)
    pipeline.sink(drain, relayed)
    await pipeline.run(seen.append)
    assert {e.stage for e in seen if isinstance(e, StageStarted)} == {"letters", "relay", "drain"}
    assert {e.stage for e in seen if isinstance(e, StageEnded) and e.error is None} == {"letters", "relay", "drain"}
    last = seen[-1]
    assert isinstance(last, Snapshot)
    assert (letters.items, relayed.bytes) == (2, 5)
    assert [(edge.name, edge.items, edge.bytes) for edge in last.edges] == [("letters", 2, 5), ("relay", 2, 5)]
    assert [(stage.name, stage.bytes) for stage in last.stages] == [("letters", 5), ("relay", 5), ("drain", 5)]
    assert {s.state for s in last.stages} == {"finished"}
    assert all(s.busy + s.waiting_in + s.waiting_out <= s.seconds + 0.01 for s in last.stages)


async def test_snapshot_says_who_waits_on_whom() -> None:
    """A full edge shows a waiting writer, an empty one a waiting reader."""
    shots: list[EdgeSnapshot] = []

    async def stuck(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        await anyio.wait_all_tasks_blocked()
        shots.extend((fast.snapshot(), edge.snapshot()))
        await relay(inlet, out)

    pipeline = Pipeline(depth=1)
    fast = pipeline.source(ListSource([b"x"] * 5), name="fast")
    edge = pipeline.pipe(stuck, fast)
    pipeline.sink(drain, edge)
    await pipeline.run()
    assert shots[0].writer_waits
    assert shots[0].buffered == 1
    assert shots[1].reader_waits


async def test_a_failing_observer_stops_the_run() -> None:
    """An exception in the observer leaves as StageFailed, like any other."""

    def observer(event: Event) -> None:
        if isinstance(event, Snapshot):
            raise ZeroDivisionError

    async def slow(out: Outlet[bytes]) -> None:
        await anyio.sleep_forever()

    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(slow))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run(observer)
    assert isinstance(caught.value.cause, ZeroDivisionError)


@pytest.mark.parametrize("moment", ["source", "Commit", "snapshot"])
async def test_an_observer_that_fails_at_the_end(moment: str) -> None:
    """While something is to be done it stops that; when all is done the run has succeeded, and says what it raised."""
    error, sink = ZeroDivisionError(), Commit()

    def observer(event: Event) -> None:
        if isinstance(event, Snapshot):
            if moment == "snapshot" and all(stage.state == "finished" for stage in event.stages):
                raise error
        elif isinstance(event, StageEnded) and event.stage == moment:
            raise error

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(ListSource([b"x"]), name="source"), name="Commit")
    if moment == "source":
        with pytest.raises(StageFailed) as caught:
            await pipeline.run(observer)
        assert (caught.value.stage, caught.value.cause, caught.value.others) == ("observer", error, ())
    else:
        await pipeline.run(observer)
        assert pipeline.observer_failed is error
    assert sink.committed == (moment != "source")


# Rule 8: the helpers find the faults they are for


async def test_contract_checks_pass_for_a_good_stage() -> None:
    """A relay keeps every part of the contract, and is cancelled at each of its seven operations."""
    data = bytes(range(256)) * 10
    assert await check_chunking(lambda: relay, data, [1, 7, 1000]) == data
    await check_chunk_size(lambda: relay, [data])
    await check_input_failure(lambda: relay, [b"a", b"b"])
    assert await check_cancellation(lambda: relay, [b"a", b"b", b"c"]) == 7


async def test_contract_checks_find_bad_stages() -> None:
    """Each check fails for a stage that breaks what it checks."""

    async def per_chunk(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        async for item in inlet:
            await out.send(item + b"|")

    async def hoards(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        await out.send(b"".join([item async for item in inlet]))

    async def swallows(inlet: Inlet[bytes], out: Outlet[bytes]) -> None:
        try:
            await relay(inlet, out)
        except BaseException:  # noqa: BLE001 - this is the fault
            pass

    with pytest.raises(AssertionError, match="other bytes"):
        await check_chunking(lambda: per_chunk, b"abcdef", [2])
    with pytest.raises(AssertionError, match="an item of"):
        await check_chunk_size(lambda: hoards, [bytes(MAX_CHUNK), b"x"])
    with pytest.raises(AssertionError, match="swallowed"):
        await check_cancellation(lambda: swallows, [b"a"])
    with pytest.raises(AssertionError, match="not finished"):
        await check_cancellation(lambda: relay, [b"a"] * 9, operations=3)


async def test_run_sink_passes_the_inputs_error_on() -> None:
    """run_sink can fail its input, which the sink must not take for an end."""
    sink = Commit()
    with pytest.raises(RuntimeError, match="boom"):
        await run_sink(sink, [b"a"], RuntimeError("boom"))
    assert not sink.committed


async def test_a_source_that_swallows_its_cancellation_has_not_succeeded() -> None:
    """What it sent is not all, and a sink that may not be cancelled just now must not take it for that."""
    sent = anyio.Event()
    sink: ListSink[bytes] = ListSink()

    async def swallows(out: Outlet[bytes]) -> None:
        await out.send(b"half")
        sent.set()
        with contextlib.suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()

    async def fails(out: Outlet[bytes]) -> None:
        await sent.wait()
        raise RuntimeError("the other side failed")

    async def shielded(chunks: Inlet[bytes]) -> None:
        with anyio.move_on_after(0.5, shield=True):
            await sink(chunks)

    pipeline = Pipeline()
    pipeline.sink(shielded, pipeline.source(swallows))
    pipeline.sink(drain, pipeline.source(fails))
    with pytest.raises(StageFailed, match="the other side failed"):
        await pipeline.run()
    assert sink.items == [b"half"]
    assert not sink.ended


async def test_errors_beside_cancellations_hide_no_earlier_cause() -> None:
    """A group of tasks that is cancelled while one of them fails raises both; on trio, in one group."""

    async def fails_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("no clean end")

    async def sink(chunks: Inlet[bytes]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fails_when_cancelled)
            group.start_soon(anyio.sleep_forever)

    async def source(out: Outlet[bytes]) -> None:
        await anyio.sleep(0.05)
        raise RuntimeError("first")

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(source))
    with pytest.raises(StageFailed, match="first") as failed:
        await pipeline.run()
    assert [str(error) for error in failed.value.others] == ["no clean end"]
