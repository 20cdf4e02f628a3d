"""The gzip decoder beside the standard library's zlib, as ``recover.py`` of format V1 uses it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping

from isal import isal_zlib

from kleidia_backup.formats.codecs.gzip import GzipDecoder, _header_end
from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v1 import recover

from ..harness import Finding, Harness, expect_same, joined, parts, pieces

#: Bytes of output that are looked at: more is a bomb, which both give in pieces.
ENOUGH = 2 * 1024 * 1024
#: From so many on they are not compared: one may stop in front of what is wrong, and the other lose a piece by it.
MUCH = 512 * 1024
LIMIT = 64 * 1024


def one(data: bytes) -> None:
    """``sizes ␞ stream``: the same bytes, or refused by both, however the stream is cut.

    zlib refuses some sets of codes that no compressor writes and isal takes. What ours makes of them has its checksums.
    """
    sizes, stream = parts(data, 2)
    (ours, mine), (theirs, other) = _ours(pieces(stream, sizes)), _theirs(iter([stream] if stream else []))
    if max(mine, other) >= MUCH:
        return
    if ours is not None and theirs is None:
        theirs = _by_checksums(stream)
    expect_same(ours, theirs, "a gzip stream")


def _by_checksums(stream: bytes) -> bytes | None:
    """The members as isal inflates them alone, with the checksums and sizes that stand behind them, or None.

    None too where zlib refuses the body of no member: then it was something else that it refused.
    """
    out, refused = bytearray(), False
    while stream:
        body = stream[_header_end(stream, 0) :]
        refused = refused or _zlib_refuses(body)
        member = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        some = member.decompress(body)
        end = zlib.crc32(some).to_bytes(4, "little") + len(some).to_bytes(4, "little")
        if not member.unused_data.startswith(end):
            return None
        out += some
        stream = member.unused_data[len(end) :]
    return bytes(out) if refused else None


def _zlib_refuses(body: bytes) -> bool:
    try:
        zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, ENOUGH)
    except zlib.error:
        return True
    return False


def _ours(data: Iterable[bytes]) -> tuple[bytes | None, int]:
    """What it gives, None where it is refused; and how many bytes came before that."""
    decoder, out = GzipDecoder(LIMIT), bytearray()
    try:
        for piece in data:
            for some in decoder.feed(piece):
                if len(some) > LIMIT:
                    raise Finding("more at once than the limit")
                out += some
                if len(out) >= ENOUGH:
                    return bytes(out), len(out)
        for some in decoder.finish():
            out += some
    except DamagedArchive as exc:
        expect_same(exc.layer, "gzip", "a layer")
        return None, len(out)
    return bytes(out), len(out)


def _theirs(data: Iterator[bytes]) -> tuple[bytes | None, int]:
    out = bytearray()
    try:
        for some in recover.gunzip(data):
            out += some
            if len(out) >= ENOUGH:
                break
    except SystemExit:
        return None, len(out)
    return bytes(out), len(out)


def seeds() -> Mapping[str, bytes]:
    """Members with and without the optional fields, several of them, a bomb."""
    plain = gzip.compress(b'{"database_sql":"SELECT 1;"}', 6, mtime=0)
    fields = b"\x1f\x8b\x08\x1c\0\0\0\0\0\xff" + b"\x02\0ab" + b"name\0" + b"comment\0" + plain[10:]
    return {
        "plain": joined(b"", plain),
        "cut": joined(b"\1", plain),
        "fields": joined(b"\5", fields),
        "two": joined(b"\3\7", plain + gzip.compress(b"", 9, mtime=0) + plain),
        "stored": joined(b"", gzip.compress(bytes(range(200)), 0, mtime=0)),
        "bomb": joined(b"", gzip.compress(bytes(300_000), 9, mtime=0)),
        "early": joined(b"\2", plain[:-3]),
    }


HARNESSES = {"gzip": Harness(one, seeds, (b"\x1f\x8b\x08", b"\x1f\x8b\x08\0\0\0\0\0\0\xff"))}
