"""The engine alone: what a chunk costs on its way through stages that do nothing."""

from __future__ import annotations

import anyio

from kleidia_backup.pipeline.engine import MAX_CHUNK, Inlet, Outlet, Pipeline

from .measuring import Measure

_CHUNKS = 10_000_000_000 // MAX_CHUNK
_STAGES = 5


def test_engine(measure: Measure) -> None:
    """10 GB, one MiB at a time, from a source through five stages to a sink."""
    chunk = bytes(MAX_CHUNK)
    arrived = 0

    async def source(out: Outlet[bytes]) -> None:
        for _ in range(_CHUNKS):
            await out.send(chunk)

    async def nothing(chunks: Inlet[bytes], out: Outlet[bytes]) -> None:
        async for each in chunks:
            await out.send(each)

    async def sink(chunks: Inlet[bytes]) -> None:
        nonlocal arrived
        async for each in chunks:
            arrived += len(each)

    def run() -> None:
        pipeline = Pipeline()
        edge = pipeline.source(source)
        for number in range(_STAGES):
            edge = pipeline.pipe(nothing, edge, name=f"nothing {number}")
        pipeline.sink(sink, edge)
        anyio.run(pipeline.run)

    rounds = 3
    measure.race(run, rounds=rounds)
    assert arrived == rounds * _CHUNKS * MAX_CHUNK
    measure.line("engine", arrived / rounds / measure.best() / 1e9, seconds=measure.best(), chunks=_CHUNKS)
    measure.judge()
