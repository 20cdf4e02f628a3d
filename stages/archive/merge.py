"""The stage that puts the rows of several pg_dumps into one script. It runs on asyncio and trio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from ...formats.errors import PayloadError
from ...pipeline.engine import Inlet, Outlet, task_group

if TYPE_CHECKING:
    from ...formats.v2.chunks import Chunk


class MergeRows:
    """Chunks of a script, and of rows that are missing in it, to those of the whole script.

    The first inlet is the script, the others have rows alone. These are put behind the first COPY of the script, when
    every table is made, and before its post-data, which makes keys and triggers. Chunks of several tables alternate as
    they come, but what has ``more`` is followed by the rest of it. COPY statements are numbered anew.
    """

    name = "merge"

    async def __call__(self, inlets: Sequence[Inlet[Chunk]], out: Outlet[Chunk]) -> None:
        """Merge. Raises ``PayloadError`` when there are rows to put between, and the script has no COPY."""
        script, *others = inlets
        merged = _Merged(out)
        begun = anyio.Event()  # the rows of the script; or all of it is read
        left = len(others)
        ended = anyio.Event()

        async def rows(number: int, inlet: Inlet[Chunk]) -> None:
            nonlocal left
            await begun.wait()
            async for chunk in inlet:
                if not merged.begun:
                    raise PayloadError("The dump has no rows of its own, and nothing tells where those of others go.")
                await merged.send(number, chunk)
            left -= 1
            if not left:
                ended.set()

        async with task_group() as tasks:
            for number, inlet in enumerate(others, 1):
                tasks.start_soon(rows, number, inlet)
            async for chunk in script:
                if chunk.post_data and others:
                    await ended.wait()
                await merged.send(0, chunk)
                if chunk.kind == "rows":
                    begun.set()
            begun.set()


class _Merged:
    """The one script that several write, one chunk after the other."""

    def __init__(self, out: Outlet[Chunk]) -> None:
        self._out = out
        self._turn = anyio.Semaphore(1)  # a lock belongs to a task; this one may be kept from a chunk to the next
        self._inside: int | None = None  # who sent a chunk with ``more``
        self._tables: dict[tuple[int, int], int] = {}

    @property
    def begun(self) -> bool:
        """Whether there are rows."""
        return bool(self._tables)

    async def send(self, number: int, chunk: Chunk) -> None:
        """Send the next chunk of one of them."""
        if self._inside != number:
            await self._turn.acquire()
        if chunk.kind == "rows":
            table = self._tables.setdefault((number, chunk.table), len(self._tables))
            chunk = replace(chunk, table=table)
        await self._out.send(chunk)
        self._inside = number if chunk.more else None
        if not chunk.more:
            self._turn.release()
