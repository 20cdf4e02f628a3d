"""Transforms of an edge: where they run, what they count, when they end; on asyncio and trio."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import anyio
import pytest

from kleidia_backup.pipeline.engine import (
    MAX_CHUNK,
    Inlet,
    Outlet,
    Pipeline,
    StageBug,
    StageFailed,
    StageSnapshot,
    WiringError,
    cut,
    drain,
)
from kleidia_backup.pipeline.engine.testing import ListSink, ListSource

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


class Gzip:
    name = "gzip"
    working_set = 1000

    def __init__(self) -> None:
        self._packer = zlib.compressobj(wbits=31)

    def feed(self, data: bytes) -> Iterable[bytes]:
        return (self._packer.compress(data),)

    def finish(self) -> Iterable[bytes]:
        return (self._packer.flush(),)


class Digest:
    name = "digest"

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.threads: set[int] = set()
        self.finished = False

    def feed(self, data: bytes) -> Iterable[bytes]:
        self.hash.update(data)
        self.threads.add(threading.get_ident())
        return (data,)

    def finish(self) -> Iterable[bytes]:
        self.finished = True
        return ()


class Twice:
    """Expands, and is asked for each piece alone."""

    name = "twice"

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data
        yield data

    def finish(self) -> Iterator[bytes]:
        yield b"end"


async def makes(chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
    async for chunk in chunks:
        await out.make(chunk.upper)


async def relay(chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
    async for chunk in chunks:
        await out.send(chunk)


class Each(ListSink[bytes]):
    """Looks at each item in the hop of the transforms."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def look(self, chunk: bytes) -> bytes:
        self.threads.add(threading.get_ident())
        return chunk.lower()

    async def __call__(self, chunks: Inlet[bytes]) -> None:
        async for chunk in chunks.each(self.look):
            self.items.append(chunk)
        self.ended = True


DATA = [b"%d of many words; " % n * 500 for n in range(40)]


@pytest.mark.parametrize("writer", [makes, relay])
@pytest.mark.parametrize("reader", [ListSink, Each])
async def test_the_bytes_are_the_same_wherever_they_run(writer: Any, reader: Any) -> None:
    """In the writer's hop, in the reader's, in one of their own: the same bytes, counts and end."""
    pipeline = Pipeline()
    digest, sink = Digest(), reader()
    words = pipeline.pipe(writer, pipeline.source(ListSource(DATA)))
    packed = words.through(Gzip(), digest)
    if reader is Each:
        sink.look = lambda chunk: chunk
    pipeline.sink(sink, packed)
    await pipeline.run()
    whole = b"".join(sink.items)
    text = b"".join(DATA).upper() if writer is makes else b"".join(DATA)
    assert gzip.decompress(whole) == text
    assert digest.hash.digest() == hashlib.sha256(whole).digest()
    assert digest.finished
    assert (words.items, words.bytes, packed.bytes) == (len(DATA), len(text), len(whole))
    rows = {stage.name: stage for stage in pipeline.snapshot().stages}
    assert list(rows) == ["ListSource", writer.__name__, "gzip", "digest", reader.__name__]
    assert (rows[writer.__name__].bytes, rows["gzip"].bytes, rows["digest"].bytes) == (
        len(text),
        len(whole),
        len(whole),
    )
    assert rows["gzip"].state == rows["digest"].state == "finished"
    assert rows["gzip"].busy > 0
    host = rows[writer.__name__].waiting_out if writer is makes else rows[reader.__name__].waiting_in
    assert host >= rows["gzip"].busy + rows["digest"].busy


async def test_they_share_the_hop_of_the_reader() -> None:
    """``each`` calls its function in the thread that the transforms have run in, a chunk at a time."""
    pipeline = Pipeline(threads=1)
    digest, sink = Digest(), Each()
    pipeline.sink(sink, pipeline.source(ListSource(DATA)).through(digest))
    await pipeline.run()
    assert b"".join(sink.items) == b"".join(DATA).lower()
    assert sink.threads == digest.threads
    assert threading.get_ident() not in sink.threads


async def test_each_without_transforms_and_of_what_is_sent_together() -> None:
    """It is for any items."""
    pipeline = Pipeline()
    sink = Each()
    pipeline.sink(sink, pipeline.source(ListSource([b"A", b"B", b"C"], together=2)))
    await pipeline.run()
    assert (sink.items, sink.ended) == ([b"a", b"b", b"c"], True)


