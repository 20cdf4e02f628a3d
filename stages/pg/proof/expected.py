"""What an archive's SQL says must be there after a restore, gathered while it is read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ....formats.sql.cut import bare
from ....formats.sql.pieces import Piece, Rows, Sql
from ..objects import IDENTIFIER, plain, qualified
from ..server.settings import Table, quote_identifier
from ..survey import LIMIT, SqlSurvey

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = rb"(" + IDENTIFIER + rb"(?:\." + IDENTIFIER + rb")?+)"
_COPY = re.compile(
    rb"copy\s+(?:only\s+)?" + _NAME + rb"\s*(\((?:\s*" + IDENTIFIER + rb"\s*,?)*+\))?\s*from\s+stdin", re.IGNORECASE
)
_COLUMN = re.compile(IDENTIFIER)
_SETVAL = re.compile(
    rb"select\s+pg_catalog\.setval\s*\(\s*'((?:[^']|'')+)'\s*,\s*(-?\d{1,19})\s*,\s*(true|false)\s*\)", re.IGNORECASE
)
_CONSTRAINT = re.compile(
    rb"alter\s+(?:domain\s+|(?:foreign\s+)?table\s+(?:only\s+)?)"
    + _NAME
    + rb"\s+add\s+constraint\s+("
    + IDENTIFIER
    + rb")\s",
    re.IGNORECASE,
)
_NOT_VALID = re.compile(rb"not\s+(?:valid|enforced)\s*;\Z", re.IGNORECASE)


@dataclass(eq=False)
class Copied:
    """The rows of one COPY statement: their number, and a keyed digest over them in their order, as text.

    ``columns`` is empty where the statement names none. ``again`` says that the table has several such statements.
    """

    table: Table
    columns: tuple[str, ...]
    digest: hashlib.blake2b = field(repr=False)
    rows: int = 0
    again: bool = False

    @property
    def selected(self) -> str:
        """The columns as SQL."""
        return ", ".join(map(quote_identifier, self.columns)) if self.columns else "*"


class Expected(SqlSurvey):
    """Reads an archive's SQL as a survey does, and remembers what a restored database must have beyond that.

    ``key`` is random and never leaves memory: nobody else can compute the digests of ``copies``. ``sequences`` are
    the values that are set, ``constraints`` those added to tables and domains, and whether each is valid.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        self._copied: Copied | None = None
        self.copies: dict[Table, Copied] = {}
        self.sequences: dict[Table, tuple[int, bool]] = {}
        self.constraints: dict[tuple[Table, str], bool] = {}

    def new_digest(self) -> hashlib.blake2b:
        """As those of ``copies``, for the rows that were restored."""
        return hashlib.blake2b(key=self._key, digest_size=32)

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        super()._piece(piece, wanted=wanted)
        if isinstance(piece, Rows):
            if self._copied is not None:
                self._copied.rows += piece.count
                if not (piece.last or piece.behind):
                    self._copied.digest.update(piece.data)
        elif isinstance(piece, Sql) and piece.first:
            self._expect(bare(piece.data), whole=piece.last)

    def _expect(self, statement: bytes, *, whole: bool) -> None:
        if copied := copy_of(statement, self.new_digest):
            self._copied = self.copies.get(copied.table)
            if self._copied is not None:
                self._copied.again = True
            elif len(self.copies) < LIMIT:
                self._copied = self.copies[copied.table] = copied
        elif match := _SETVAL.match(statement):
            text = match.group(1).replace(b"''", b"'")
            name = qualified(text.replace(b"\\\\", b"\\") if self._cutter.backslashes else text)
            if name is not None and len(self.sequences) < LIMIT:
                self.sequences[name] = int(match.group(2)), match.group(3).lower() == b"true"
        elif whole and (match := _CONSTRAINT.match(statement)):
            table = qualified(match.group(1))
            if table is not None and len(self.constraints) < LIMIT:
                self.constraints[table, plain(match.group(2))] = _NOT_VALID.search(statement) is None


def copy_of(statement: bytes, digest: Callable[[], hashlib.blake2b]) -> Copied | None:
    """The table and the columns of a COPY statement; None for any other, and for one that cannot be read."""
    match = _COPY.match(statement)
    table = qualified(match.group(1)) if match else None
    if match is None or table is None:
        return None
    columns = tuple(plain(name) for name in _COLUMN.findall(match.group(2) or b""))
    return Copied(table, columns, digest())
