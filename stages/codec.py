"""The stages that write and read an archive's payload, each with the steps behind or before it.

They run on asyncio and trio, and know neither files nor servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..formats.payload import PayloadWriter
from ..formats.payload_reader import PayloadReader
from ..pipeline.engine import in_thread
from .through import Chain, pieces, send, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..formats.payload_reader import Parts
    from ..formats.secret import Secret
    from ..formats.v1 import Header
    from ..pipeline.engine import Inlet, Outlet
    from .through import Step

T = TypeVar("T")

#: Secrets that travel together or are written as one chunk: so many bytes of them, and so many on an edge.
_BATCH = 256 * 1024
_MANY = 256


class Assemble:
    """SQL and secrets to the payload's JSON (SPEC.md, section 6), and through ``steps``. Reads all of the SQL first."""

    def __init__(self, header: Header, *steps: Step, name: str = "assemble") -> None:
        self._writer = PayloadWriter(header)
        self._chain = Chain(*steps)
        self.name = name

    async def __call__(self, sql: Inlet[bytes], secrets: Inlet[Secret], out: Outlet[bytes]) -> None:
        """Write the payload. Raises ``PayloadError`` for SQL that is not UTF-8, and what the steps raise."""
        writer = self._writer

        async def write(make: Callable[[T], bytes], data: T) -> None:
            await send(self._chain.feed(_made(make, data)), out)

        await write(bytes, writer.begin())
        async for chunk in sql:
            await write(writer.sql, chunk)
        await write(bytes, writer.end_sql())
        batch: list[Secret] = []
        size = 0
        async for secret in secrets:
            batch.append(secret)
            size += secret.nbytes
            if size >= _BATCH:
                await write(writer.secrets, batch)
                batch, size = [], 0
        await write(writer.secrets, batch)
        await write(bytes, writer.finish())
        await send(self._chain.finish(), out)


def _made(make: Callable[[T], bytes], data: T) -> Iterator[bytes]:
    """What is made when it is asked for, in the thread that asks."""
    yield from pieces(make(data))


class Split:
    """Through ``steps`` to the payload's JSON, and that to SQL and secrets.

    The SQL is passed on in pieces, never held; an empty chunk marks its end, since its edge ends only with the payload.
    ``sql_first`` says, once the payload ended, whether the SQL did before the first secret. ``check_header`` may refuse
    the inner header before anything behind it is looked at; ``look`` sees each piece of SQL while it is at hand. Both
    are called in the thread.
    """

    def __init__(
        self,
        *steps: Step,
        check_header: Callable[[dict[str, object]], None] | None = None,
        look: Callable[[bytes], None] | None = None,
        name: str = "split",
    ) -> None:
        self.name = name
        self._chain = Chain(*steps)
        self._reader = PayloadReader()
        self._check_header = check_header
        self._look = look
        self.sql_first = False

    async def __call__(self, chunks: Inlet[bytes], sql: Outlet[bytes], secrets: Outlet[Secret]) -> None:
        """Read the payload. Raises ``DamagedArchive``, and what the steps, ``check_header`` and ``look`` raise."""
        async for chunk in chunks:
            await self._pass(self._chain.feed((chunk,)), sql, secrets)
        await self._pass(self._chain.finish(), sql, secrets)
        self._reader.finish()

    async def _pass(self, ready: Iterator[bytes], sql: Outlet[bytes], secrets: Outlet[Secret]) -> None:
        more = True
        while more:
            some, more = await in_thread(self._parse, ready)
            for parts in some:
                for text in parts.sql:  # a piece can be longer than its chunk by what the chunk before it cut off
                    for piece in pieces(text):
                        await sql.send(piece)
                if parts.sql_ended:
                    self.sql_first = self._reader.sql_first
                    await sql.send(b"")
                for together in _batches(parts.secrets):
                    await secrets.send_together(together)

    def _parse(self, ready: Iterator[bytes]) -> tuple[list[Parts], bool]:
        """About a chunk of the payload, parsed, and whether there may be more."""
        some, more = take(ready)
        return [self._seen(self._reader.update(piece)) for piece in some], more

    def _seen(self, parts: Parts) -> Parts:
        if parts.header is not None and self._check_header:
            self._check_header(parts.header)
        if self._look:
            for text in parts.sql:
                self._look(text)
        return parts


def _batches(secrets: list[Secret]) -> Iterator[list[Secret]]:
    """Cut into what is sent together: many small ones, or a large one alone."""
    batch: list[Secret] = []
    size = 0
    for secret in secrets:
        size += secret.nbytes
        if batch and (size > _BATCH or len(batch) == _MANY):
            yield batch
            batch, size = [], secret.nbytes
        batch.append(secret)
    if batch:
        yield batch