async def test_make_without_transforms_cuts() -> None:
    """What is made may be longer than what an edge takes."""

    async def source(out: Outlet[bytes]) -> None:
        await out.make(bytes, 25)
        await out.make(bytes)

    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    edge = pipeline.source(source, max_item=10)
    pipeline.sink(sink, edge)
    await pipeline.run()
    assert [len(item) for item in sink.items] == [10, 10, 5]
    assert (edge.items, edge.bytes) == (3, 25)


async def test_a_transform_that_expands_is_asked_piece_by_piece() -> None:
    """Ends pass through the transforms behind; nothing is larger than an edge takes."""
    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    edge = pipeline.source(ListSource([bytes(MAX_CHUNK)])).through(Twice(), Twice())
    pipeline.sink(sink, edge)
    await pipeline.run()
    assert b"".join(sink.items) == bytes(4 * MAX_CHUNK) + b"endendend"
    assert max(map(len, sink.items)) == MAX_CHUNK


@pytest.mark.parametrize("writer", [makes, relay])
async def test_an_end_that_is_refused_fails_the_run(writer: Any) -> None:
    """``finish`` is called when the writer returned, and the sink sees no end when it raises."""

    class Refuses(Digest):
        def finish(self) -> Iterable[bytes]:
            raise ValueError("not here")

    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.pipe(writer, pipeline.source(ListSource(DATA))).through(Refuses()))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, ValueError)
    assert not sink.ended


@pytest.mark.parametrize("send", ["make", "send"])
async def test_no_transform_is_finished_when_the_writer_fails(send: str) -> None:
    """The end of a stream is not success: no trailer, no tag."""

    async def source(out: Outlet[bytes]) -> None:
        await (out.make(bytes, 5) if send == "make" else out.send(bytes(5)))
        raise RuntimeError("bad exit")

    pipeline = Pipeline()
    digest, sink = Digest(), ListSink[bytes]()
    pipeline.sink(sink, pipeline.source(source).through(digest))
    with pytest.raises(StageFailed, match="bad exit"):
        await pipeline.run()
    assert not digest.finished
    assert not sink.ended


async def test_an_empty_edge_has_an_end_too() -> None:
    """Nothing sent: the transforms are finished all the same."""

    async def source(out: Outlet[bytes]) -> None:
        pass

    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.source(source).through(Twice()).through(Gzip()))
    await pipeline.run()
    assert gzip.decompress(b"".join(sink.items)) == b"end"


async def test_several_senders_never_meet_in_a_transform() -> None:
    """What several tasks send or make passes the transforms on the reader's side, one chunk after the other."""

    class Fan:
        senders = 5

        async def __call__(self, out: Outlet[bytes]) -> None:
            async def work(number: int) -> None:
                for _ in range(20):
                    await out.make(lambda: b"%d" % number * 100)

            async with anyio.create_task_group() as tasks:
                for number in range(self.senders):
                    tasks.start_soon(work, number)

    class Alone(Digest):
        busy = False

        def feed(self, data: bytes) -> Iterator[bytes]:
            assert not self.busy
            self.busy = True
            yield data
            self.busy = False

    pipeline = Pipeline(depth=1)
    alone = Alone()
    edge = pipeline.source(Fan()).through(alone)
    pipeline.sink(drain, edge)
    await pipeline.run()
    assert (edge.bytes, alone.finished) == (10_000, True)


async def test_what_through_refuses() -> None:
    """An edge has one reader, transforms included; and a mark has no place between them."""
    pipeline = Pipeline()
    edge = pipeline.source(ListSource([b"a"]))
    behind = edge.through(Gzip())
    with pytest.raises(WiringError, match="reader already"):
        edge.through(Gzip())
    with pytest.raises(WiringError, match="reader already"):
        pipeline.sink(drain, edge)
    pipeline.sink(drain, behind)
    await pipeline.run()

    async def marks(out: Outlet[bytes]) -> None:
        await out.end()

    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(marks).through(Gzip()))
    with pytest.raises(StageFailed) as caught:
        await pipeline.run()
    assert isinstance(caught.value.cause, StageBug)


async def test_memory_bound_counts_what_transforms_keep() -> None:
    """And what is made in one hop."""
    plain, packed = Pipeline(), Pipeline()
    plain.sink(drain, plain.source(ListSource([b""])))
    packed.sink(drain, packed.source(ListSource([b""])).through(Gzip()))
    assert packed.memory_bound() - plain.memory_bound() == 2 * MAX_CHUNK + 1000


