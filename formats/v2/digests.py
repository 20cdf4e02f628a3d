"""Whether the rows of COPY statements are those whose SHA-256 the index has (SPEC.md, section 8)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import DamagedArchive

if TYPE_CHECKING:
    from .index import CopyLine

#: COPY statements of which rows may come in turns and all be compared. A hostile archive could have any number.
AT_ONCE = 64


@dataclass(slots=True)
class _Open:
    """A COPY of which rows have come."""

    left: int
    digest: Any = field(default_factory=hashlib.sha256)


class RowsDigests:
    """Compares the digest of each COPY when the last of its rows has come; ``rows`` in the order of the archive.

    Raises ``DamagedArchive`` (layer ``payload``). Where rows of more than ``AT_ONCE`` of them come in turns, those that
    began last are not compared.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._begun = -1  # the last that began: they are numbered in the order of their first chunks

    def rows(self, copy: CopyLine, data: bytes) -> None:
        """The next rows of a COPY, of which no chunk is left out."""
        if copy.t > self._begun:
            self._begun = copy.t
            if copy.h and len(self._open) < AT_ONCE:
                self._open[copy.t] = _Open(copy.bytes)
        found = self._open.get(copy.t)
        if found is None:
            return
        found.digest.update(data)
        found.left -= len(data)
        if found.left <= 0:
            del self._open[copy.t]
            if found.digest.hexdigest() != copy.h:
                raise DamagedArchive("payload", "The rows of a table are others than the archive's index says.")
