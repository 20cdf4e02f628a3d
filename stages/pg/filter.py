"""What of an archive's SQL text may reach psql."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import RestoreFailed
from .scan import Meta, Sql, SqlScanner, bare

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

#: What ``SqlScanner.inside`` means, in words.
MIDDLES = {"rows": "a table's rows", "literal": "a literal", "statement": "a statement"}


class Unfit(Exception):
    """A piece that must not be restored; the text says what it is."""


class Guard:
    r"""Looks at every piece in turn and lets through what one transaction of ours can hold.

    pg_dump writes large objects between a ``BEGIN`` and a ``COMMIT`` of their own (which would commit a restore half
    way): these two are left out when nothing but large objects is between them. So are ``\restrict`` and
    ``\unrestrict``; the session restricts psql with a key that the archive cannot know.
    """

    def __init__(self, preservation: Preservation | None = None) -> None:
        self._large_objects = False
        self._preservation = preservation

    def let_through(self, piece: Piece) -> bytes:
        """The bytes to pass on, with as many lines as the piece. Raises ``Unfit``."""
        if isinstance(piece, Meta):
            if not _RESTRICT.match(piece.data):
                raise Unfit(f"the psql command {_shown(piece.data)}")
            return b"\n" * piece.data.count(b"\n")
        if isinstance(piece, Sql) and piece.first and (statement := bare(piece.data)):
            return self._statement(piece.data, statement)
        return piece.data

    def end(self) -> None:
        """The text ends here. Raises ``Unfit``."""
        if self._large_objects:
            raise Unfit("large objects without an end")

    def _statement(self, data: bytes, statement: bytes) -> bytes:
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
        return self._preservation.statement(data, statement) if self._preservation else data


def _shown(data: bytes) -> str:
    return data.split()[0][:20].decode(errors="replace")


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
        if inside := self._scanner.inside:
            raise RestoreFailed(
                f"The archive's SQL ends in the middle of {MIDDLES[inside]}: its dump was cut short.",
                hint="Nothing was changed. Restore from another archive.",
            )
        return self._pass(self._scanner.finish(), last=True)

    def _pass(self, pieces: Iterable[Piece], *, last: bool = False) -> bytes:
        try:
            passed = b"".join([self._guard.let_through(piece) for piece in pieces])
            if last:
                self._guard.end()
        except Unfit as exc:
            raise RestoreFailed(
                f"The archive's SQL holds {exc}, which cannot be restored in one transaction.",
                hint="Nothing was changed. This archive's SQL does not come from pg_dump, or was edited.",
            ) from None
        return passed
