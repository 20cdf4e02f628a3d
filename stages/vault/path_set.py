"""Which paths an archive has, remembered in a few bytes each.

A set of a million strings takes 150 MB. Here a path is 12 bytes of its BLAKE2b digest, appended to one of 4096 flat
buckets: 16 MB for a million, no sorting, and a look-up is one search through 3 KB. The chance
of a false positive in a set of a million is 1 in 10^22; it would make a prune leave a secret alone.
"""

from __future__ import annotations

from hashlib import blake2b

#: Bytes kept of a digest.
_WIDTH = 12
_BUCKETS = 4096


class PathSet:
    """Paths can be added and asked for. ``len`` counts what was added, twice what was added twice."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._added = 0

    def __len__(self) -> int:
        return self._added

    def add(self, path: str) -> None:
        """Remember a path."""
        digest, bucket = self._find(path)
        bucket += digest
        self._added += 1

    def __contains__(self, path: str) -> bool:
        digest, bucket = self._find(path)
        at = bucket.find(digest)
        while at >= 0 and at % _WIDTH:  # found across the border of two
            at = bucket.find(digest, at + 1)
        return at >= 0

    def _find(self, path: str) -> tuple[bytes, bytearray]:
        digest = blake2b(path.encode(), digest_size=_WIDTH).digest()
        return digest, self._buckets[int.from_bytes(digest[:2]) % _BUCKETS]
