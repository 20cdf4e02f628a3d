"""What tells whether two stored archives are the same bytes: a digest of all, and one without the key slots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...pipeline.engine import Inlet


class Digests:
    """Passes an archive on unchanged. ``whole`` and ``body`` are final when it was finished.

    ``whole`` is the lower-case hex SHA-256 of all bytes, ``body`` that of the bytes from ``head`` on: of format V2 new
    key slots change the first alone.
    """

    name = "sha256"

    def __init__(self, head: int) -> None:
        self._left = head
        self._whole, self._body = hashlib.sha256(), hashlib.sha256()
        self.bytes = 0

    @property
    def whole(self) -> str:
        """Over everything so far."""
        return self._whole.hexdigest()

    @property
    def body(self) -> str:
        """Over everything behind the head so far."""
        return self._body.hexdigest()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Hash."""
        self.bytes += len(data)
        self._whole.update(data)
        behind = memoryview(data)[min(self._left, len(data)) :]
        self._left -= len(data) - len(behind)
        self._body.update(behind)
        return (data,)

    def finish(self) -> Iterable[bytes]:
        """Nothing is left."""
        return ()


async def ignore(chunks: Inlet[bytes]) -> None:
    """A sink for what is only read."""
    async for _ in chunks:
        pass
