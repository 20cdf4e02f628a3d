"""gzip over a stream: one member written, any number read, output in bounded pieces (SPEC.md, section 5)."""

from __future__ import annotations

from typing import cast

from isal import isal_zlib

from .errors import DamagedArchive

#: gzip framing with a 32 KiB window, in zlib's terms.
_GZIP = 31
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
        self._decompressor = isal_zlib.decompressobj(_GZIP)
        self._input = b""
        self._started = False
        self._full = False

    @property
    def pending(self) -> bool:
        """Whether ``update(b"")`` may return more."""
        return bool(self._input) or self._full

    def update(self, data: bytes) -> bytes:
        """Decompress some bytes. Call again with nothing while ``pending``. Raises ``DamagedArchive``."""
        data = self._input + data
        if self._decompressor.eof:
            if not data:
                return b""
            self._decompressor = isal_zlib.decompressobj(_GZIP)
            self._started = False
        self._started = self._started or bool(data)
        try:
            out = self._decompressor.decompress(data, self._limit)
        except _GzipError:
            raise DamagedArchive("gzip", "The archive's payload is not gzip.") from None
        self._full = len(out) == self._limit and not self._decompressor.eof
        self._input = self._decompressor.unused_data if self._decompressor.eof else self._decompressor.unconsumed_tail
        return out

    def finish(self) -> None:
        """Check that the last member is complete. Raises ``DamagedArchive``."""
        if not self._decompressor.eof:
            raise DamagedArchive("gzip", "The archive's gzip stream ends early.")
