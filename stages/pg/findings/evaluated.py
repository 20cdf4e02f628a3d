"""Routines that a restore runs while it loads rows, and that will not find what they name, or not find it yet.

A restore's search path is empty. Generated columns, checks, indexes, partition keys and materialized views are computed
then, and a routine whose body is kept as text looks up its names there and then. It is read here, not run: whoever may
create a function would else have it run by the role of the backup, which may read everything. Bodies in languages other
than SQL and PL/pgSQL are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from ..server.script import script
from ..server.settings import CONTROL_SCHEMA
from .bodies import Names, names_in
from .finding import Finding

if TYPE_CHECKING:
    from ..server.connect import Connection

#: Rows of (routine, kind, description, tables, their schemas and names): what a restore computes by each routine, at
#: first hand or by operators, operator classes, views and other routines.
_USES = script(__file__, "uses")

#: Rows of (routine, schema, name, how it is written, language, body, whether it is an extension's, whether it has a
#: search path of its own), by number or name. A body that was parsed when it was made is empty here.
_BODIES = script(__file__, "bodies")

#: Rows of (routine, schema, table) that the catalog knows of: what parsed bodies read.
_READS = """
SELECT d.objid::bigint, n.nspname::text, c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.objid = ANY (%s::bigint[]::oid[])
"""

#: Rows of (kind, name, schemas): which of the names are found in other schemas, and not in the server's own.
_HOMES = script(__file__, "homes")

#: Rows of (routine, kind, name, schemas): which functions and operators that the server has as well are meant in
#: another schema, by the types of the routine's arguments and result: one of theirs, or all that it takes.
_SHADOWED = script(__file__, "shadowed")


@dataclass
class _Routine:
    written: str
    language: str
    extension: bool
    names: Names
    missing: set[tuple[str, str]] = field(default_factory=set)  # kind and name
    shadowed: set[tuple[str, str]] = field(default_factory=set)  # the same, where the server has one too
    schemas: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Use:
    routine: int
    kind: str
    what: str
    tables: tuple[tuple[int, str, str], ...]


def find_evaluated(connection: Connection) -> Iterator[Finding]:
    """What a restore computes by routines that will not find what they name. Raises what ``connect`` maps.

    The session's search path is empty, and it should have short limits for statements and locks.
    """
    uses = [
        _Use(routine, kind, what, tuple(zip(oids or (), schemas or (), names or (), strict=True)))
        for routine, kind, what, oids, schemas, names in connection.execute(_USES, {"control": CONTROL_SCHEMA})
    ]
    routines, called = _read(connection, {use.routine for use in uses})
    _look_up(connection, routines)
    rows = _Rows(connection)
    for use in uses:
        for number in sorted(called.get(use.routine, ())):
            yield from _findings_of(connection, use, routines[number], rows)


def _read(connection: Connection, wanted: set[int]) -> tuple[dict[int, _Routine], dict[int, set[int]]]:
    """The routines and those whose names they call, however deep; and for each of the first all that it reaches."""
    routines: dict[int, _Routine] = {}
    by_name: dict[tuple[str, str], set[int]] = {}
    asked: set[tuple[str, str]] = set()
    calls: set[tuple[str, str]] = set()
    oids = wanted
    while oids or calls:
        values = {"oids": list(oids), "schemas": [each[0] for each in calls], "names": [each[1] for each in calls]}
        found = connection.execute(_BODIES, values).fetchall()
        asked |= calls
        oids = set()
        calls = set()
        for number, schema, name, written, language, body, extension, careful in found:
            if number not in routines:
                routines[number] = made = _Routine(written, language, extension, names_in(body))
                made.names.careful |= careful
                calls |= made.names.calls - asked
                by_name.setdefault((schema, name), set()).add(number)
    for number, schema, name in connection.execute(_READS, ([*routines],)):
        routines[number].names.reads.add((schema, name))
    called: dict[int, set[int]] = {}
    for number in wanted & routines.keys():
        reached, todo = set[int](), {number}
        while todo:
            reached |= todo
            # One that sets a search path sets it for all that it calls.
            names = {name for each in todo if not routines[each].names.careful for name in routines[each].names.calls}
            todo = {each for name in names for each in by_name.get(name, ())} - reached
        called[number] = reached
    return routines, called


def _look_up(connection: Connection, routines: dict[int, _Routine]) -> None:
    """Collect names that exist and that an empty search path does not find."""
    bare = sorted({each for routine in routines.values() for each in routine.names.bare})
    names = {"kinds": [kind for kind, _ in bare], "names": [name for _, name in bare]}
    homes = {(kind, name): schemas for kind, name, schemas in connection.execute(_HOMES, names)}
    for routine in routines.values():
        if routine.names.careful:
            continue
        for each in routine.names.bare & homes.keys():
            routine.missing.add(each)
            routine.schemas.update(homes[each])
    asked = [
        (number, kind, name)
        for number, routine in routines.items()
        if not routine.names.careful and not routine.missing
        for kind, name in sorted(routine.names.bare)
        if kind in ("function", "operator")
    ]
    values = {key: [each[n] for each in asked] for n, key in enumerate(("routines", "kinds", "names"))}
    for number, kind, name, schemas in connection.execute(_SHADOWED, values):
        routines[number].shadowed.add((kind, name))
        routines[number].schemas.update(schemas)


class _Rows:
    """Whether tables have rows; one that cannot be asked counts as one that has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[int, bool] = {}

    def any(self, tables: Iterable[tuple[int, str, str]]) -> bool:
        return any(self._has(*table) for table in tables)

    def _has(self, oid: int, schema: str, name: str) -> bool:
        if oid not in self._known:
            query = psycopg.sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(psycopg.sql.Identifier(schema, name))
            try:
                row = self._connection.execute(query).fetchone()
            except (psycopg.OperationalError, psycopg.ProgrammingError):
                if self._connection.closed:
                    raise
                row = (True,)
            self._known[oid] = row is None or bool(row[0])
        return self._known[oid]


