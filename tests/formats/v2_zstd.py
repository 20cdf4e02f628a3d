"""zstd frames (RFC 8878) written by hand: the same bytes everywhere, and those that no library writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One byte, many times."""

    byte: bytes
    count: int


Part = bytes | Run


def expand(*parts: Part) -> bytes:
    """The bytes that some parts stand for."""
    return b"".join(part.byte * part.count if isinstance(part, Run) else part for part in parts)


def zstd_frame(*parts: Part, size: int | None = -1) -> bytes:
    """A frame of raw and RLE blocks without a checksum; ``size`` replaces the content size, ``None`` leaves it out."""
    if size == -1:
        size = sum(part.count if isinstance(part, Run) else len(part) for part in parts)
    blocks = [block for part in parts for block in _blocks(part)] or [(0, 0, b"")]
    last = len(blocks) - 1
    body = b"".join(
        (int(at == last) | kind << 1 | count << 3).to_bytes(3, "little") + data
        for at, (kind, count, data) in enumerate(blocks)
    )
    if size is None:
        return b"\x28\xb5\x2f\xfd\x00\x68" + body  # window of 8 MiB
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + body  # one segment, eight bytes of size


def _blocks(part: Part) -> Iterable[tuple[int, int, bytes]]:
    count = part.count if isinstance(part, Run) else len(part)
    for at in range(0, count, 131_072):
        length = min(131_072, count - at)
        yield (1, length, part.byte) if isinstance(part, Run) else (0, length, part[at : at + length])
