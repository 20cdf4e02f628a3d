"""The second reading of an archive must be the first one again, before any of it is acted on.

The first reading was authenticated to its last byte; the second can be only when it ended, and by then PostgreSQL has
executed it. A store that answers with other bytes the second time (a bug, or an attacker who may write there) would so
reach the database. Therefore the first reading leaves a digest of every block, and the second holds each block back
until its digest fits.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...pipeline.engine import MAX_CHUNK
from ..errors import ObjectChanged

#: Bytes under one digest.
BLOCK = MAX_CHUNK
#: Bytes of a digest: 64 GiB of ciphertext leave 1 MiB of them.
DIGEST = 16


class Fingerprint:
    """The digests of every block of a ciphertext, in order.

    A digest is a GMAC under a key that only this object ever has, its number as the nonce: many times as fast as a
    hash, and without the key no other block can be made that fits.
    """

    def __init__(self) -> None:
        self._mac = AESGCM(AESGCM.generate_key(256))
        self._digests = bytearray()

    def add(self, block: bytes | bytearray) -> None:
        """Remember the next block."""
        self._digests += self._digest(len(self), block)

    def fits(self, number: int, block: bytes | bytearray) -> bool:
        """Whether this is the block of that number (from 0)."""
        return self._digests[number * DIGEST : (number + 1) * DIGEST] == self._digest(number, block)

    def _digest(self, number: int, block: bytes | bytearray) -> bytes:
        return self._mac.encrypt(number.to_bytes(12, "big"), b"", block)

    def __len__(self) -> int:
        return len(self._digests) // DIGEST


class _Blocks:
    """Passes bytes on in blocks of ``BLOCK`` bytes (the last is shorter), each after ``look`` saw it."""

    #: Bytes: the block that is being filled, and its copy.
    working_set = 2 * BLOCK

    def __init__(self, marks: Fingerprint) -> None:
        self._marks = marks
        self._block = bytearray()
        self._count = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The blocks that end in these bytes."""
        if len(data) == BLOCK and not self._block:
            yield self._seen(data)
            return
        rest = memoryview(data)
        while len(self._block) + len(rest) >= BLOCK:
            room = BLOCK - len(self._block)
            self._block += rest[:room]
            rest = rest[room:]
            yield self._seen(bytes(self._block))
            self._block.clear()
        self._block += rest

    def finish(self) -> Iterator[bytes]:
        """The last block."""
        if self._block:
            yield self._seen(bytes(self._block))

    def _seen(self, block: bytes) -> bytes:
        self.look(self._count, block)
        self._count += 1
        return block

    def look(self, number: int, block: bytes) -> None:
        """See a block before it is passed on."""
        raise NotImplementedError


class Remember(_Blocks):
    """The first reading: leaves the digests."""

    name = "remember"

    def look(self, number: int, block: bytes) -> None:  # noqa: ARG002 - blocks come in order
        """Remember it."""
        self._marks.add(block)


class Recheck(_Blocks):
    """Another reading: passes on nothing but what the first one saw. Raises ``ObjectChanged`` for anything else."""

    name = "recheck"

    def finish(self) -> Iterator[bytes]:
        """The last block. Raises ``ObjectChanged`` when one is missing."""
        yield from super().finish()
        if self._count != len(self._marks):
            raise _changed()

    def look(self, number: int, block: bytes) -> None:
        """Compare it. Raises ``ObjectChanged``."""
        if not self._marks.fits(number, block):
            raise _changed()


def _changed() -> ObjectChanged:
    return ObjectChanged(
        "The store gave other bytes for this archive than it did a moment ago.",
        hint="Nothing of them was used. Find out who writes to this place, then start again.",
    )
