"""What a restored database has beside its rows, held against what the archive's SQL says. Blocking; for a thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ..server.connect import Connection, connect, one
from ..server.script import script
from ..server.settings import PostgresSettings, Table

if TYPE_CHECKING:
    from .expected import Expected

_RELATIONS = script(__file__, "relations")
_CONSTRAINTS = script(__file__, "constraints")
_ROUTINES = script(__file__, "routines")
#: Kinds of relations, as the catalog has them.
_TABLES, _INDEXES = {"r", "p", "f"}, {"i", "I"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """How many objects of each kind were looked for, and which did not come back as the archive has them.

    ``unusable`` routines are those whose body the server itself refuses, with its SQLSTATE.
    """

    server: str
    tables_missing: tuple[str, ...]
    tables_extra: tuple[str, ...]
    relations_missing: tuple[str, ...]
    sequences: int
    sequences_wrong: tuple[str, ...]
    constraints: int
    constraints_missing: tuple[str, ...]
    constraints_invalid: tuple[str, ...]
    indexes: int
    indexes_missing: tuple[str, ...]
    indexes_invalid: tuple[str, ...]
    routines: int
    routines_missing: tuple[str, ...]
    routines_unusable: tuple[str, ...]


def look_at_objects(settings: PostgresSettings, expected: Expected) -> Objects:
    """Compare. Raises as ``connect``."""
    facts = expected.facts
    with connect(settings) as connection:
        server = str(one(connection, "SHOW server_version")[0])
        relations = connection.execute(_RELATIONS).fetchall()
        constraints = connection.execute(_CONSTRAINTS).fetchall()
        routines = connection.execute(_ROUTINES).fetchall()
        there = {Table(schema, name) for schema, name, _, _ in relations}
        tables = {Table(schema, name) for schema, name, kind, _ in relations if kind in _TABLES}
        indexes = {Table(schema, name): valid for schema, name, kind, valid in relations if kind in _INDEXES}
        # Of a partitioned table's index the source may have been as unfinished.
        broken = {Table(schema, name) for schema, name, kind, valid in relations if kind == "i" and not valid}
        named = {(Table(schema, table), name): valid for schema, table, name, valid in constraints}
        # What the archive adds as NOT VALID is as it was.
        unproven = {each for each, valid in named.items() if not valid and expected.constraints.get(each, True)}
        return Objects(
            server=server,
            tables_missing=_names(facts.tables - tables),
            tables_extra=_names(tables - facts.tables),
            relations_missing=_names(facts.relations - there),
            sequences=len(expected.sequences),
            sequences_wrong=_names(_wrong_sequences(connection, expected)),
            constraints=len(named),
            constraints_missing=_of_tables(expected.constraints.keys() - named.keys()),
            constraints_invalid=_of_tables(unproven),
            indexes=len(indexes),
            indexes_missing=_names(facts.indexes - indexes.keys()),
            indexes_invalid=_names(broken),
            routines=len(routines),
            routines_missing=_names(facts.routines - {Table(schema, name) for _, schema, name, _, _ in routines}),
            routines_unusable=tuple(_unusable(connection, routines)),
        )


def _names(tables: Iterable[Table]) -> tuple[str, ...]:
    return tuple(f"{table.schema}.{table.name}".lstrip(".") for table in sorted(tables))


def _of_tables(constraints: Iterable[tuple[Table, str]]) -> tuple[str, ...]:
    return tuple(f"{table.schema}.{table.name}: {name}".lstrip(".") for table, name in sorted(constraints))


def _wrong_sequences(connection: Connection, expected: Expected) -> set[Table]:
    wrong = set()
    for sequence, value in expected.sequences.items():
        question = sql.SQL("SELECT last_value, is_called FROM {}").format(
            sql.Identifier(sequence.schema or "public", sequence.name)
        )
        try:
            found = one(connection, question)
        except psycopg.errors.UndefinedTable:
            found = ()
        if tuple(found) != value:
            wrong.add(sequence)
    return wrong


def _unusable(connection: Connection, routines: Iterable[tuple[object, ...]]) -> Iterable[str]:
    """Routines whose language refuses their body, wherever they look for names."""
    schemas = sorted({str(schema) for _, schema, _, _, _ in routines})
    connection.execute("SET check_function_bodies = on")
    for number, schema, name, arguments, validator in routines:
        if not validator:
            continue
        # A database may have a search_path of its own, which is no part of an archive.
        own = [str(schema), "public"]
        reason = ""
        for path in (["public"], own, [*own, *schemas]):
            connection.execute(sql.SQL("SET search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, path))))
            reason = _refused(connection, str(validator), number)
            if not reason:
                break
        if reason:
            yield f"{schema}.{name}({arguments}): SQLSTATE {reason}"


def _refused(connection: Connection, validator: str, number: object) -> str:
    """Why a routine's language refuses it: an SQLSTATE; empty when it does not. Raises when the connection is lost."""
    try:
        connection.execute(f"SELECT {validator}(%s::pg_catalog.oid)".encode(), (number,))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as exc:
        return exc.sqlstate or "unknown"
    return ""
