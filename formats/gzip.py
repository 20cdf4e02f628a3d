"""gzip over a stream: one member written, any number read, output in bounded pieces (SPEC.md, section 5)."""

from __future__ import annotations

from typing import cast

from isal import isal_zlib

from .errors import DamagedArchive

#: gzip framing with a 32 KiB window, in zlib's terms.
_GZIP = 31
#: A header without optional fields, which stands for every other.
_PLAIN_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
#: Most bytes held while a header is incomplete.
_MAX_HEADER = 1024 * 1024
_GzipError = cast("type[Exception]", isal_zlib.error)


class GzipEncoder:
    """Compresses a stream into one gzip member at isal's level 1."""

    def __init__(self) -> None:
        self._compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)

    def update(self, data: bytes) -> bytes:
        """Compress some bytes; returns what is ready, perhaps nothing."""
        return self._compressor.compress(data)

    def finish(self) -> bytes:
        """The rest of the member."""
        return self._compressor.flush()


class GzipDecoder:
    """Decompresses a stream of gzip members, ``limit`` bytes a call at most, however strong the compression."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._member: isal_zlib.Decompress | None = None
        self._members = 0
        self._header = b""
        self._input = b""
        self._full = False

    @property
    def pending(self) -> bool:
        """Whether ``update(b"")`` may return more."""
        return bool(self._input) or self._full

    def update(self, data: bytes) -> bytes:
        """Decompress some bytes. Call again with nothing while ``pending``. Raises ``DamagedArchive``."""
        data = self._header + self._input + data
        self._header = self._input = b""
        if self._member is None:
            size = _header_size(data)
            if size is None:
                if len(data) > _MAX_HEADER:
                    raise _not_gzip()
                self._header = data
                return b""
            self._member = isal_zlib.decompressobj(_GZIP)
            data = _PLAIN_HEADER + data[size:]
        try:
            out = self._member.decompress(data, self._limit)
        except _GzipError:
            raise _not_gzip() from None
        if self._member.eof:
            self._input = self._member.unused_data
            self._full = False
            self._member = None
            self._members += 1
        else:
            self._input = self._member.unconsumed_tail
            self._full = len(out) == self._limit
        return out

    def finish(self) -> None:
        """Check that the last member is complete. Raises ``DamagedArchive``."""
        if self._member is not None or self._header or not self._members:
            raise DamagedArchive("gzip", "The archive's gzip stream ends early.")


def _header_size(data: bytes) -> int | None:
    """Length of the header that a member begins with (RFC 1952, section 2.3); None when it is not complete yet.

    isal cannot do this: it refuses some optional fields when a piece ends inside them.
    """
    if not data.startswith(_PLAIN_HEADER[: min(3, len(data))]):
        raise _not_gzip()
    if len(data) < len(_PLAIN_HEADER):
        return None
    flags = data[3]
    if flags & 0xE0:
        raise _not_gzip()
    end = 10
    if flags & 4:  # an extra field, behind its length
        end = 12 + int.from_bytes(data[10:12], "little")
    for field in (8, 16):  # a name, a comment
        if flags & field:
            end = data.find(b"\0", end) + 1
            if not end:
                return None
    if flags & 2:  # a CRC
        end += 2
    return end if end <= len(data) else None


def _not_gzip() -> DamagedArchive:
    return DamagedArchive("gzip", "The archive's payload is not gzip.")
