"""The stage that writes an archive's payload. It runs on asyncio and trio, and knows neither files nor servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.secret import MAX_SECRET, Secret
from ...formats.v1.payload import PayloadWriter
from ...pipeline.engine import MAX_CHUNK, Inlet, Outlet

if TYPE_CHECKING:
    from ...formats.v1.header import Header

#: Bytes of secrets that are written as one chunk.
BATCH = 256 * 1024


class Assemble:
    """SQL and secrets to the payload's JSON (SPEC.md, section 6). Reads all of the SQL first."""

    name = "assemble"
    #: Bytes: a chunk of SQL as text and as JSON, which may be six times as long; or some secrets, the last one large.
    working_set = max(14 * MAX_CHUNK, 2 * (BATCH + MAX_SECRET))

    def __init__(self, header: Header) -> None:
        self._writer = PayloadWriter(header)

    async def __call__(self, sql: Inlet[bytes], secrets: Inlet[Secret], out: Outlet[bytes]) -> None:
        """Write the payload. Raises ``PayloadError`` for SQL that is not UTF-8."""
        writer = self._writer
        await out.make(writer.begin)
        async for chunk in sql:
            await out.make(writer.sql, chunk)
        await out.make(writer.end_sql)
        batch: list[Secret] = []
        size = 0
        async for secret in secrets:
            batch.append(secret)
            size += secret.nbytes
            if size >= BATCH:
                await out.make(writer.secrets, batch)
                batch, size = [], 0
        await out.make(writer.secrets, batch)
        await out.make(writer.finish)
