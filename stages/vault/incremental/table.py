"""In which chunk of an archive each path is: eight bytes each, twelve on average with the gaps between them.

Open addressing with linear probing. A slot holds 43 bits of the path's hash and the chunk's number, of 21 bits; 0 is
empty. Another path may have the same bits: who asks compares the paths themselves.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from ....formats.v2.index import MAX_CHUNKS

_NUMBER = (MAX_CHUNKS - 1).bit_length()
_CHUNK = (1 << _NUMBER) - 1
#: The highest bit is always set, so that no entry is 0.
_SET = 1 << 63
_TAG = ~_CHUNK & (_SET - 1)
_FEWEST = 1 << 12
#: Slots at most: 16 MiB. Two of three are used.
MOST = 1 << 21
#: Bytes: the largest table, and the one that it grew from.
WORKING_SET = 12 * MOST


class ChunkTable:
    """Paths are added with their chunk, and found again. ``full``: there was no room for some."""

    def __init__(self, most: int = MOST) -> None:
        self._slots = array("Q", bytes(8 * min(_FEWEST, most)))
        self._most = most
        self._used = 0
        self.full = False

    def __len__(self) -> int:
        return self._used

    def add(self, path: str, chunk: int) -> None:
        """Remember where a path is, while there is room."""
        if 3 * self._used >= 2 * len(self._slots):
            if len(self._slots) >= self._most:
                self.full = True
                return
            self._grow()
        self._put(_SET | (hash(path) & _TAG) | chunk)
        self._used += 1

    def find(self, path: str) -> Iterator[int]:
        """The chunks that may hold a path."""
        slots = self._slots
        mask, tag = len(slots) - 1, _SET | (hash(path) & _TAG)
        at = (tag >> _NUMBER) & mask
        while found := slots[at]:
            if found & ~_CHUNK == tag:
                yield found & _CHUNK
            at = (at + 1) & mask

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        for entry in old:
            if entry:
                self._put(entry)

    def _put(self, entry: int) -> None:
        slots = self._slots
        mask = len(slots) - 1
        at = (entry >> _NUMBER) & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = entry
