"""Rows of several pg_dumps put into one script, whatever comes when: what a reader of the archive requires."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kleidia_backup.formats.errors import PayloadError
from kleidia_backup.formats.v2.chunks import Chunk, SqlChunks
from kleidia_backup.formats.v2.frames import Compress
from kleidia_backup.formats.v2.index import Index
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.formats.v2.tar import BLOCK, Locator
from kleidia_backup.pipeline.engine import Outlet, Pipeline, StageFailed
from kleidia_backup.pipeline.engine.testing import ListSink, ListSource
from kleidia_backup.stages.archive.merge import MergeRows

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

SCRIPT = (
    b"--\n-- head\n--\n\n\\restrict x\n\nSET a = 1;\n\nCREATE TABLE s (id int);\n\n--\n-- Data\n--\n\n"
    b"COPY s (id) FROM stdin;\n1\n2\n\\.\n\n\nSELECT pg_catalog.setval('s_id', 2);\n\n"
    b"BEGIN;\n\nSELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\n"
    b"--\n-- Name: i; Type: INDEX\n--\n\nCREATE INDEX i ON s (id);\n\n\\unrestrict x\n\n"
)


def cut(text: bytes) -> list[Chunk]:
    cutter = SqlChunks()
    return [*cutter.feed(text), *cutter.finish()]


def rows(name: bytes, lines: Sequence[bytes], table: int = 0) -> list[Chunk]:
    """The chunks of one table, one for each row, and two for a long one."""
    head, end = b"COPY " + name + b" (x) FROM stdin;\n", b"\\.\n"
    chunks: list[Chunk] = []
    for line in lines or [b""]:
        data, count = (line + b"\n", 1) if line else (b"", 0)
        begun = len(head)
        if len(line) > 50:
            chunks.append(Chunk("rows", head + data[:40], table=table, head=begun, more=True))
            data, begun = data[40:], 0
        data = (head if begun else b"") + data + end
        chunks.append(Chunk("rows", data, count=count, table=table, head=begun, tail=len(end)))
    return chunks


class _Slow:
    """A source that lets others go first, as often as it is told."""

    def __init__(self, items: Sequence[Chunk], pauses: Sequence[int]) -> None:
        self.items = items
        self.pauses = pauses

    async def __call__(self, out: Outlet[Chunk]) -> None:
        for number, item in enumerate(self.items):
            for _ in range(self.pauses[number % len(self.pauses)]):
                await anyio.lowlevel.checkpoint()
            await out.send(item)


async def merged(script: Sequence[Chunk], *others: Sequence[Chunk], pauses: Sequence[int] = (0,)) -> list[Chunk]:
    pipeline = Pipeline(depth=1)
    edges = [pipeline.source(_Slow(items, pauses[n:] or (0,))) for n, items in enumerate((script, *others))]
    sink: ListSink[Chunk] = ListSink()
    pipeline.sink(sink, pipeline.pipe(MergeRows(), edges))
    await pipeline.run()
    return sink.items


def index_of(chunks: Sequence[Chunk]) -> Index:
    """The index that a writer makes and a reader takes."""
    compress, writer = Compress(), PayloadWriter(datetime(2026, 1, 1, tzinfo=UTC))
    payload = writer.begin(b"{}") + b"".join(writer.add(compress(chunk)) for chunk in chunks)
    payload += b"".join(writer.finish())
    locator = Locator.parse(payload[-BLOCK:], len(payload))
    stored = payload[locator.index : locator.index + locator.size]
    return Index.parse(stored, hashlib.sha256(stored).digest())


LINES = st.lists(st.sampled_from([b"1", b"short", b"x" * 20, b"y" * 90, b"\\\\N"]), max_size=12)


@given(
    tables=st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=3), pauses=st.lists(st.integers(0, 3), min_size=1)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
async def test_any_order_of_arrival_is_a_script_with_every_row(
    tables: list[list[list[bytes]]], pauses: list[int]
) -> None:
    """The index is taken, and each table's rows are whole and in order, also those that were cut."""
    given = {b"t%d_%d" % (number, at): lines for number, each in enumerate(tables) for at, lines in enumerate(each)}
    others = [
        [chunk for at, lines in enumerate(each) for chunk in rows(b"t%d_%d" % (number, at), lines, at)]
        for number, each in enumerate(tables)
    ]
    chunks = await merged(cut(SCRIPT), *others, pauses=pauses)
    index = index_of(chunks)
    assert [copy.t for copy in index.copies] == list(range(len(given) + 1))
    found: dict[bytes, bytes] = {}
    names: dict[int, bytes] = {}
    for chunk in chunks:
        if chunk.kind == "rows":
            if chunk.head:
                names[chunk.table] = chunk.data.split(b" ")[1]
            name = names[chunk.table]
            found[name] = found.get(name, b"") + chunk.data[chunk.head : len(chunk.data) - chunk.tail]
    assert found.pop(b"s") == b"1\n2\n"
    assert found == {name: b"".join(line + b"\n" for line in lines) for name, lines in given.items()}
    assert b"".join(chunk.data for chunk in chunks if chunk.kind == "sql") == b"".join(
        chunk.data for chunk in cut(SCRIPT) if chunk.kind == "sql"
    )


async def test_rows_stand_behind_every_table_and_before_the_first_index() -> None:
    """Values of sequences and large objects may come before them."""
    others = [rows(b"t%d" % number, [b"1"] * 3) for number in range(3)]
    for pauses in ((0, 9, 9, 9), (9, 0, 0, 0), (3, 1, 2, 5)):
        chunks = await merged(cut(SCRIPT), *others, pauses=pauses)
        last = max(number for number, chunk in enumerate(chunks) if chunk.kind == "rows")
        assert b"CREATE TABLE s" in chunks[0].data
        assert b"COPY s" in chunks[1].data
        assert b"CREATE INDEX" not in b"".join(chunk.data for chunk in chunks[: last + 1])
        assert b"CREATE INDEX" in b"".join(chunk.data for chunk in chunks[last + 1 :])


async def test_the_script_alone_is_as_it_was() -> None:
    """Others that have nothing change nothing."""
    assert await merged(cut(SCRIPT), [], []) == cut(SCRIPT)
    assert await merged(cut(b"SELECT 1;\n"), []) == cut(b"SELECT 1;\n")


async def test_a_script_without_rows_has_no_place_for_those_of_others() -> None:
    """Nothing tells where its tables are made, and its keys are not yet."""
    with pytest.raises(StageFailed, match="no rows of its own") as caught:
        await merged(cut(b"CREATE TABLE t (x int);\nCREATE INDEX i ON t (x);\n"), rows(b"t", [b"1"]))
    assert isinstance(caught.value.cause, PayloadError)


async def test_one_that_fails_leaves_no_whole_script() -> None:
    """Whether the script waits for it or goes on."""
    pipeline = Pipeline(depth=1)
    sink: ListSink[Chunk] = ListSink()
    broken = pipeline.source(ListSource(rows(b"t", [b"1"]), OSError("canary")))
    script = pipeline.source(ListSource(cut(SCRIPT)))
    pipeline.sink(sink, pipeline.pipe(MergeRows(), [script, broken]))
    with pytest.raises(StageFailed, match="canary"):
        await pipeline.run()
    assert not sink.ended
    assert b"CREATE INDEX" not in b"".join(chunk.data for chunk in sink.items)
