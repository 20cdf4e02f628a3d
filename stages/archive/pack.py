"""The stage that writes the payload of format V2. It runs on asyncio and trio, and knows neither files nor servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...formats.v2.payload import PayloadWriter
from .cut import MAX_GROUP

if TYPE_CHECKING:
    from datetime import datetime

    from ...formats.v2.frames import Packed
    from ...pipeline.engine import Inlet, Outlet


class Pack:
    """Chunks as stored to a tar with an index (SPEC.md, section 6). Reads all of the SQL first.

    ``begin`` is the content of ``meta/begin.json``; ``sign`` makes the signature of the index's SHA-256.
    """

    name = "tar"
    #: Bytes: a member made of a chunk, and the index, of which about 60 bytes a chunk are held.
    working_set = 2 * MAX_GROUP

    def __init__(self, time: datetime, begin: bytes, sign: Callable[[bytes], bytes] | None = None) -> None:
        self._writer = PayloadWriter(time)
        self._begin = begin
        self._sign = sign

    @property
    def sql_bytes(self) -> int:
        """Bytes of SQL in it so far."""
        return self._writer.sql_bytes

    async def __call__(self, sql: Inlet[Packed], secrets: Inlet[Packed], out: Outlet[bytes]) -> None:
        """Write the payload."""
        await out.make(self._writer.begin, self._begin)
        for chunks in (sql, secrets):
            async for packed in chunks:
                await out.make(self._writer.add, packed)
        for data in self._writer.finish(self._sign):
            await out.send(data)
