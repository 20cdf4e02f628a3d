"""The payload: tar members written from chunks, and found again by the index (SPEC.md, sections 6 and 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ..errors import DamagedArchive, PayloadError
from .index import BeginLine, CopyLine, EndLine, Index, IndexWriter, script_bytes
from .tar import BLOCK, SIGNATURE, Locator, end_of, member, padded

if TYPE_CHECKING:
    from .entries import Entry
    from .frames import Packed

BEGIN = "meta/begin.json"
INDEX = "meta/index.jsonl.zst"
SIGNED = "meta/index.sig"


def name_of(number: int, entry: Entry) -> str:
    """A chunk's name in the tar."""
    if entry.k == "kv":
        return f"kv/{number:08}.jsonl.zst"
    return f"db/{number:08}.{f't{entry.t:04}' if entry.k == 'rows' else 'sql'}.zst"


class PayloadWriter:
    """Writes the payload: ``begin``, ``add`` for each chunk, ``finish``. ``time`` is that of every member."""

    def __init__(self, time: datetime) -> None:
        self._time = int(time.timestamp())
        self._index = IndexWriter()
        self._at = 0
        self._chunks = self._rows = self._secrets = self._sql = 0
        self._copies: dict[int, CopyLine] = {}

    @property
    def sql_bytes(self) -> int:
        """Bytes of SQL so far."""
        return self._sql + sum(map(script_bytes, self._copies.values()))

    def begin(self, content: bytes) -> bytes:
        """``meta/begin.json``."""
        self._index.add(BeginLine(k="begin", n=len(content), h=hashlib.sha256(content).hexdigest()))
        return self._member(BEGIN, content)

    def add(self, packed: Packed) -> bytes:
        """The next chunk, in the order of the dump, secrets behind all SQL."""
        entry = packed.entry
        if entry.k == "rows":
            self._count(packed)
        elif entry.k == "sql":
            self._sql += entry.raw
        self._secrets += entry.secrets
        self._index.add(entry)
        data = self._member(name_of(self._chunks, entry), packed.stored)
        self._chunks += 1
        return data

    def finish(self, sign: Callable[[bytes], bytes] | None = None) -> Iterator[bytes]:
        """The index and the end; ``sign`` makes the signature of the index's SHA-256."""
        for copy in self._copies.values():
            self._index.add(copy)
        self._index.add(
            EndLine(
                k="end",
                chunks=self._chunks,
                copies=len(self._copies),
                rows=self._rows,
                secrets=self._secrets,
                sql_bytes=self.sql_bytes,
            )
        )
        index = self._index.finish()
        digest = hashlib.sha256(index).digest()
        yield self._member(INDEX, index)
        at = self._at - padded(len(index))
        signature = sign(digest) if sign else b""
        if signature:
            yield self._member(SIGNED, signature)
        size = end_of(at, len(index), len(signature))
        yield bytes(size - self._at - BLOCK)
        yield Locator(at, len(index), digest, size, len(signature)).encode()

    def _count(self, packed: Packed) -> None:
        entry = packed.entry
        copy = self._copies.get(entry.t) or CopyLine(k="copy", t=entry.t, copy=_text(packed.copy), rows=0, bytes=0)
        size = entry.raw - entry.head - entry.tail
        rows, size = copy.rows + entry.rows, copy.bytes + size
        self._copies[entry.t] = msgspec.structs.replace(copy, rows=rows, bytes=size, h=packed.digest)
        self._rows += entry.rows

    def _member(self, name: str, content: bytes) -> bytes:
        size = len(content)
        self._at += BLOCK + padded(size)
        return b"".join((member(name, size, self._time), content, bytes(padded(size) - size)))


def _text(copy: bytes) -> str:
    try:
        return copy.decode()
    except UnicodeDecodeError:
        raise PayloadError("The dump names a table or a column in text that is not UTF-8.") from None


class Layout:
    """Where everything is in a payload: computed from the index, so that nothing overlaps and nothing is hidden.

    Raises ``DamagedArchive`` (layer ``index``) when it does not end where the locator says.
    """

    def __init__(self, index: Index, locator: Locator, time: datetime) -> None:
        self.index = index
        self.locator = locator
        self._time = int(time.timestamp())
        self.starts: list[int] = []
        at = BLOCK + padded(index.begin.n)
        for entry in index.entries:
            self.starts.append(at)
            at += BLOCK + padded(entry.n)
        if at + BLOCK != locator.index:
            raise DamagedArchive("index", "The archive's chunks do not end where its index begins.")

    def span(self, number: int) -> tuple[int, int]:
        """The bytes of a chunk's member, header and padding included."""
        start = self.starts[number]
        return start, start + BLOCK + padded(self.index.entries[number].n)

    def content(self, number: int, block: bytes) -> bytes:
        """A chunk as stored, from the bytes of its ``span``. Raises ``DamagedArchive`` (layer ``tar``)."""
        entry = self.index.entries[number]
        return take_member(block, name_of(number, entry), entry.n, self._time)

    def check_begin(self, block: bytes) -> bytes:
        """``meta/begin.json``, from the bytes before the first chunk. Raises ``DamagedArchive``."""
        content = take_member(block, BEGIN, self.index.begin.n, self._time)
        if hashlib.sha256(content).hexdigest() != self.index.begin.h:
            raise DamagedArchive("chunk", "The beginning of the archive's payload is not the one of its index.")
        return content


def take_end(block: bytes, where: Locator, time: datetime) -> tuple[bytes, bytes]:
    """The index as stored and its signature (empty when there is none), from what lies from its header to the locator.

    Neither is checked yet. Raises ``DamagedArchive`` (layer ``tar``) for anything else than these there.
    """
    seconds = int(time.timestamp())
    end = BLOCK + padded(where.size)
    index = take_member(block[:end], INDEX, where.size, seconds)
    signature = b""
    if where.signature:
        behind = end + BLOCK + padded(SIGNATURE)
        signature = take_member(block[end:behind], SIGNED, SIGNATURE, seconds)
        end = behind
    if any(block[end:]):
        raise DamagedArchive("tar", "Something stands behind the end of the archive's tar.")
    return index, signature


def take_member(block: bytes, name: str, size: int, time: int) -> bytes:
    """The content of a member that has to be exactly this one. Raises ``DamagedArchive`` (layer ``tar``)."""
    if len(block) != BLOCK + padded(size) or block[:BLOCK] != member(name, size, time) or any(block[BLOCK + size :]):
        raise DamagedArchive("tar", f"The archive's tar is not what its index says at {name}.")
    return block[BLOCK : BLOCK + size]
