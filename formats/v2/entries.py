"""The chunks of an index: a line of JSON each, and a few bytes each in memory (SPEC.md, section 8)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import overload

import msgspec

from ..errors import DamagedArchive
from .chunks import Kind  # noqa: TC001 - msgspec wants it when it runs

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, omit_defaults=True, frozen=True, forbid_unknown_fields=False):
    """A chunk: bytes as stored and decompressed, SHA-256 as stored; ``t`` is the COPY that its rows belong to.

    ``paths`` are those of its secrets, in their order, which a writer may leave out. ``blank`` says that SQL holds
    comments alone.
    """

    k: Kind
    n: int
    raw: int
    h: str
    t: int = -1
    rows: int = 0
    head: int = 0
    tail: int = 0
    more: bool = False
    secrets: int = 0
    paths: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    blank: bool = False


#: Kind, whether it goes on, has paths, is blank, then as in ``Entry``; the last but two is rows or secrets. A chunk of
#: secrets has neither ``t`` nor ``head`` and ``tail``: their place is that of the digest of its paths.
_RECORD = struct.Struct("<BII32siIII")
_KINDS: tuple[Kind, ...] = ("sql", "rows", "kv")
_MORE, _PATHS, _BLANK = 0x80, 0x40, 0x20
_DIGEST = struct.Struct("<iII")


class Entries(Sequence[Entry]):
    """Lines of chunks in 57 bytes each, since there may be millions. Of paths only a digest stays."""

    def __init__(self) -> None:
        self._records = bytearray()

    def append(self, entry: Entry) -> None:
        """The next one, which was checked."""
        kind = _KINDS.index(entry.k) | (_MORE if entry.more else 0) | (_BLANK if entry.blank else 0)
        count = entry.secrets if entry.k == "kv" else entry.rows
        digest = bytes.fromhex(entry.h)
        t, head, tail = entry.t, entry.head, entry.tail
        if entry.paths is not msgspec.UNSET:
            kind |= _PATHS
            t, head, tail = _DIGEST.unpack(_digest_of(entry.paths))
        self._records += _RECORD.pack(kind, entry.n, entry.raw, digest, t, count, head, tail)

    def check_paths(self, number: int, paths: Sequence[str]) -> None:
        """Compare a chunk's paths with those listed, if they are. Raises ``DamagedArchive`` (layer ``payload``)."""
        kind, *_, t, _, head, tail = _RECORD.unpack_from(self._records, number * _RECORD.size)
        if kind & _PATHS and _DIGEST.pack(t, head, tail) != _digest_of(paths):
            raise DamagedArchive("payload", "A chunk of the archive holds other secrets than its index says.")

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    @overload
    def __getitem__(self, number: int) -> Entry: ...
    @overload
    def __getitem__(self, number: slice) -> list[Entry]: ...
    def __getitem__(self, number: int | slice) -> Entry | list[Entry]:
        """One, or some."""
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        at = number + len(self) if number < 0 else number
        if not 0 <= at < len(self):
            raise IndexError(number)
        kind, n, raw, h, t, count, head, tail = _RECORD.unpack_from(self._records, at * _RECORD.size)
        if kind & _PATHS:
            t, head, tail = -1, 0, 0
        name = _KINDS[kind & ~(_MORE | _PATHS | _BLANK)]
        rows, secrets = (0, count) if name == "kv" else (count, 0)
        more, blank = bool(kind & _MORE), bool(kind & _BLANK)
        return Entry(name, n, raw, h.hex(), t, rows, head, tail, more, secrets, blank=blank)


def _digest_of(paths: Sequence[str]) -> bytes:
    return blake2b(_encode(paths), digest_size=_DIGEST.size).digest()