def _findings_of(connection: Connection, use: _Use, routine: _Routine, rows: _Rows) -> Iterator[Finding]:
    # SQL is planned, and so read, even for an index on nothing; everything else begins with the first row.
    runs = use.kind == "materialized view" or (use.kind == "index" and routine.language == "sql")
    if not runs and not rows.any(use.tables):
        return
    if use.kind == "generated column":
        yield from _order(connection, use, routine, rows)
    if found := routine.missing or routine.shadowed:
        names = ", ".join(f"the {kind} {name}" for kind, name in sorted(found))
        path = ", ".join(sorted(routine.schemas))
        cure = f"ALTER ROUTINE {routine.written} SET search_path = {path}"
        if routine.extension:  # what is altered of an extension is in no dump
            cure = f"Call it from a function of your own that has SET search_path = {path}"
        cure += f"; an archive made before needs restore --search-path {path}"
        how = "does not find" if routine.missing else "takes for the server's own"
        yield Finding(
            "search path",
            use.what,
            f"{routine.written} names {names} without a schema, which a restore with its empty search path {how}"
            + (": it leaves {} NOT VALID." if use.kind == "check" else " and fails, in {}."),
            f"{cure}.",
        )


def _order(connection: Connection, use: _Use, routine: _Routine, rows: _Rows) -> Iterator[Finding]:
    """pg_dump loads tables in the order of schema and name, not of what routines read."""
    bare = [name for kind, name in routine.names.bare if kind == "relation"]
    schemas = [schema for schema, _ in routine.names.reads]
    names = [name for _, name in routine.names.reads]
    found = connection.execute(
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_'"
        " AND (c.relname = ANY (%s::text[])"
        " OR (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[])))",
        (bare, schemas, names),
    ).fetchall()
    own = min((table[1:] for table in use.tables if rows.any([table])), default=None)
    later = [table for table in found if own is not None and tuple(table[1:]) > own and rows.any([tuple(table)])]
    if later and own is not None:
        read = ", ".join(f"{schema}.{name}" for _, schema, name in later)
        yield Finding(
            "order",
            use.what,
            f"{routine.written} reads {read}, whose rows a restore loads later: it computes other values than now, "
            "in {}.",
            "Keep such values by a trigger in an ordinary column.",
        )
