"""Chunks as stored: one zstd frame each, known by its SHA-256 (SPEC.md, sections 7 and 8)."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import zstandard

from ..codecs.zstd import LEVEL, LOWEST
from ..errors import DamagedArchive
from .entries import Entry
from .index import FRAME

if TYPE_CHECKING:
    from .chunks import Chunk

#: Of the table in which the fastest level looks for repetitions, as a power of two, where zstd would take 14: it fits
#: into a processor's nearest cache. Rows take 7 % less time and up to 1 % less room so, program text 3 % more room.
_FASTEST_TABLE = 13


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk as stored, with its line of the index; ``copy`` is its COPY statement, where it has that.

    ``digest`` is as of ``Chunk``.
    """

    entry: Entry
    stored: bytes
    copy: bytes = b""
    digest: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes it occupies on an edge."""
        return len(self.stored)


class Compress:
    """Makes chunks what is stored; may be called in several threads at once."""

    name = "zstd"

    def __init__(self, level: int = LEVEL) -> None:
        self._parameters = zstandard.ZstdCompressionParameters(
            compression_level=level,
            hash_log=_FASTEST_TABLE if level == LOWEST else 0,
            write_content_size=True,
            write_checksum=False,
            write_dict_id=False,
        )
        self._local = threading.local()  # a compressor belongs to one thread

    def __call__(self, chunk: Chunk) -> Packed:
        """One frame."""
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._local.compressor = zstandard.ZstdCompressor(compression_params=self._parameters)
        stored = compressor.compress(chunk.data)
        entry = Entry(
            k=chunk.kind,
            n=len(stored),
            raw=len(chunk.data),
            h=hashlib.sha256(stored).hexdigest(),
            t=chunk.table,
            rows=chunk.count if chunk.kind == "rows" else 0,
            head=chunk.head,
            tail=chunk.tail,
            more=chunk.more,
            secrets=chunk.count if chunk.kind == "kv" else 0,
            paths=chunk.paths or msgspec.UNSET,
            blank=chunk.blank,
        )
        return Packed(entry, stored, chunk.data[: chunk.head].rstrip(b"\n"), chunk.digest)


def check(entry: Entry, stored: bytes | memoryview) -> None:
    """Compare a chunk's stored bytes with the index. Raises ``DamagedArchive`` (layer ``chunk``)."""
    if len(stored) != entry.n or hashlib.sha256(stored).hexdigest() != entry.h:
        raise DamagedArchive("chunk", "A chunk of the archive is not the one of its index.")


def decompress(entry: Entry, stored: bytes) -> bytes:
    """A checked chunk, decompressed: never more than the index says. Raises ``DamagedArchive`` (layer ``zstd``)."""
    try:
        frame = zstandard.get_frame_parameters(stored)
        if frame.content_size != entry.raw or frame.dict_id or not stored.startswith(FRAME):
            raise DamagedArchive("zstd", "A chunk of the archive has another size than its index says.")
        data = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError:
        raise DamagedArchive("zstd", "A chunk of the archive is no zstd frame.") from None
    if len(data) != entry.raw:
        raise DamagedArchive("zstd", "A chunk of the archive has another size than its index says.")
    return data


#: Largest window of a frame, as large as a chunk may be.
MAX_WINDOW = 16 * 1024 * 1024
