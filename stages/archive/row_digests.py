"""The sink that compares the rows of whole COPY statements with the index of an archive of format V2.

It runs on asyncio and trio, and knows neither files nor servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...formats.sql.pieces import Rows
from ...formats.v2.digests import RowsDigests

if TYPE_CHECKING:
    from ...formats.sql.pieces import Text
    from ...formats.v2.index import CopyLine, Index
    from ...pipeline.engine import Inlet


class CompareRows:
    """All SQL of an archive, of which the rows are compared (SPEC.md, section 8: ``h`` of a COPY).

    Each byte of them was compared with the index already, as part of its chunk. So this waits for nothing and nothing
    waits for it: a thread of its own makes this SHA-256 while the next chunk's is made.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._digests = RowsDigests()
        self._copies = self._in_order()

    async def __call__(self, sql: Inlet[Text]) -> None:
        """Read to the end. Raises ``DamagedArchive`` (layer ``payload``)."""
        async for _ in sql.each(self._compare):
            pass
        for copy in self._copies:
            self._digests.rows(copy, b"")

    def _compare(self, text: Text) -> None:
        if isinstance(text, Rows):
            self._digests.rows(next(self._copies), text.data)

    def _in_order(self) -> Iterator[CopyLine]:
        """The COPY of each chunk that has rows; of one without any, its COPY was compared when this goes on."""
        for entry in self._index.entries:
            if entry.k == "rows":
                copy = self._index.copies[entry.t]
                if entry.raw == entry.head + entry.tail:
                    self._digests.rows(copy, b"")
                else:
                    yield copy
