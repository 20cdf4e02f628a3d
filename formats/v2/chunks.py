"""What the payload is cut into: SQL at the ends of statements and of rows (SPEC.md, section 7)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import DamagedArchive, PayloadError
from ..sql.cut import SqlCutter, bare
from ..sql.grammar import LARGE_OBJECT, SETVAL
from ..sql.guard import Guard
from ..sql.pieces import Piece, Rows, Sql, Unfit

Kind: TypeAlias = Literal["sql", "rows", "kv"]

#: Most bytes of a chunk, decompressed: a reader refuses more.
MAX_RAW = 16 * 1024 * 1024
#: Bytes at which SQL and rows end a chunk; they grow with the script, so that the index of a large one stays small.
SQL = 256 * 1024
ROWS = 1024 * 1024
GROWN = 3 * 1024 * 1024
#: How much of the script so far a chunk has at least, as a power of two.
_SHARE = 15
#: Bytes at which a statement or a row that is longer is cut.
LONG = 4 * 1024 * 1024

_END = b"\\.\n"
#: What pg_dump writes around large objects.
_LARGE_OBJECTS = (b"BEGIN;", b"COMMIT;")
_DATA = re.compile(rb"(?:" + SETVAL.pattern + rb"|" + LARGE_OBJECT.pattern + rb")", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, decompressed. ``table`` numbers the COPY that its rows belong to.

    ``head`` and ``tail`` are the bytes of the COPY statement and of the line that ends its rows; ``more`` says that the
    next chunk goes on inside a statement or a row. ``count`` is rows or secrets, ``paths`` those of the secrets.
    ``post_data`` says that the script has rows, and all of them stand before this chunk; ``blank`` that it holds
    comments alone. The last chunk of a COPY has the ``digest`` of all its rows: SHA-256, in hex.
    """

    kind: Kind
    data: bytes
    count: int = 0
    table: int = -1
    head: int = 0
    tail: int = 0
    more: bool = False
    post_data: bool = False
    paths: tuple[str, ...] = ()
    digest: str = ""
    blank: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes it occupies on an edge."""
        return len(self.data)


class SqlChunks:
    """Cuts pg_dump's script: ``feed``, then ``finish``. Raises ``PayloadError`` for what is no script of pg_dump.

    A subclass may look at the pieces, and at how the script ends, and raise other errors.
    """

    def __init__(self) -> None:
        self._cutter = SqlCutter()
        self._guard = Guard()
        self._total = 0  # bytes of the script
        self._text = bytearray()  # whole statements
        self._statement = bytearray()  # one that is not whole yet
        self._inside = False  # of a statement that was longer than a chunk
        self._table = -1
        self._post_data = False
        self._head = b""
        self._rows: list[bytes] = []
        self._size = 0
        self._count = 0
        self._begun = False  # whether the rows' chunk has its head, or needs none
        self._digest = hashlib.sha256()  # of the rows of the COPY

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that end in these bytes."""
        self._total += len(data)
        yield from self._take(self._cutter.feed(data))

    def finish(self) -> Iterator[Chunk]:
        """What is left."""
        yield from self._take(self._cutter.finish())
        self._end()
        self._text += self._statement
        yield from self._flush()

    def _take(self, pieces: Iterator[Piece]) -> Iterator[Chunk]:
        try:
            for piece in pieces:
                self._guard.lets_through(piece)  # a command of psql could stand inside a statement, for one
                self._look(piece)
                if isinstance(piece, Rows):
                    yield from self._row(piece)
                elif isinstance(piece, Sql):
                    yield from self._sql(piece)
                else:
                    self._text += piece.data
        except Unfit as unfit:
            raise self._refused(unfit) from None

    def _look(self, piece: Piece) -> None:
        """See a piece that a restore would take."""

    def _refused(self, unfit: Unfit) -> Exception:
        """The error for what no restore would take."""
        return PayloadError(f"The dump holds {unfit}, which no restore would take.")

    def _end(self) -> None:
        """The script ends here: refuse it if it may not."""
        if self._cutter.copying:
            raise _cut_rows()

    def _sql(self, piece: Sql) -> Iterator[Chunk]:
        if self._table >= 0 and not self._post_data and piece.first and not self._is_data(piece.data):
            yield from self._flush()
            self._post_data = True
        self._statement += piece.data
        if not piece.last:
            if len(self._statement) >= LONG:
                if not self._inside:
                    yield from self._flush()
                yield self._sql_chunk(self._statement, more=True)
                self._statement.clear()
                self._inside = True
            return
        if self._cutter.copying:
            statement = bare(bytes(self._statement))
            self._text += self._statement[: len(self._statement) - len(statement)]
            yield from self._flush()
            self._table += 1
            self._head, self._begun, self._digest = statement, False, hashlib.sha256()
        else:
            self._text += self._statement
            if len(self._text) >= self._grown(SQL) or self._inside:
                yield from self._flush()
        self._statement.clear()

    def _grown(self, size: int) -> int:
        return max(size, min(self._total >> _SHARE, GROWN))

    def _flush(self) -> Iterator[Chunk]:
        if self._text or self._inside:
            yield self._sql_chunk(self._text)
            self._text.clear()
            self._inside = False

    def _sql_chunk(self, data: bytearray, *, more: bool = False) -> Chunk:
        raw = bytes(data)
        blank = not (more or self._inside or bare(raw))
        return Chunk("sql", raw, more=more, post_data=self._post_data, blank=blank)

    def _is_data(self, piece: bytes) -> bool:
        """Whether a statement behind the first rows is a COPY, or of sequences' values or large objects."""
        statement = bare(piece)
        return self._cutter.copying or statement in _LARGE_OBJECTS or _DATA.match(statement) is not None

    def _row(self, piece: Rows) -> Iterator[Chunk]:
        if (piece.behind or piece.last) and not piece.data.endswith(b"\n"):
            raise _cut_rows()
        if piece.last and piece.data != _END:
            raise PayloadError("The dump ends a table's rows with a CR, which no pg_dump writes.")
        if piece.behind:
            self._head += piece.data
        elif piece.last:
            yield self._rows_chunk(tail=piece.data, digest=self._digest.hexdigest())
        else:
            self._digest.update(piece.data)
            self._rows.append(piece.data)
            self._size += len(piece.data)
            self._count += piece.count
            if self._size >= self._grown(ROWS):
                whole = piece.ends_row
                if whole or self._size >= LONG:
                    yield self._rows_chunk(tail=_END if whole else b"", more=not whole)

    def _rows_chunk(self, *, tail: bytes, more: bool = False, digest: str = "") -> Chunk:
        head = b"" if self._begun else self._head
        chunk = Chunk(
            "rows",
            b"".join((head, *self._rows, tail)),
            count=self._count,
            table=self._table,
            head=len(head),
            tail=len(tail),
            more=more,
            digest=digest,
        )
        self._rows.clear()
        self._size = self._count = 0
        self._begun = more
        return chunk


