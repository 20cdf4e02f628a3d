"""The beginning of a restore: one object's ciphertext, resumed where a connection broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ...formats.v1.header import MAX_PREAMBLE, Preamble
from ...formats.v2.head import MAGIC, MAX_HEAD, Head
from ..errors import StoreUnreachable
from ..words import STORE

if TYPE_CHECKING:
    from ...pipeline.engine import Outlet
    from ..stores.base import ObjectInfo, ObjectStore

#: The first bytes of a file that hold all of that, whatever its format.
MAX_FIRST = max(MAX_PREAMBLE, MAX_HEAD)
#: Attempts in a row that bring not one byte.
ATTEMPTS = 9
#: Seconds before the first of them is repeated; doubled each time, up to the longest: about a minute and a half.
PAUSE = 0.5
LONGEST_PAUSE = 20.0


async def read_head(store: ObjectStore, name: str) -> tuple[ObjectInfo, Preamble | Head]:
    """Read what stands in front of the ciphertext, by one ranged request, with what pins the object.

    Raises the ``ArchiveError`` and ``StoreError`` trees.
    """
    info = await store.head(name)
    data = await read_range(store, info, 0, MAX_FIRST)
    return info, Head.parse(data) if data.startswith(MAGIC) else Preamble.parse(data)


async def read_range(store: ObjectStore, info: ObjectInfo, start: int, size: int) -> bytes:
    """Up to ``size`` bytes of an object from byte ``start``, held in memory. Raises the ``StoreError`` tree."""
    data = bytearray()

    class Collect:
        async def send(self, chunk: bytes) -> None:
            data.extend(chunk)

    await ArchiveSource(store, info, start=start, end=min(start + size, info.size)).read(Collect())
    return bytes(data)


class ArchiveSource:
    """Sends an object's bytes from ``start`` to ``end`` (its end when None), all of one version of it.

    A broken download goes on at its offset, as long as each attempt brings something.
    """

    name = "download"
    server = STORE

    def __init__(self, store: ObjectStore, info: ObjectInfo, *, start: int, end: int | None = None) -> None:
        self._store = store
        self._info = info
        self._at = start
        self._end = info.size if end is None else end

    async def __call__(self, out: Outlet[bytes]) -> None:
        """Download. Raises ``ObjectChanged`` when it was replaced, ``StoreUnreachable`` when attempts run out."""
        await self.read(out)

    async def read(self, out: Sender) -> None:
        """As the stage, to anything with ``send``."""
        failures = 0
        while self._at < self._end:
            before = self._at
            try:
                await self._attempt(out)
            except StoreUnreachable:
                failures = 1 if self._at > before else failures + 1
                if failures >= ATTEMPTS:
                    raise
                await anyio.sleep(min(LONGEST_PAUSE, PAUSE * 2 ** (failures - 1)))

    async def _attempt(self, out: Sender) -> None:
        async with self._store.get(self._info.name, start=self._at, end=self._end, pin=self._info) as chunks:
            async for chunk in chunks:
                self._at += len(chunk)
                await out.send(chunk)
        if self._at < self._end:
            raise StoreUnreachable("The store ended a download early.", hint="Try again.")


if TYPE_CHECKING:
    from typing import Protocol

    class Sender(Protocol):
        """Where chunks go."""

        async def send(self, chunk: bytes, /) -> None:
            """Take one."""
