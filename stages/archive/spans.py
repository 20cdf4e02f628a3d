"""Some parts of an object, one after the other, as one download: for archives of which only some chunks are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..words import STORE
from .download import ArchiveSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...pipeline.engine import Outlet
    from ..stores.base import ObjectInfo, ObjectStore


class SpanSource:
    """Sends the bytes of each span (from, to) of one version of an object, in the order given."""

    name = "download"
    server = STORE

    def __init__(self, store: ObjectStore, info: ObjectInfo, spans: Sequence[tuple[int, int]]) -> None:
        self._store = store
        self._info = info
        self._spans = spans

    async def __call__(self, out: Outlet[bytes]) -> None:
        """Download. Raises as ``ArchiveSource`` does."""
        for start, end in self._spans:
            await ArchiveSource(self._store, self._info, start=start, end=end).read(out)