async def test_a_snapshot_of_what_has_not_begun() -> None:
    """Every row is there from the beginning."""
    pipeline = Pipeline()
    pipeline.sink(drain, pipeline.source(ListSource([b"a"])).through(Gzip()))
    pending = [StageSnapshot(name, "pending", 0.0, 0.0, 0.0) for name in ("ListSource", "gzip", "drain")]
    assert list(pipeline.snapshot().stages) == pending


def test_cut(anyio_backend: str) -> None:
    """Nothing for nothing; what fits stays whole."""
    assert list(cut(b"")) == []
    assert list(cut(b"abc", 3)) == [b"abc"]
    assert list(cut(b"abcdefg", 3)) == [b"abc", b"def", b"g"]


# Nothing that was lost on the way ends as if it were whole


class Refuses:
    """Passes on all but one chunk, and ends well or not."""

    name = "refuses"

    def __init__(self, chunk: bytes = b"", *, ends: bool = True) -> None:
        self._chunk = chunk
        self._ends = ends

    def feed(self, data: bytes) -> Iterable[bytes]:
        if data == self._chunk:
            raise ValueError("refused")
        return (data,)

    def finish(self) -> Iterable[bytes]:
        if not self._ends:
            raise ValueError("refused")
        return ()


async def test_a_writer_that_takes_no_notice_of_a_failed_transform_does_not_succeed() -> None:
    async def goes_on(out: Outlet[bytes]) -> None:
        for chunk in (b"1", b"2", b"3"):
            with contextlib.suppress(ValueError):
                await out.make(bytes, chunk)

    pipeline = Pipeline()
    sink: ListSink[bytes] = ListSink()
    pipeline.sink(sink, pipeline.source(goes_on).through(Refuses(b"2")))
    with pytest.raises(StageFailed, match="refused"):
        await pipeline.run()
    assert not sink.ended


@pytest.mark.parametrize("transform", [Refuses(b"2"), Refuses(ends=False)])
async def test_a_reader_that_takes_no_notice_of_a_failed_transform_sees_no_end(transform: Refuses) -> None:
    ended: list[bool] = []

    async def reads_on(chunks: Inlet[bytes]) -> None:
        for _ in range(3):
            with contextlib.suppress(ValueError):
                await drain(chunks)
        ended.append(chunks.ended)

    pipeline = Pipeline()
    pipeline.sink(reads_on, pipeline.source(ListSource([b"1", b"2", b"3"])).through(transform))
    with pytest.raises(StageFailed, match="refused"):
        await pipeline.run()
    assert ended == [False]


async def test_what_was_made_and_not_sent_in_time_is_missed() -> None:
    async def gives_up(out: Outlet[bytes]) -> None:
        with anyio.move_on_after(0.1):
            await out.make(lambda: b"x" * 40)

    sink: ListSink[bytes] = ListSink()

    async def slow(chunks: Inlet[bytes]) -> None:
        await anyio.sleep(0.3)
        await sink(chunks)

    pipeline = Pipeline(depth=0)
    pipeline.sink(slow, pipeline.source(gives_up, max_item=10).through(Digest()))
    with pytest.raises(StageFailed, match="cancelled before all of it was sent"):
        await pipeline.run()
    assert not sink.ended


async def test_each_gives_what_is_left_of_what_was_sent_together() -> None:
    got: list[bytes] = []

    async def sink(chunks: Inlet[bytes]) -> None:
        got.append(await anext(chunks))
        async for chunk in chunks.each(bytes.upper):
            got.append(chunk)

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(ListSource([b"a", b"b", b"c", b"d"], together=3)))
    await pipeline.run()
    assert got == [b"a", b"B", b"C", b"D"]


async def test_a_cancelled_each_loses_nothing() -> None:
    got: list[bytes] = []

    async def sink(chunks: Inlet[bytes]) -> None:
        await anyio.sleep(0.1)
        each = chunks.each(bytes.upper)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(each)
        async for chunk in each:
            got.append(chunk)

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(ListSource([b"a", b"b", b"c", b"d"], together=3)))
    await pipeline.run()
    assert got == [b"A", b"B", b"C", b"D"]


async def test_who_leaves_each_too_early_is_told() -> None:
    async def sink(chunks: Inlet[bytes]) -> None:
        async for _ in chunks.each(bytes.upper):
            break
        await drain(chunks)

    pipeline = Pipeline()
    pipeline.sink(sink, pipeline.source(ListSource([b"a", b"b", b"c", b"d"], together=2)))
    with pytest.raises(StageFailed, match="left each") as failed:
        await pipeline.run()
    assert isinstance(failed.value.cause, StageBug)
