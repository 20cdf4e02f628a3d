"""The stages that make text of what was taken out of an archive. They run on asyncio and trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...formats.secret import MAX_SECRET
from ...formats.sql.csv import CopyToCsv
from ...formats.sql.cut import bare
from ...formats.sql.guard import SqlReader
from ...formats.sql.pieces import Rows, Sql
from ...formats.v2.chunks import MAX_RAW
from ...pipeline.engine import Inlet, Outlet, cut
from ..errors import DamagedArchive
from ..pg.survey import copied

if TYPE_CHECKING:
    from ...formats.secret import Secret
    from ...formats.sql.pieces import Piece, Text, Unfit
    from ..pg.server.settings import Table

_encode = msgspec.json.Encoder().encode


def line_of(secret: Secret) -> bytes:
    """A secret as a line of JSON with ``path`` and ``value``, as format V2 has it."""
    line = b'{"path":' + _encode(secret.path) + b',"value":' + secret.value + b"}"
    return line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"  # these stand between tokens only


class SecretLines:
    """Secrets that have a value to lines of JSON. ``secrets`` counts them."""

    name = "lines"
    #: Bytes: a line and what is cut off it.
    working_set = 2 * MAX_SECRET

    def __init__(self) -> None:
        self.secrets = 0

    async def __call__(self, secrets: Inlet[Secret], out: Outlet[bytes]) -> None:
        """Write."""
        while batch := await secrets.batch():
            lines = [line_of(secret) for secret in batch if not secret.gone]
            self.secrets += len(lines)
            for piece in cut(b"".join(lines)):
                await out.send(piece)


class TableCsv:
    """An archive's SQL to the rows of one table as CSV. ``rows`` counts them; a row that is not whole is held.

    Raises ``DamagedArchive`` (layer ``payload``).
    """

    name = "csv"
    #: Bytes: rows, and what is made of them.
    working_set = 3 * MAX_RAW

    def __init__(self, table: Table) -> None:
        self._reader = _TableReader(table)

    @property
    def rows(self) -> int:
        """How many were written."""
        return self._reader.rows

    async def __call__(self, sql: Inlet[Text], out: Outlet[bytes]) -> None:
        """Write."""
        async for made in sql.each(self._reader.take):
            for piece in cut(made):
                await out.send(piece)
        self._reader.finish()


class _TableReader(SqlReader):
    def __init__(self, table: Table) -> None:
        super().__init__()
        self.rows = 0
        self._table = table
        self._csv: CopyToCsv | None = None
        self._first: CopyToCsv | None = None  # of the first COPY: each partition that is copied to its root has one
        self._made: list[bytes] = []

    def take(self, text: Text) -> bytes:
        """What some text holds of the table."""
        self.feed(text)
        made = b"".join(self._made)
        self._made.clear()
        return made

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        if isinstance(piece, Sql) and piece.first:
            statement = bare(piece.data)
            is_copy = statement[:4].lower() == b"copy"
            self._csv = CopyToCsv(statement, self._first) if is_copy and copied(statement) == self._table else None
            if self._csv and self._first is None:
                self._first = self._csv
                self._made.append(self._csv.header())
        elif isinstance(piece, Rows) and wanted and self._csv:
            if piece.last:
                self._csv.finish()
                self.rows, self._csv = self.rows + self._csv.rows, None
            else:
                self._made.append(self._csv.feed(piece.data))

    def _cut_short(self, inside: str) -> DamagedArchive:
        return DamagedArchive("payload", f"The archive's SQL ends in the middle of {inside}.")

    def _refused(self, unfit: Unfit) -> DamagedArchive:
        return DamagedArchive("payload", f"The archive's SQL holds {unfit}.")
