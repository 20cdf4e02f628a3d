"""What tables are, by pg_dump's word: statements that make them, before their rows and behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....formats.sql.cut import bare
from ....formats.sql.grammar import AUTHORIZATION, PREPARING
from ....formats.sql.guard import SqlReader
from ....formats.sql.pieces import Piece, Sql
from ..dumps.run import DumpRun
from ..preservation.preserve import Preservation
from ..server.connect import Connection, connect, one
from ..server.questions import answered
from ..server.script import script
from ..server.settings import Table

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings
    from ..server.tools import Tool

_TREE = script(__file__, "tree")
_STATISTICS = script(__file__, "statistics")
_STATISTICS_MADE = re.compile(rb"create\s+statistics\b", re.IGNORECASE)
_SEQUENCES = script(__file__, "sequences")
_PARTS = script(__file__, "parts")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table: its kind (``r``, partitioned ``p``, foreign ``f``), and what it descends from outside of the tree."""

    table: Table
    oid: int
    kind: str
    above: tuple[str, ...]
    partition: bool


@dataclass(frozen=True, slots=True)
class Definition:
    """Tables with all that descends from them: the statements that make them, and where their sequences stand.

    ``before`` goes before the rows, ``behind`` after them; ``sequences`` are (name, last value, whether it was given).
    """

    relations: tuple[Relation, ...]
    before: tuple[bytes, ...]
    behind: tuple[bytes, ...]
    sequences: tuple[tuple[Table, int, bool], ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Their names."""
        return tuple(each.table for each in self.relations)

    @property
    def owned(self) -> frozenset[Table]:
        """The sequences that their columns own."""
        return frozenset(name for name, *_ in self.sequences)

    def is_like(self, other: Definition) -> bool:
        """Whether both are the same tables, foreign keys aside: those are made again in any case."""
        return self.tables == other.tables and _without_keys(self) == _without_keys(other)


class _Statements(SqlReader):
    """Cuts the text of pg_dump into statements. Raises ``Unfit``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[bytes] = []
        self._parts: list[bytes] = []

    def _piece(self, piece: Piece, *, wanted: bool) -> None:
        if isinstance(piece, Sql):
            self._parts = [piece.data] if piece.first else [*self._parts, piece.data]
            if piece.last and (statement := bare(b"".join(self._parts))) and (wanted or len(self._parts) > 1):
                self.found.append(statement)


async def define(settings: PostgresSettings, tool: Tool, relations: Sequence[Relation]) -> Definition:
    """Ask pg_dump about these tables of a database. Raises ``DatabaseError``."""
    names = [each.table for each in relations]
    before, behind = [
        await dumped(settings, tool, names, f"--section={section}") if names else ()
        for section in ("pre-data", "post-data")
    ]
    statistics, sequences = await answered(_rest, settings, relations, limit=settings.query_timeout)
    return Definition(tuple(relations), before, with_statistics(behind, statistics), sequences)


def with_statistics(statements: tuple[bytes, ...], statistics: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What pg_dump says, and the extended statistics, where it leaves them out."""
    return statements if any(_STATISTICS_MADE.match(each) for each in statements) else (*statements, *statistics)


def find_statistics(connection: Connection, oids: Sequence[int]) -> tuple[bytes, ...]:
    """Statements that make the extended statistics of these relations. Raises what ``connect`` maps."""
    connection.execute("SET search_path = ''")  # so that every name has its schema
    return tuple(made.encode() for (made,) in connection.execute(_STATISTICS, {"tree": oids}).fetchall())


async def dumped(settings: PostgresSettings, tool: Tool, names: Sequence[Table], *options: str) -> tuple[bytes, ...]:
    """The statements by which pg_dump makes these tables or views. Raises ``DatabaseError``."""
    text = _Statements()

    def take(chunk: bytes) -> tuple[()]:
        text.feed(chunk)
        return ()

    async def send(_: object) -> None:
        """Nothing is handed on."""

    tables = (f"--table={each}" for each in names)
    await DumpRun(settings, tool, ("--schema-only", *options, *tables), settings.lock_milliseconds).run(take, send)
    text.finish()
    return tuple(text.found)


def find_tree(connection: Connection, tables: Iterable[Table]) -> list[Relation]:
    """These tables, as far as they are there, with all partitions and children. Raises what ``connect`` maps."""
    wanted = list(tables)
    names = {"schemas": [each.schema for each in wanted], "names": [each.name for each in wanted]}
    return [
        Relation(Table(schema, name), oid, kind, tuple(above), partition)
        for schema, name, oid, kind, above, partition in connection.execute(_TREE, names).fetchall()
    ]


def owned_sequences(connection: Connection, relations: Iterable[Relation]) -> list[Table]:
    """The sequences that their columns own. Raises what ``connect`` maps."""
    rows = connection.execute(_SEQUENCES, ([each.oid for each in relations],)).fetchall()
    return [Table(schema, name) for schema, name in rows]


def named_parts(connection: Connection, relations: Iterable[Relation]) -> list[tuple[str, Table]]:
    """Their indexes and extended statistics: the word for what each is, and its name. Raises what ``connect`` maps."""
    rows = connection.execute(_PARTS, {"tree": [each.oid for each in relations]}).fetchall()
    return [(word, Table(schema, name)) for word, schema, name in rows]


def _rest(
    settings: PostgresSettings, relations: Sequence[Relation]
) -> tuple[tuple[bytes, ...], tuple[tuple[Table, int, bool], ...]]:
    """Statements that make extended statistics, and where the sequences stand."""
    with connect(settings) as connection:
        statistics = find_statistics(connection, [each.oid for each in relations])
        return statistics, tuple(
            (each, *one(connection, f"SELECT last_value, is_called FROM {each}"))  # noqa: S608 - a quoted name
            for each in owned_sequences(connection, relations)
        )


def _without_keys(definition: Definition) -> list[bytes]:
    keys = Preservation()
    statements = (*definition.before, *definition.behind)
    said = (each for each in statements if not PREPARING.match(each) or b"default" in each or AUTHORIZATION.match(each))
    return [each for each in said if keys.statement(each)]
