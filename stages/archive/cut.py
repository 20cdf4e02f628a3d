"""The stages that cut a backup's two streams into the chunks of format V2. They run on asyncio and trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.secret import MAX_ITEM, MAX_SECRET
from ...formats.v2.chunks import LONG, Chunk, SqlChunks
from ...formats.v2.kv import SECRETS, SecretChunks
from ...pipeline.engine import MAX_CHUNK, Inlet, Outlet, in_thread

if TYPE_CHECKING:
    from ...formats.secret import Secret

#: Largest chunk of SQL on an edge, in bytes: rows with a long statement before them.
MAX_CUT = 2 * LONG + 128 * 1024
#: Largest chunk of secrets: one alone, as JSON.
MAX_GROUP = MAX_ITEM + 256 * 1024


class CutSql:
    """pg_dump's script to chunks, each a complete piece of it."""

    name = "cut"
    #: Bytes: rows or a statement that are gathered, and the chunk that is made of them.
    working_set = 2 * LONG + 2 * MAX_CHUNK

    async def __call__(self, sql: Inlet[bytes], out: Outlet[Chunk]) -> None:
        """Cut. Raises ``PayloadError`` for what is no script of pg_dump."""
        cutter = SqlChunks()

        def cut(data: bytes) -> list[Chunk]:
            return list(cutter.feed(data))

        async for chunks in sql.each(cut):
            for chunk in chunks:
                await out.send(chunk)
        for chunk in await in_thread(lambda: list(cutter.finish())):
            await out.send(chunk)


class GroupSecrets:
    """Secrets to chunks of some hundred."""

    name = "group"
    #: Bytes: a group that is gathered, and the chunk that is made of it.
    working_set = 2 * SECRETS + MAX_SECRET

    async def __call__(self, secrets: Inlet[Secret], out: Outlet[Chunk]) -> None:
        """Group."""
        groups = SecretChunks()
        while batch := await secrets.batch():
            for secret in batch:
                for chunk in groups.feed(secret):
                    await out.send(chunk)
        for chunk in groups.finish():
            await out.send(chunk)
