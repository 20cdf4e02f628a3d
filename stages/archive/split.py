"""The stage that reads an archive's payload. It runs on asyncio and trio, and knows neither files nor servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...formats.secret import MAX_SECRET, Secret
from ...formats.v1.payload_reader import Parts, PayloadReader
from ...pipeline.engine import MAX_CHUNK, Inlet, Outlet, cut

#: Secrets that are sent together: at most this many bytes, and this many.
_BATCH = 256 * 1024
_MANY = 256


class Split:
    """The payload's JSON to SQL and secrets.

    The SQL is passed on in pieces, never held. Its end is marked, since its edge ends only with the payload.
    ``sql_first`` says, once the payload ended, whether the SQL did before the first secret. ``check_header`` may refuse
    the inner header before anything behind it is looked at; ``look`` sees each piece of SQL while it is at hand. Both
    are called in the thread.
    """

    name = "split"
    #: Bytes: what was parsed in one hop, text and its piece; and a secret that is not whole yet.
    working_set = 6 * MAX_CHUNK + 2 * MAX_SECRET

    def __init__(
        self,
        *,
        check_header: Callable[[dict[str, object]], None] | None = None,
        look: Callable[[bytes], None] | None = None,
    ) -> None:
        self._reader = PayloadReader()
        self._check_header = check_header
        self._look = look
        self.sql_first = False

    async def __call__(self, payload: Inlet[bytes], sql: Outlet[bytes], secrets: Outlet[Secret]) -> None:
        """Read the payload. Raises ``DamagedArchive``, and what ``check_header`` and ``look`` raise."""
        async for parts in payload.each(self._parse):
            for text in parts.sql:  # a piece can be longer than its chunk by what the chunk before it cut off
                for piece in cut(text):
                    await sql.send(piece)
            if parts.sql_ended:
                self.sql_first = self._reader.sql_first
                await sql.end()
            for together in batches(parts.secrets):
                await secrets.send_together(together)
        self._reader.finish()

    def _parse(self, piece: bytes) -> Parts:
        parts = self._reader.update(piece)
        if parts.header is not None and self._check_header:
            self._check_header(parts.header)
        if self._look:
            for text in parts.sql:
                self._look(text)
        return parts


def batches(secrets: Sequence[Secret]) -> Iterator[list[Secret]]:
    """Cut into what is sent together on an edge: many small ones, or a large one alone."""
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
