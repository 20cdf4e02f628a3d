"""The tar of the payload: one form of member header, and the locator behind its end (SPEC.md, section 6)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import DamagedArchive

BLOCK = 512
#: The payload's size is a multiple of this, as tar's own: it stops reading there.
RECORD = 20 * BLOCK

MAGIC = b"KLEIDIA2"
SIGNATURE = 64
#: Largest index, in bytes as stored.
MAX_INDEX = 128 * 1024 * 1024

_FIELDS = struct.Struct(">8sQQ32sQQ440x")


def padded(size: int) -> int:
    """Bytes that content of this size takes in a tar."""
    return -(-size // BLOCK) * BLOCK


def member(name: str, size: int, time: int) -> bytes:
    """The header of a regular file: ``size`` bytes, ``time`` seconds since 1970."""
    before = b"".join(
        (name.encode("ascii").ljust(100, b"\0"), b"0000600\0", b"0000000\0" * 2, b"%011o\0" % size, b"%011o\0" % time)
    )
    behind = b"".join((b"0".ljust(101, b"\0"), b"ustar\x0000", bytes(64), b"0000000\0" * 2, bytes(167)))
    checksum = sum(before) + sum(behind) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + behind


@dataclass(frozen=True, slots=True)
class Locator:
    """Where the index is in the payload, and what it has to be: bytes, and SHA-256, as stored."""

    index: int
    size: int
    digest: bytes
    payload: int
    signature: int = 0

    def encode(self) -> bytes:
        """The last block of the payload."""
        return _FIELDS.pack(MAGIC, self.index, self.size, self.digest, self.payload, self.signature)

    @classmethod
    def parse(cls, block: bytes, payload: int) -> Locator:
        """Read the last block of a payload of so many bytes. Raises ``DamagedArchive`` (layer ``index``)."""
        magic, index, size, digest, whole, signature = _FIELDS.unpack(block)
        found = cls(index, size, digest, whole, signature)
        if magic != MAGIC or found.encode() != block or whole != payload or signature not in (0, SIGNATURE):
            raise DamagedArchive("index", "The archive's last block is not what leads to its index.")
        if size > MAX_INDEX or whole % RECORD or index % BLOCK or end_of(index, size, signature) != whole:
            raise DamagedArchive("index", "The archive's last block contradicts itself.")
        return found


def end_of(index: int, size: int, signature: int) -> int:
    """Bytes of a payload whose index, of so many bytes, begins there."""
    end = index + padded(size) + (BLOCK + padded(signature) if signature else 0)
    return -(-(end + 3 * BLOCK) // RECORD) * RECORD