def _cut_rows() -> PayloadError:
    return PayloadError("The dump ends in the middle of a table's rows.")


class ChunkTexts:
    """Whether the SQL's chunks are what the index says, one after the other: whole statements, and rows alone.

    Raises ``DamagedArchive`` (layer ``payload``).
    """

    def __init__(self) -> None:
        self._cutter = SqlCutter()
        self._before = _LINE_END

    def sql(self, data: bytes, *, more: bool, blank: bool = False) -> None:
        """A ``sql`` chunk: the end of the statement in which the chunk before ended, and no rows; or comments alone."""
        if blank and bare(data):
            raise DamagedArchive("payload", "A chunk of the archive's SQL holds a statement, which its index denies.")
        try:
            rows = any(isinstance(piece, Rows) for piece in self._cutter.feed(data))
            if not more:
                rows |= any(isinstance(piece, Rows) for piece in self._cutter.finish())
        except Unfit as unfit:
            raise DamagedArchive("payload", f"The archive's SQL holds {unfit}.") from None
        if rows or (not more and self._cutter.inside):
            raise DamagedArchive("payload", "A chunk of the archive's SQL holds rows, or ends inside a statement.")
        if not more:
            backslashes = self._cutter.backslashes
            self._cutter = SqlCutter()
            self._cutter.backslashes = backslashes

    def rows(self, data: bytes, *, inside: bool, more: bool) -> None:
        """The rows of a chunk, without head and tail; ``inside`` when the chunk before ended in them.

        No line among them ends a COPY: what follows it would be read as SQL, or not at all.
        """
        before = self._before if inside else _LINE_END
        begins = before + data[: len(_LONGEST_END)]
        if _ends_rows(begins) or (data.rfind(_BACKSLASH_DOT) >= 0 and _ends_rows(data)):
            raise DamagedArchive("payload", "A chunk of the archive's rows ends them before their end.")
        self._before = (before + data[-len(_LONGEST_END) :])[-len(_LONGEST_END) :]
        if not more and not self._before.endswith(_LINE_END):
            raise DamagedArchive("payload", "A chunk of the archive's rows ends inside a row.")


_LINE_END = b"\n"
_BACKSLASH_DOT = b"\n\\."
_LONGEST_END = b"\n\\.\r\n"


def _ends_rows(data: bytes) -> bool:
    return _LONGEST_END in data or b"\n\\.\n" in data
