"""The value that a secret has now, read and compared without twenty large ones meeting in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ...pipeline.engine import in_thread
from . import jsontext
from .answers import Oversize
from .source import SMALL

if TYPE_CHECKING:
    from .answers import ReadResult
    from .client import VaultClient

#: Values from this size on are compared in a thread.
_INLINE = 64 * 1024


class LiveValues:
    """Reads for many workers; of values above ``SMALL`` one at a time. Raises what the client's requests raise."""

    def __init__(self, client: VaultClient) -> None:
        self._client = client
        self._one_large = anyio.Lock()

    async def read(self, mount: str, path: str) -> ReadResult:
        """The newest value of a secret."""
        live = await self._client.read(mount, path, limit=SMALL)
        if isinstance(live, Oversize):
            async with self._one_large:
                live = await self._client.read(mount, path)
        return live


async def same(live: bytes, value: bytes) -> bool:
    """Whether two values (JSON text) mean the same."""
    if live == value:
        return True
    if len(live) + len(value) < _INLINE:
        return jsontext.same(live, value)
    return await in_thread(jsontext.same, live, value)
