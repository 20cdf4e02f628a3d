"""The rows of some tables out of an archive's SQL text, which may hold anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ....formats.sql.grammar import COPY, ENCODING, STRINGS
from ....formats.sql.pieces import Piece, Rows
from ..execution.executor import Executor
from ..objects import qualified

if TYPE_CHECKING:
    from ..server.settings import Table


def copied(statement: bytes) -> Table | None:
    """The table that a COPY statement brings rows of; None for any other statement."""
    match = COPY.match(statement)
    return qualified(match.group(1)) if match else None


class RowsExecutor(Executor):
    """Executes the COPY statements of tables that are asked for, under the names that they have in the target."""

    _names: Mapping[Table, Table]
    _stored: dict[Table, int]
    _passing = False

    def take(self, names: Mapping[Table, Table], stored: dict[Table, int]) -> None:
        """The tables, by their names in the archive, and where the rows of each are counted."""
        self._names, self._stored = names, stored

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        if self._passing and isinstance(piece, Rows):
            self._passing = not piece.last
            return
        super()._piece(piece, wanted=wanted)

    def _statement(self, statement: bytes) -> None:
        match = COPY.match(statement)
        if match is None:
            if ENCODING.match(statement) or STRINGS.match(statement):  # how the rows are read
                self._execute(statement)
            return
        table = qualified(match.group(1))
        if table is None or table not in self._names:
            self._passing = True
            return
        self._table = self._names[table]
        super()._statement(statement[: match.start(1)] + str(self._table).encode() + statement[match.end(1) :])

    def _end_rows(self) -> None:
        super()._end_rows()
        self._stored[self._table] = self._stored.get(self._table, 0) + self._sent
