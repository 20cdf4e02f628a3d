"""What of an archive's SQL text one transaction of ours can hold. Everything else is refused before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .cut import SqlCutter, bare
from .grammar import COPY, ENCODING, LARGE_OBJECT, RESTRICT, STRINGS, UNSAFE_ENCODING
from .pieces import Meta, Piece, Rows, Text, Unfit

#: Statements that begin or end a transaction, by their first word: a comment may follow it.
_TRANSACTION = re.compile(rb"(begin|start|commit|end|rollback|abort|savepoint|release|prepare)\b", re.IGNORECASE)
#: Limits that pg_dump lifts, and that the session has set already. Servers before 17 do not know the second, and a
#: pg_dump of today writes it whatever the server that it dumps.
_LIMITS = {b"SET lock_timeout = 0;", b"SET transaction_timeout = 0;"}
#: Statements that may name settings without changing those of the session.
_HARMLESS = re.compile(
    rb"(?:create|alter|comment|copy|insert|grant|revoke|drop|security|refresh)\b"
    rb"|set\s+default_(?:tablespace|table_access_method)\b"
    rb"|select\s+pg_catalog\.(?:setval|lo\w+)\s*\(",
    re.IGNORECASE,
)
#: Settings that change how text is read, and what resets or sets them without their name.
_READING = re.compile(
    rb"standard_conforming_strings|client_encoding|\Areset\s+all\b|\Adiscard\b"
    rb"|\Aset\s+(?:session\s+|local\s+)?(?:names\b|u&)",
    re.IGNORECASE,
)
_FIRST_WORD = re.compile(rb"\\?(?:[A-Za-z_]+|[^\s'\"$])")
#: A call of set_config, and the only form of it that pg_dump writes: with a name that can be read.
_SET_CONFIG = re.compile(rb"(?<![\w$\"])set_config\s*\(", re.IGNORECASE)
_PLAIN_SET_CONFIG = re.compile(rb"select\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'[a-z_.]+'\s*,", re.IGNORECASE)

#: What ``SqlCutter.inside`` means, in words.
MIDDLES = {
    "rows": "a table's rows",
    "literal": "a literal",
    "statement": "a statement",
    "body": "a function's BEGIN … END",
}


class Guard:
    r"""Looks at every piece in turn and says which one transaction of ours can hold.

    pg_dump writes large objects between a ``BEGIN`` and a ``COMMIT`` of their own (which would commit a restore half
    way): these two are left out when nothing but large objects is between them. So are ``\restrict`` and
    ``\unrestrict``, which are for psql.
    """

    def __init__(self) -> None:
        self._large_objects = False

    def lets_through(self, piece: Piece) -> bool:
        """Whether a piece is to be executed, or left out. Raises ``Unfit`` for what no restore may execute."""
        if b"\0" in piece.data:
            raise Unfit("a NUL byte")
        if isinstance(piece, Meta):
            if piece.inside or not RESTRICT.match(piece.data):
                raise Unfit(f"the psql command {_shown(piece.data)}")
            return False
        if isinstance(piece, Rows):
            if piece.behind and piece.data.strip():
                raise Unfit("something behind a COPY on its line")
            return not piece.behind
        if not piece.first:
            return True
        statement = bare(piece.data)
        if not statement or statement == b";":
            if not piece.last:
                raise Unfit("a comment that is too long")
            return False
        return self._statement(statement, whole=piece.last)

    def end(self) -> None:
        """The text ends here. Raises ``Unfit``."""
        if self._large_objects:
            raise Unfit("large objects without an end")

    def _statement(self, statement: bytes, *, whole: bool) -> bool:
        match = _TRANSACTION.match(statement)
        if self._large_objects:
            if statement == b"COMMIT;":
                self._large_objects = False
                return False
            if match is None and not LARGE_OBJECT.match(statement):
                raise Unfit(f"the statement {_shown(statement)} among large objects")
        elif statement == b"BEGIN;":
            self._large_objects = True
            return False
        if match:
            raise Unfit(f"the statement {_shown(match.group())}")
        if statement in _LIMITS:
            return False
        if statement[:4].lower() == b"copy" and not (whole and COPY.match(statement)):
            raise Unfit("a COPY that is not from stdin, or has options")
        if not _HARMLESS.match(statement) and self._changes_reading(statement):
            raise Unfit(f"the statement {_shown(statement)} that changes how psql reads it")
        return True

    @staticmethod
    def _changes_reading(statement: bytes) -> bool:
        """Whether a statement changes how text is read in another way than the cutter follows.

        What changes it unseen, such as a function, is found by what the server reports.
        """
        if match := ENCODING.match(statement):
            return UNSAFE_ENCODING.match(match.group(1)) is not None
        if STRINGS.match(statement):
            return False
        if _SET_CONFIG.search(statement) and not _PLAIN_SET_CONFIG.match(statement):
            return True
        return bool(_READING.search(statement))


class SqlReader:
    """Cuts SQL text and checks each piece as a restore does. By itself it only checks, and raises ``Unfit``.

    A subclass uses the pieces, and may raise other errors instead.
    """

    def __init__(self) -> None:
        self._cutter = SqlCutter()
        self._guard = Guard()

    def feed(self, chunk: Text) -> None:
        """Read one chunk: text, or rows that were cut before."""
        self._read(self._cutter.pass_rows(chunk) if isinstance(chunk, Rows) else self._cutter.feed(chunk))

    def finish(self) -> None:
        """The text ends here."""
        self._read(self._cutter.finish(), last=True)

    def _read(self, pieces: Iterable[Piece], *, last: bool = False) -> None:
        try:
            for piece in pieces:
                self._piece(piece, wanted=self._guard.lets_through(piece))
            if last:
                if inside := self._cutter.inside:
                    raise self._cut_short(MIDDLES[inside])
                self._guard.end()
        except Unfit as exc:
            raise self._refused(exc) from None

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        """Use a piece; a restore executes it if it is ``wanted``."""

    def _cut_short(self, inside: str) -> Exception:
        """The error for a text that ends in the middle of something."""
        return Unfit(f"an end in the middle of {inside}")

    def _refused(self, unfit: Unfit) -> Exception:
        """The error for a text that no restore would take."""
        return unfit


def _shown(data: bytes) -> str:
    """How a statement or a command of psql begins: its first word, and nothing that may be a value."""
    match = _FIRST_WORD.match(data)
    return match.group()[:20].decode(errors="replace") if match else ""
