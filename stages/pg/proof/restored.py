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


@dataclass(frozen=True, slots=True)
class _Constraint:
    """One of a table or a domain, with the numbers of those that it comes from."""

    number: int
    named: tuple[Table, str]
    valid: bool
    enforced: bool
    origins: frozenset[int]


def look_at_objects(settings: PostgresSettings, expected: Expected) -> Objects:
    """Compare. Raises as ``connect``."""
    facts = expected.facts
    with connect(settings) as connection:
        server = str(one(connection, "SHOW server_version")[0])
        relations = connection.execute(_RELATIONS).fetchall()
        constraints = [
            _Constraint(number, (Table(schema, of), name), valid, enforced, frozenset(origins))
            for number, schema, of, name, valid, enforced, origins in connection.execute(_CONSTRAINTS)
        ]
        routines = connection.execute(_ROUTINES).fetchall()
        there = {Table(schema, name) for schema, name, _, _ in relations}
        tables = {Table(schema, name) for schema, name, kind, _ in relations if kind in _TABLES}
        indexes = {Table(schema, name): valid for schema, name, kind, valid in relations if kind in _INDEXES}
        # Of a partitioned table's index the source may have been as unfinished.
        broken = {Table(schema, name) for schema, name, kind, valid in relations if kind == "i" and not valid}
        named = {each.named for each in constraints}
        return Objects(
            server=server,
            tables_missing=_names(facts.tables - tables),
            tables_extra=_names(tables - facts.tables),
            relations_missing=_names(facts.relations - there),
            sequences=len(expected.sequences),
            sequences_wrong=_names(_wrong_sequences(connection, expected)),
            constraints=len(named),
            constraints_missing=_of_tables(expected.constraints.keys() - named),
            constraints_invalid=_of_tables(_unproven(constraints, expected)),
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


def _unproven(constraints: Iterable[_Constraint], expected: Expected) -> set[tuple[Table, str]]:
    """Constraints that are not valid though the archive does not leave them so.

    What it adds as NOT VALID is as it was, and so is what comes from that. What is not enforced is never valid.
    """
    doubtful = [each for each in constraints if not each.valid]
    unproven = {each.number: each for each in doubtful if expected.constraints.get(each.named, each.enforced)}
    as_it_was = {each.number for each in doubtful} - unproven.keys()
    # What the archive adds by its name speaks for itself.
    derived = [each for each in unproven.values() if each.named not in expected.constraints]
    while found := [each.number for each in derived if each.number in unproven and each.origins & as_it_was]:
        as_it_was.update(found)
        for number in found:
            del unproven[number]
    return {each.named for each in unproven.values()}


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
