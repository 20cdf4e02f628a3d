"""The index of an archive: every chunk and every COPY statement, as lines of JSON (SPEC.md, section 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import zstandard

from ..errors import DamagedArchive, PayloadError
from ..json.strict import strict_object
from ..sql.cut import SqlCutter, bare
from ..sql.pieces import Rows, Sql, Unfit
from .chunks import MAX_RAW, Kind
from .entries import Entries, Entry
from .tar import MAX_INDEX

#: The line that ends the rows of a COPY.
END_OF_ROWS = b"\\.\n"
#: Longest line, in bytes, its end included.
MAX_LINE = 1024 * 1024
#: Largest ``meta/begin.json``.
MAX_BEGIN = 1024 * 1024
#: Most chunks, and most COPY statements.
MAX_CHUNKS = 2 * 1024 * 1024
MAX_COPIES = 256 * 1024
#: Most secrets of a chunk.
MAX_SECRETS = 64 * 1024
#: Most bytes of the index decompressed, and of the lines of its COPY statements.
MAX_TEXT = 1024 * 1024 * 1024
MAX_COPY_TEXT = 64 * 1024 * 1024
#: Bytes of the index, as it is and as stored, from which on no more paths are written: both ends hold what is stored.
PATHS_TEXT, PATHS_STORED = 256 * 1024 * 1024, 16 * 1024 * 1024
#: Largest chunk as stored, in bytes: zstd adds no more to one that cannot be compressed.
MAX_STORED = MAX_RAW + MAX_RAW // 256

#: Most frames of zstd, and what each begins with: none is to be passed over.
MAX_FRAMES = 1024
FRAME = zstandard.FRAME_HEADER
#: Bytes of an index that are decompressed at once: 64 blocks at most, of 128 KiB each.
_STEP = 256


class _RowsLine(msgspec.Struct, omit_defaults=True, frozen=True):
    """A chunk of rows as it is written: the page wants all of these, zeros too."""

    k: Kind
    n: int
    raw: int
    h: str
    t: int
    rows: int
    head: int
    tail: int
    more: bool = False


class CopyLine(msgspec.Struct, omit_defaults=True, frozen=True):
    """A COPY statement, and what its chunks hold of it together."""

    k: Literal["copy"]
    t: int
    copy: str
    rows: int
    bytes: int
    h: str = ""


class BeginLine(msgspec.Struct, frozen=True):
    """``meta/begin.json``."""

    k: Literal["begin"]
    n: int
    h: str


class EndLine(msgspec.Struct, frozen=True):
    """The totals."""

    k: Literal["end"]
    chunks: int
    copies: int
    rows: int
    secrets: int
    sql_bytes: int


Line: TypeAlias = Entry | CopyLine | BeginLine | EndLine
_LINES: dict[str, Any] = {
    "begin": msgspec.json.Decoder(BeginLine).decode,
    "copy": msgspec.json.Decoder(CopyLine).decode,
    "end": msgspec.json.Decoder(EndLine).decode,
}
_entry = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode


class _Kind(msgspec.Struct):
    k: str


_kind = msgspec.json.Decoder(_Kind).decode


class IndexWriter:
    """Gathers lines, compressed as they come: about 60 bytes a chunk stay in memory, and 16 MiB of paths at most."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=3).compressobj()
        self._parts: list[bytes] = []
        self._stored = self._text = self._copy_text = self._chunks = self._copies = 0

    def add(self, line: Line) -> None:
        """The next line. Raises ``PayloadError`` for an index that no reader takes."""
        written: Line | _RowsLine = line
        if isinstance(line, Entry) and line.k == "rows":
            written = _RowsLine(line.k, line.n, line.raw, line.h, line.t, line.rows, line.head, line.tail, line.more)
        raw = _encode(written)
        if isinstance(line, Entry) and line.paths is not msgspec.UNSET and not self._has_room(raw):
            raw = _encode(msgspec.structs.replace(line, paths=msgspec.UNSET))
        self._text += len(raw) + 1
        self._chunks += isinstance(line, Entry)
        if isinstance(line, CopyLine):
            self._copies += 1
            self._copy_text += len(raw)
        if len(raw) >= MAX_LINE:
            raise PayloadError("The dump has a COPY statement that is too long for an archive of format V2.")
        if self._copies > MAX_COPIES or self._copy_text > MAX_COPY_TEXT:
            raise PayloadError("The dump has more tables than an archive of format V2 can hold.")
        if self._chunks > MAX_CHUNKS or self._text > MAX_TEXT or self._stored > MAX_INDEX - 2 * MAX_LINE:
            raise PayloadError("The backup is larger than archive format V2 can list.")
        if data := self._compressor.compress(raw + b"\n"):
            self._parts.append(data)
            self._stored += len(data)

    def _has_room(self, raw: bytes) -> bool:
        """Whether a line with paths may be written."""
        return len(raw) < MAX_LINE and self._text + len(raw) < PATHS_TEXT and self._stored < PATHS_STORED

    def finish(self) -> bytes:
        """The index as stored."""
        return b"".join((*self._parts, self._compressor.flush()))


