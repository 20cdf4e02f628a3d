"""What of an archive's SQL text may reach psql."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import RestoreFailed
from .scan import Meta, Sql, SqlScanner, bare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .scan import Piece

#: Statements that begin or end a transaction. pg_dump writes none, and ours must stay whole.
TRANSACTION = re.compile(
    rb"(begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b", re.IGNORECASE
)
_RESTRICT = re.compile(rb"\\(?:un)?restrict\s+\w+\s*\Z")


def refusal(piece: Piece) -> str:
    """What makes a piece unfit for a restore, or nothing (empty)."""
    if isinstance(piece, Meta) and not _RESTRICT.match(piece.data):
        return f"the psql command {_shown(piece.data)}"
    if isinstance(piece, Sql) and piece.first and (match := TRANSACTION.match(bare(piece.data))):
        return f"the statement {_shown(match.group())}"
    return ""


def _shown(data: bytes) -> str:
    return " ".join(data.split()[0][:20].decode(errors="replace").split())


class DumpFilter:
    r"""Passes SQL text through; refuses what would end the transaction or leave it open in the middle of something.

    ``\restrict`` and ``\unrestrict`` become empty lines: the session restricts psql with a key of its own.
    """

    def __init__(self) -> None:
        self._scanner = SqlScanner()

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk (and of the ones before) goes to psql now. Raises ``RestoreFailed``."""
        return b"".join(self._pass(self._scanner.feed(chunk)))

    def finish(self) -> bytes:
        """The rest. Raises ``RestoreFailed`` when the text ends in the middle of rows, a literal or a statement."""
        inside = self._scanner.inside
        if inside:
            raise RestoreFailed(
                f"The archive's SQL ends in the middle of {_MIDDLES[inside]}: its dump was cut short.",
                hint="Nothing was changed. Restore from another archive.",
            )
        return b"".join(self._pass(self._scanner.finish()))

    def _pass(self, pieces: Iterable[Piece]) -> Iterable[bytes]:
        for piece in pieces:
            if reason := refusal(piece):
                raise RestoreFailed(
                    f"The archive's SQL holds {reason}, which pg_dump never writes.",
                    hint="Nothing was changed. Such an archive cannot be restored in one transaction.",
                )
            yield b"\n" if isinstance(piece, Meta) else piece.data


_MIDDLES = {"rows": "a table's rows", "literal": "a literal", "statement": "a statement"}
