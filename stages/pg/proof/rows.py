"""The rows of restored tables, held against those of the archive.

First by a digest over the text of the rows in their order: what was just restored lies there as it came. Where that is
another, the archive's rows are put beside the restored ones and the server compares values: one that runs in another
time zone, or is of another version, writes the same value in another way, and rows of partitions come in another order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import sql

from ....formats.sql.cut import bare
from ....formats.sql.guard import SqlReader
from ....formats.sql.pieces import Piece, Rows, Sql
from ....pipeline.engine import in_thread
from ...errors import DatabaseError
from ...load.meter import transaction
from ..server.connect import Connection, connect, one, open_connection
from ..server.script import script
from .expected import copy_of

if TYPE_CHECKING:
    from ....formats.sql.pieces import Text
    from ....pipeline.engine import Inlet
    from ..server.settings import PostgresSettings, Table
    from .expected import Copied, Expected

_COMPARE = script(__file__, "compare_rows")
#: So that rows have the text that pg_dump gives them, in the order in which they lie in the table.
AS_DUMPED = (
    "SET search_path = ''",
    "SET row_security = off",
    "SET synchronize_seqscans = off",
    "SET max_parallel_workers_per_gather = 0",
    "SET extra_float_digits = 3",
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET TimeZone = 'UTC'",
    "SET statement_timeout = 0",
)
_COLUMNS = """
SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_KIND = "SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s)"


@dataclass(slots=True)
class Found:
    """The restored rows of one table: their number (None: there is no such table), and whether they are the same.

    ``doubtful``: as many as in the archive, and of another text; the server has to compare the values.
    """

    rows: int | None
    same: bool
    doubtful: bool = False


def read_rows(settings: PostgresSettings, expected: Expected) -> dict[Table, Found]:
    """Count and digest the rows of every table that the archive fills; blocking. Raises as ``connect``."""
    with connect(settings) as connection:
        for setting in AS_DUMPED:
            connection.execute(setting)
        return {table: _read(connection, copied, expected) for table, copied in expected.copies.items()}


def _read(connection: Connection, copied: Copied, expected: Expected) -> Found:
    source = _source(connection, copied)
    if source is None:
        return Found(None, same=False)
    digest, rows = expected.new_digest(), 0
    try:
        copying = sql.SQL("COPY ({}) TO STDOUT").format(source)
        with transaction("shared"), connection.cursor().copy(copying) as out:
            for data in out:
                digest.update(data)
                rows += 1  # the server sends each row as one message
    except psycopg.errors.UndefinedColumn:
        every = _source(connection, replace(copied, columns=()))
        return Found(one(connection, sql.SQL("SELECT count(*) FROM ({}) r").format(every))[0], same=False)
    same = rows == copied.rows and digest.digest() == copied.digest.digest()
    return Found(rows, same=same, doubtful=rows == copied.rows and not same)


def _source(connection: Connection, copied: Copied) -> sql.Composed | None:
    """The query of a table's own rows, as COPY filled them; None when there is no such table."""
    table = copied.table
    row = connection.execute(_KIND, (str(table),)).fetchone()
    if row is None:
        return None
    only = sql.SQL("" if row[0] == "p" else "ONLY ")  # what was filled by way of a partitioned table is in its parts
    # COPY without columns has all that are not generated, which may be none.
    names = copied.columns or [name for (name,) in connection.execute(_COLUMNS, (str(table),))]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("SELECT {} FROM {}{}").format(columns, only, sql.Identifier(table.schema or "public", table.name))


class SecondLook(SqlReader):
    """A sink that puts the rows of some tables beside the restored ones, in temporary tables; then ``compare``.

    Use it as a context manager. Raises ``DatabaseError``, also while it reads.
    """

    name = "second look"

    def __init__(self, settings: PostgresSettings, copies: Mapping[Table, Copied]) -> None:
        super().__init__()
        self._settings = settings
        self._copies = copies
        self._beside: dict[Table, sql.Identifier] = {}
        self._copying = ExitStack()
        self._copy: psycopg.Copy | None = None
        self._connection: Connection

    async def __aenter__(self) -> Self:
        self._connection = await in_thread(self._open)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._connection.close()

    def _open(self) -> Connection:
        connection = open_connection(self._settings)
        for setting in AS_DUMPED:
            connection.execute(setting)
        return connection

    async def __call__(self, text: Inlet[Text]) -> None:
        """Read the archive's SQL."""
        async for chunk in text:
            await in_thread(self._feed, chunk)
        await in_thread(self._end)

    def _feed(self, chunk: Text) -> None:
        try:
            self.feed(chunk)
        except psycopg.Error as exc:
            raise self._failed(exc) from exc

    def _end(self) -> None:
        try:
            self.finish()
            self._close()
        except psycopg.Error as exc:
            raise self._failed(exc) from exc

    def _failed(self, error: psycopg.Error) -> DatabaseError:
        reason = error.diag.message_primary or "the connection was lost"
        return DatabaseError(
            f"The scratch database does not take the rows that it restored ({self._settings.where()}): {reason}.",
            hint="Check the server's log, and that it has room.",
        )

    def _piece(self, piece: Piece, *, wanted: bool) -> None:  # noqa: ARG002 - what is left out has no rows
        if isinstance(piece, Rows):
            if piece.last:
                self._close()
            elif self._copy is not None and not piece.behind:
                self._copy.write(piece.data)
        elif isinstance(piece, Sql) and piece.first:
            self._close()
            copied = copy_of(bare(piece.data), hashlib.blake2b)
            if copied is not None and copied.table in self._copies:
                self._begin(copied)

    def _begin(self, copied: Copied) -> None:
        connection = self._connection
        if copied.table not in self._beside:
            source = _source(connection, copied)
            if source is None:
                return
            name = self._beside[copied.table] = sql.Identifier("pg_temp", f"kleidia_{len(self._beside)}")
            connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} AS {} WITH NO DATA").format(name, source))
        copying = sql.SQL("COPY {} FROM STDIN").format(self._beside[copied.table])
        self._copy = self._copying.enter_context(connection.cursor().copy(copying))

    def _close(self) -> None:
        self._copy = None
        self._copying.close()

    def compare(self) -> set[Table]:
        """The tables whose restored rows are the archive's, whatever their order; blocking."""
        return {table for table, name in self._beside.items() if self._equal(self._copies[table], name)}

    def _equal(self, copied: Copied, name: sql.Identifier) -> bool:
        source = _source(self._connection, copied)
        if source is None:
            return False
        question = sql.SQL(_COMPARE).format(archived=name, restored=source)
        try:
            return not one(self._connection, question)[0]
        except psycopg.Error as exc:
            raise self._failed(exc) from exc