class _Sums:
    """What entries come to, one after the other. ``add`` raises ``DamagedArchive`` (layer ``index``)."""

    def __init__(self, see: Callable[[int, Entry], None] | None) -> None:
        self._see = see
        self.entries = Entries()
        self.rows: list[tuple[int, int, int]] = []  # rows, their bytes, and the bytes of the head, of each COPY
        self._secrets = self._sql = 0
        self._before: Entry | None = None

    def add(self, entry: Entry) -> None:
        before = self._before
        _check_entry(entry, before)
        if len(self.entries) == MAX_CHUNKS:
            raise _damaged("too many chunks")
        self._secrets += entry.secrets
        if entry.k == "sql":
            self._sql += entry.raw
        if entry.k == "rows":
            if entry.t == len(self.rows) and entry.t < MAX_COPIES:
                self.rows.append((0, 0, entry.head))
            elif entry.t >= len(self.rows):
                raise _damaged("COPY statements that are not numbered")
            count, size, head = self.rows[entry.t]
            if entry.head not in {0, head}:
                raise _damaged("rows that are no COPY")
            self.rows[entry.t] = count + entry.rows, size + entry.raw - entry.head - entry.tail, head
        self.entries.append(entry)
        self._before = entry
        if self._see:
            self._see(len(self.entries) - 1, entry)

    def end(self, copies: Sequence[CopyLine]) -> EndLine:
        """The totals, with the COPY statements of the rows."""
        if self._before is not None and self._before.more:
            raise _damaged("an end inside a chunk")
        return EndLine(
            k="end",
            chunks=len(self.entries),
            copies=len(self.rows),
            rows=sum(count for count, _, _ in self.rows),
            secrets=self._secrets,
            sql_bytes=self._sql + sum(map(script_bytes, copies)),
        )


@dataclass(frozen=True, slots=True)
class Index:
    """An index that does not contradict itself. ``entries`` are the chunks in the order of the payload."""

    begin: BeginLine
    entries: Entries
    copies: list[CopyLine]
    end: EndLine

    @classmethod
    def parse(cls, stored: bytes, digest: bytes, see: Callable[[int, Entry], None] | None = None) -> Index:
        """Read it as stored; ``digest`` is the locator's. Raises ``DamagedArchive`` (layer ``index``).

        ``see`` is shown the number and the line of each chunk while it is at hand, the only time that it has paths.
        """
        check_digest(stored, digest)
        begin: BeginLine | None = None
        end: EndLine | None = None
        sums = _Sums(see)
        copies: list[CopyLine] = []
        copy_text = 0
        for raw in _lines(stored):
            line = _decode(raw)
            if end is not None or (begin is None) != isinstance(line, BeginLine):
                raise _damaged("lines in another order")
            if isinstance(line, BeginLine):
                begin = line
            elif isinstance(line, EndLine):
                end = line
            elif isinstance(line, CopyLine):
                copy_text += len(raw)
                _check_copy(line, copies, sums)
                if copy_text > MAX_COPY_TEXT:
                    raise _damaged("COPY statements that are too long")
                copies.append(line)
            elif copies:
                raise _damaged("lines in another order")
            else:
                sums.add(line)
        if begin is None or end is None:
            raise _damaged("no end")
        if not 0 < begin.n <= MAX_BEGIN or not _is_digest(begin.h):
            raise _damaged("a beginning of another size")
        if len(copies) != len(sums.rows) or sums.end(copies) != end:
            raise _damaged("other totals")
        return cls(begin, sums.entries, copies, end)

    def own(self, number: int) -> tuple[int, int]:
        """From where to where a chunk is the dump's own text: without a head or tail that only we wrote."""
        entry = self.entries[number]
        if entry.k != "rows":
            return 0, entry.raw
        before = self.entries[number - 1] if number else None
        behind = self.entries[number + 1] if number + 1 < len(self.entries) else None
        same_before = before is not None and before.k == "rows" and before.t == entry.t
        same_behind = behind is not None and behind.k == "rows" and behind.t == entry.t
        return entry.head if same_before else 0, entry.raw - (entry.tail if same_behind else 0)


def check_digest(stored: bytes, digest: bytes) -> None:
    """Refuse an index, as stored, that is not the locator's. Raises ``DamagedArchive`` (layer ``index``)."""
    if hashlib.sha256(stored).digest() != digest:
        raise _damaged("other bytes than its locator says")


