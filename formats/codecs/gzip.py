"""gzip over a stream: one member written, any number read, output in bounded pieces (SPEC.md, section 5)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import cast

from isal import isal_zlib

from ..errors import DamagedArchive

#: Most bytes that the decoder gives at once.
LIMIT = 1024 * 1024
#: gzip framing with a 32 KiB window, in zlib's terms.
_GZIP = 31
#: A header without optional fields, which stands for every other.
_PLAIN_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
#: Bytes that a member is given at first.
_FIRST = 256
#: Most bytes held while a header is incomplete.
_MAX_HEADER = 1024 * 1024
_GzipError = cast("type[Exception]", isal_zlib.error)


class GzipEncoder:
    """Compresses a stream into one gzip member at isal's level 1."""

    name = "gzip"

    def __init__(self) -> None:
        self._compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Compress some bytes; gives what is ready, perhaps nothing."""
        return (self._compressor.compress(data),)

    def finish(self) -> Iterable[bytes]:
        """The rest of the member."""
        return (self._compressor.flush(),)


class GzipDecoder:
    """Decompresses a stream of gzip members, ``limit`` bytes at a time at most, however strong the compression.

    A member is given as much as twice what it has taken already: what is behind its end is given back, and copying all
    of a chunk back for each of very many small members would take minutes.
    """

    name = "gunzip"

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        #: Bytes: what came in, what is left of what came before, and what one member is given.
        self.working_set = 3 * LIMIT
        self._member: isal_zlib.Decompress | None = None
        self._members = 0
        self._input = b""
        self._at = 0
        self._window = _FIRST
        self._waiting = False  # the header is not complete
        self._full = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress. Raises ``DamagedArchive`` (layer ``gzip``)."""
        while True:
            yield self._update(data)  # perhaps nothing: there may be any number of empty members
            if not ((self._at < len(self._input) and not self._waiting) or self._full):
                return
            data = b""

    def _update(self, data: bytes) -> bytes:
        if data:
            self._input = self._input[self._at :] + data
            self._at, self._waiting = 0, False
        if self._member is None and not self._begin():
            return b""
        parts: list[bytes] = []
        room = self._limit
        while self._member is not None and room:
            out = self._step(room)
            parts.append(out)
            room -= len(out)
            self._full = room == 0 and self._member is not None
            if self._at == len(self._input):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _step(self, room: int) -> bytes:
        """Give the member some more; at most ``room`` bytes of what it holds."""
        assert self._member is not None
        piece = self._input[self._at : self._at + self._window]
        try:
            out = self._member.decompress(piece, room)
        except _GzipError:
            raise _not_gzip() from None
        if self._member.eof:
            self._at += len(piece) - len(self._member.unused_data)
            self._member = None
            self._members += 1
        else:
            self._at += len(piece) - len(self._member.unconsumed_tail)
            self._window *= 2
        return out

    def finish(self) -> Iterable[bytes]:
        """Nothing. Raises ``DamagedArchive`` unless a member ended here."""
        if self._member is not None or self._waiting or not self._members:
            raise DamagedArchive("gzip", "The archive's gzip stream ends early.")
        return ()

    def _begin(self) -> bool:
        """Begin the next member, if its header is here."""
        if self._at == len(self._input):
            return False
        end = _header_end(self._input, self._at)
        if end is None:
            if len(self._input) - self._at > _MAX_HEADER:
                raise _not_gzip()
            self._waiting = True
            return False
        self._member, self._at, self._window = isal_zlib.decompressobj(_GZIP), end, _FIRST
        self._member.decompress(_PLAIN_HEADER)
        return True


def _header_end(data: bytes, at: int) -> int | None:
    """Where the header that begins there ends (RFC 1952, section 2.3); None when it is not complete yet.

    isal cannot do this: it refuses some optional fields when a piece ends inside them.
    """
    if not data.startswith(_PLAIN_HEADER[: min(3, len(data) - at)], at):
        raise _not_gzip()
    if len(data) - at < len(_PLAIN_HEADER):
        return None
    flags = data[at + 3]
    if flags & 0xE0:
        raise _not_gzip()
    end = at + 10
    if flags & 4:  # an extra field, behind its length
        end += 2 + int.from_bytes(data[at + 10 : at + 12], "little")
    for field in (8, 16):  # a name, a comment
        if flags & field:
            end = data.find(b"\0", end) + 1
            if not end:
                return None
    if flags & 2:  # a CRC over the header before it
        if end + 2 <= len(data) and int.from_bytes(data[end : end + 2], "little") != zlib.crc32(data[at:end]) & 0xFFFF:
            raise _not_gzip()
        end += 2
    return end if end <= len(data) else None


def _not_gzip() -> DamagedArchive:
    return DamagedArchive("gzip", "The archive's payload is not gzip.")
