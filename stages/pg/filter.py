"""What of an archive's SQL text may reach psql."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import RestoreFailed
from .scan import COPY, STRINGS, Meta, Rows, Sql, SqlScanner, Unfit, bare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .preserve import Preservation
    from .scan import Piece

#: Statements that begin or end a transaction, by how they begin.
_TRANSACTION = re.compile(
    rb"(begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b", re.IGNORECASE
)
_LARGE_OBJECT = re.compile(rb"select\s+pg_catalog\.lo(?:_open|write|_close|_create|_put)\(", re.IGNORECASE)
_RESTRICT = re.compile(rb"\\(?:un)?restrict\s+\w+\s*\Z")

_ROUTINE = re.compile(
    rb"create\s+(?:or\s+replace\s+)?(function|procedure)\s+((?:\"(?:[^\"]|\"\")+\"|[^\s\"(;])+)", re.IGNORECASE
)
#: Statements that may name settings without changing those of the session.
_HARMLESS = re.compile(rb"(?:create|alter|comment|copy|insert|grant|revoke|drop|security|refresh)\b", re.IGNORECASE)
#: Limits that pg_dump lifts, and that the session has set already. Servers before 17 do not know the second, and a
#: pg_dump of today writes it whatever the server that it dumps.
_LIMITS = {b"SET lock_timeout = 0;", b"SET transaction_timeout = 0;"}
#: Settings that change how psql reads what follows.
_READING = re.compile(rb"standard_conforming_strings|client_encoding", re.IGNORECASE)
_ENCODING = re.compile(rb"set\s+client_encoding\s*(?:=|\sto\s)\s*'?(\w+)'?\s*;\Z", re.IGNORECASE)
#: Encodings in which a backslash can be half of a character.
_UNSAFE = re.compile(rb"sjis|shift|big|gbk|uhc|gb18|johab|mskanji|windows9|win9", re.IGNORECASE)
_SET_CONFIG = re.compile(rb"select\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'[a-z_.]+'\s*,", re.IGNORECASE)
_RESETS = re.compile(rb"reset\s+all\b|discard\b|set\s+(?:session\s+|local\s+)?(?:names\b|u&)", re.IGNORECASE)

#: What ``SqlScanner.inside`` means, in words.
MIDDLES = {
    "rows": "a table's rows",
    "literal": "a literal",
    "statement": "a statement",
    "body": "a function's BEGIN … END",
}


class Guard:
    r"""Looks at every piece in turn and lets through what one transaction of ours can hold.

    pg_dump writes large objects between a ``BEGIN`` and a ``COMMIT`` of their own (which would commit a restore half
    way): these two are left out when nothing but large objects is between them. So are ``\restrict`` and
    ``\unrestrict``; the session restricts psql with a key that the archive cannot know.
    """

    def __init__(self, preservation: Preservation | None = None) -> None:
        self._large_objects = False
        self._preservation = preservation
        self._routine = ""  # the function or procedure that the last statement makes

    def let_through(self, piece: Piece) -> bytes:
        """The bytes to pass on, with as many lines as the piece. Raises ``Unfit``."""
        if b"\0" in piece.data:
            raise Unfit("a NUL byte")  # psql does not see what follows it on its line
        if isinstance(piece, Meta):
            if piece.inside == "body":
                raise Unreadable(self._routine)
            if piece.inside or not _RESTRICT.match(piece.data):
                raise Unfit(f"the psql command {_shown(piece.data)}")
            return b"\n" * piece.data.count(b"\n")
        if isinstance(piece, Rows):
            if piece.behind and piece.data.strip():
                raise Unfit("something behind a COPY on its line")
            return piece.data
        data = _spaced(piece)
        if piece.first:
            statement = bare(data)
            self._routine = _routine(statement)
            if statement:
                return self._statement(data, statement, whole=piece.last)
            if not piece.last:
                raise Unfit("a comment that is too long")
        return data

    def end(self) -> None:
        """The text ends here. Raises ``Unfit``."""
        if self._large_objects:
            raise Unfit("large objects without an end")

    def unended(self, inside: str) -> None:
        """The text ended inside of this. Raises ``Unreadable`` when that is the body of a routine."""
        if inside == "body":
            raise Unreadable(self._routine)

    def _statement(self, data: bytes, statement: bytes, *, whole: bool) -> bytes:
        match = _TRANSACTION.match(statement)
        if self._large_objects:
            if statement == b"COMMIT;":
                self._large_objects = False
                return b"\n" * data.count(b"\n")
            if match is None and not _LARGE_OBJECT.match(statement):
                raise Unfit(f"the statement {_shown(statement)} among large objects")
        elif statement == b"BEGIN;":
            self._large_objects = True
            return b"\n" * data.count(b"\n")
        if match:
            raise Unfit(f"the statement {_shown(match.group())}")
        if statement in _LIMITS:
            return b"\n" * data.count(b"\n")
        if statement[:4].lower() == b"copy" and not (whole and COPY.match(statement)):
            raise Unfit("a COPY that is not from stdin")
        if not _HARMLESS.match(statement) and _changes_reading(statement):
            raise Unfit(f"the statement {_shown(statement)} that changes how psql reads it")
        return self._preservation.statement(data, statement) if self._preservation else data


#: What to do about a routine that psql cannot read.
UNREADABLE = (
    "psql takes every word begin, case or end in it for part of a block, even where it is a name: "
    "rename that column, table or function, or write the body as a string (AS $$…$$), and back up again."
)


class Unreadable(Unfit):
    """SQL that is right, yet psql cannot read it: a word ``begin`` in a body, which it takes for a beginning."""

    def __init__(self, routine: str) -> None:
        super().__init__(f"the {routine or 'function'}, whose body psql cannot read to its end")


def _spaced(piece: Sql) -> bytes:
    """The statement with a blank behind each single colon, or psql would put a variable of its own there."""
    if not piece.colons:
        return piece.data
    edges = (0, *piece.colons, len(piece.data))
    return b" ".join(piece.data[a:b] for a, b in pairwise(edges))


def _routine(statement: bytes) -> str:
    match = _ROUTINE.match(statement)
    if match is None:
        return ""
    return f"{match.group(1).decode().lower()} {match.group(2)[:150].decode(errors='replace')}"


def _changes_reading(statement: bytes) -> bool:
    """Whether psql may read the text behind this statement otherwise than ``SqlScanner`` does."""
    if match := _ENCODING.match(statement):
        return bool(_UNSAFE.match(match.group(1)))
    if STRINGS.match(statement):
        return False
    if statement[:6].lower() == b"select":
        if b"set_config" not in statement.lower():
            return False
        if not _SET_CONFIG.match(statement):
            return True
    return bool(_RESETS.match(statement) or _READING.search(statement))


def _shown(data: bytes) -> str:
    return data.split()[0][:20].decode(errors="replace")


class DumpCheck:
    """SQL text in, nothing out: the same look at it while it is made."""

    def __init__(self) -> None:
        self._scanner = SqlScanner()
        self._guard = Guard()

    def feed(self, chunk: bytes) -> None:
        """Look at one chunk. Raises ``Unfit`` for what a restore would refuse."""
        for piece in self._scanner.feed(chunk):
            self._guard.let_through(piece)

    def finish(self) -> None:
        """The text ends here. Raises ``Unfit``."""
        for piece in self._scanner.finish():
            self._guard.let_through(piece)
        self._guard.unended(self._scanner.inside)


class DumpFilter:
    """SQL text in, what psql may have of it out."""

    def __init__(self, preservation: Preservation | None = None) -> None:
        self._scanner = SqlScanner()
        self._guard = Guard(preservation)

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk (and of those before) goes to psql now. Raises ``RestoreFailed``."""
        return self._pass(self._scanner.feed(chunk))

    def finish(self) -> bytes:
        """The rest. Raises ``RestoreFailed`` when the text ends in the middle of rows, a literal or a statement."""
        return self._pass(self._scanner.finish(), last=True)

    def _pass(self, pieces: Iterable[Piece], *, last: bool = False) -> bytes:
        try:
            passed = b"".join([self._guard.let_through(piece) for piece in pieces])
            if last:
                self._guard.unended(self._scanner.inside)
                if inside := self._scanner.inside:
                    raise RestoreFailed(
                        f"The archive's SQL ends in the middle of {MIDDLES[inside]}: its dump was cut short.",
                        hint="Nothing was changed. Restore from another archive.",
                    )
                self._guard.end()
        except Unreadable as exc:
            raise RestoreFailed(f"The archive's SQL holds {exc}.", hint=f"Nothing was changed. {UNREADABLE}") from None
        except Unfit as exc:
            raise RestoreFailed(
                f"The archive's SQL holds {exc}, which cannot be restored in one transaction.",
                hint="Nothing was changed. This archive's SQL does not come from pg_dump, or was edited.",
            ) from None
        return passed