def _decode(raw: bytes) -> Line:
    """One line, by the rules of section 3: what is not written as we write it is looked at more closely."""
    try:
        line: Line = _LINES.get(_kind(raw).k, _entry)(raw)
        if _encode(line) != raw:
            said = strict_object(raw)
            # What is absent may not be said like this.
            if any(said.get(name, True) is not True for name in ("more", "blank")) or said.get("h") == "":
                raise _damaged("a line that says more or blank, and no, or a hash that is none")
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _damaged("a line that cannot be read") from None
    return line


def _check_copy(line: CopyLine, copies: Sequence[CopyLine], sums: _Sums) -> None:
    if line.t != len(copies) or line.t >= len(sums.rows):
        raise _damaged("COPY statements in another order")
    if (line.rows, line.bytes, len(line.copy.encode()) + 1) != sums.rows[line.t]:
        raise _damaged("a COPY statement with other totals")
    cutter = SqlCutter()
    try:
        # Behind the statement its line may go on, with blanks.
        statement, *behind = cutter.feed(line.copy.encode() + b"\n")
        whole = isinstance(statement, Sql) and cutter.copying and bare(statement.data) == statement.data
        if not whole or not all(isinstance(piece, Rows) and not piece.data.strip() for piece in behind):
            raise ValueError("no COPY")
    except (ValueError, Unfit):
        raise _damaged("a COPY statement that is none") from None
    if line.h and not _is_digest(line.h):
        raise _damaged("a COPY statement that is none")


def script_bytes(copy: CopyLine) -> int:
    """Bytes of a COPY statement with its rows and the line that ends them."""
    return len(copy.copy.encode()) + 1 + copy.bytes + len(END_OF_ROWS)


def _check_entry(entry: Entry, before: Entry | None) -> None:
    if not (0 < entry.n <= MAX_STORED and 0 < entry.raw <= MAX_RAW and _is_digest(entry.h)):
        raise _damaged("a chunk of impossible size")
    if before is not None:
        if before.k == "kv" and entry.k != "kv":
            raise _damaged("SQL behind secrets")
        if before.more and (entry.k != before.k or entry.t != before.t or entry.blank):
            raise _damaged("a chunk that does not go on")
    if entry.k == "rows":
        _check_rows(entry, before)
    elif entry.t != -1 or entry.rows or entry.head or entry.tail:
        raise _damaged("rows where there are none")
    if entry.blank and (entry.k != "sql" or entry.more):
        raise _damaged("a blank chunk that is none")
    is_kv = entry.k == "kv"
    if (entry.secrets != 0) != is_kv or not 0 <= entry.secrets <= MAX_SECRETS or (is_kv and entry.more):
        raise _damaged("secrets where there are none")
    if entry.paths is not msgspec.UNSET and not (is_kv and len(entry.paths) == entry.secrets):
        raise _damaged("another number of paths than of secrets")


def _check_rows(entry: Entry, before: Entry | None) -> None:
    inside = before is not None and before.more
    if (
        entry.t < 0
        or not 0 <= entry.rows <= entry.raw
        or (entry.head > 0) == inside
        or entry.tail != (0 if entry.more else len(END_OF_ROWS))
        or entry.head < 0
        or entry.head + entry.tail > entry.raw
    ):
        raise _damaged("rows that are no COPY")


def _lines(stored: bytes) -> Iterator[bytes]:
    """The lines of an index as stored. What is decompressed at once is bounded, and so is the whole."""
    total, rest = 0, bytearray()
    for data in _decompressed(stored):
        total += len(data)
        rest += data
        lines: list[bytes] = []
        if b"\n" in data:
            *lines, last = bytes(rest).split(b"\n")
            rest[:] = last
        if total > MAX_TEXT or max(map(len, (*lines, rest))) >= MAX_LINE:
            raise _damaged("too much, or too long a line")
        yield from lines
    if rest:
        raise _damaged("another end than that of its last line")


def _decompressed(stored: bytes) -> Iterator[bytes]:
    """Whole frames, and nothing between and behind them."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
    view, at = memoryview(stored), 0
    try:
        for _ in range(MAX_FRAMES):
            if view[at : at + len(FRAME)] != FRAME:
                break
            frame = decompressor.decompressobj(write_size=32 * 1024)
            while not frame.eof and at < len(view):
                yield frame.decompress(view[at : at + _STEP])
                at = min(at + _STEP, len(view)) - len(frame.unused_data)
            if not frame.eof:
                break
    except zstandard.ZstdError:
        raise _damaged("no zstd") from None
    if at != len(view) or not at or not frame.eof:
        raise _damaged("no whole frames of zstd")


def _is_digest(text: str) -> bool:
    return len(text) == 64 and not text.strip("0123456789abcdef")


def _damaged(what: str) -> DamagedArchive:
    return DamagedArchive("index", f"The archive's index holds {what}.")
