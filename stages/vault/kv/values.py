"""Reading and comparing values for many workers, so that only one large value is in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ....formats.json import text as jsontext
from ....pipeline.engine import in_thread
from .answers import Oversize, ReadResult
from .client import SMALL, VaultClient

#: Bytes: two values that are longer together are compared in a thread.
_INLINE = 64 * 1024


class Values:
    """Reads values for the workers of one stage, which share its lock. Raises what the client's requests raise."""

    def __init__(self, client: VaultClient) -> None:
        self._client = client
        self._one_large = anyio.Lock()

    @asynccontextmanager
    async def read(self, mount: str, path: str) -> AsyncIterator[ReadResult]:
        """The newest value of a secret; of those above ``SMALL`` bytes the next is read when this one's block ended."""
        found = await self._client.read(mount, path, limit=SMALL)
        if not isinstance(found, Oversize):
            yield found
            return
        async with self._one_large:
            yield await self._client.read(mount, path)


async def equal(live: bytes, value: bytes) -> bool:
    """Whether two values (JSON text) mean the same."""
    if live == value:
        return True
    if len(live) + len(value) < _INLINE:
        return jsontext.same(live, value)
    return await in_thread(jsontext.same, live, value)
