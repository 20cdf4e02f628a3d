"""What a restore of some tables would meet, for a dry run: read-only questions, and no lock is waited for. Blocking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from ..inventory.counting import Live as Countable
from ..inventory.counting import count_rows
from ..inventory.inventory import TABLES
from ..server.connect import connect, one
from ..server.lock import staying
from ..server.script import script
from ..server.settings import CONTROL_SCHEMA, Table
from .definition import named_parts
from .functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..server.connect import Connection
    from ..server.settings import PostgresSettings
    from .definition import Relation
    from .session import Plan

_IN_THE_WAY = script(__file__, "in_the_way")
_NEEDED = script(__file__, "needed")
_KEYS = script(__file__, "concerned_keys")
_FUNCTIONS = FUNCTIONS.replace("%", "%%").replace("$1", "%s")
#: Whether an object of this type, name and arguments is there: an error when it is not.
_THERE = "SELECT FROM pg_catalog.pg_get_object_address(%s, %s::text[], %s::text[])"
#: Whether something has a name, and is no part of relations that are dropped.
_CALLED = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s) AND c.oid <> ALL (%s::oid[])
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid AND i.indrelid = ANY (%s::oid[]))
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = d.classid AND d.refobjid = ANY (%s::oid[]) AND d.deptype IN ('a', 'i')
    )
)
"""
_OWNED = "SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = %s::pg_catalog.regclass"
_OF_OTHERS = """
SELECT oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc
WHERE oid = ANY (%s::oid[]) AND NOT pg_catalog.pg_has_role(proowner, 'USAGE') ORDER BY 1
"""
_MAY_MAKE = """
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE nspname = ANY (%s::text[]) AND NOT pg_catalog.has_schema_privilege(oid, 'CREATE') ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key: its table and its name as SQL writes them, what it is, and whether the role may make it again."""

    table: str
    name: str
    definition: str
    ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What there is: rows now (with whether they were counted), keys of other tables, what is in the way.

    ``functions`` would be dropped and made again. ``in_the_way`` depends on what would be dropped and is not made
    again; ``taken`` are names of the tables, or of their sequences and indexes, that something else has; ``missing`` is
    what the tables need and the database does not have; ``foreign`` are tables, views and functions of others,
    ``closed`` schemas in which the role may make nothing; ``busy`` are jobs that work on the database now.
    """

    rows: dict[Table, tuple[int | None, bool]]
    keys: tuple[Key, ...]
    functions: tuple[str, ...]
    in_the_way: tuple[str, ...]
    taken: tuple[str, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    closed: tuple[str, ...]
    busy: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needed:
    """What the archive's tables need besides themselves, the foreign keys that they have there, and their indexes."""

    objects: list[tuple[object, ...]]
    keys: tuple[Key, ...]
    indexes: tuple[Table, ...]


def needed(scratch: PostgresSettings, relations: Sequence[Relation]) -> Needed:
    """Ask the archive's schema. Raises what ``connect`` raises."""
    with connect(scratch) as connection:
        connection.execute("SET search_path = ''")
        oids = [each.oid for each in relations]
        rows = connection.execute(_NEEDED, {"tree": oids}).fetchall()
        indexes = tuple(name for word, name in named_parts(connection, relations) if word == "INDEX")
        return Needed(rows, _keys(connection, oids, own=True), indexes)


def look_ahead(settings: PostgresSettings, plan: Plan, need: Needed) -> Outlook:
    """Ask the target. Raises what ``connect`` raises."""
    live, views = plan.live.definition.relations, () if plan.keep else plan.live.dependents.views
    gone = [*(each.oid for each in plan.dropped), *(each.oid for each in views)]
    with connect(settings) as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = {math.ceil(settings.query_timeout * 1000)}")
        connection.execute("SET search_path = ''")
        oids = [each.oid for each in live]
        functions = connection.execute(_FUNCTIONS, (gone,)).fetchall()
        dropped = {"gone": gone, "functions": [int(number) for number, *_ in functions]}
        touched = [str(each.table) for each in live] + [str(each.name) for each in views] + list(plan.above)
        every = connection.execute(TABLES, (CONTROL_SCHEMA,)).fetchall()
        countable = [Countable(Table(schema, name), oid, *rest) for oid, schema, name, *rest in every if oid in oids]
        made = () if plan.keep else {each.schema for each in plan.definition.tables}
        return Outlook(
            keys=_keys(connection, oids, own=False),
            functions=tuple(dict.fromkeys(name for _, name, _ in functions)),
            in_the_way=tuple(text for (text,) in connection.execute(_IN_THE_WAY, dropped).fetchall()),
            taken=() if plan.keep else tuple(_taken(connection, plan, need)),
            missing=() if plan.keep else tuple(_missing(connection, need.objects)),
            foreign=(
                *(name for name in touched if not one(connection, _OWNED, (name,))[0]),
                *(name for (name,) in connection.execute(_OF_OTHERS, (dropped["functions"],)).fetchall()),
            ),
            closed=tuple(name for (name,) in connection.execute(_MAY_MAKE, (sorted(made),)).fetchall()),
            busy=tuple(staying(connection)),
            rows=count_rows(connection, countable),  # last: it limits the session's time
        )


def _keys(connection: Connection, oids: Sequence[int], *, own: bool) -> tuple[Key, ...]:
    return tuple(Key(*row) for row in connection.execute(_KEYS, {"tree": oids, "own": own}).fetchall())


def _taken(connection: Connection, plan: Plan, need: Needed) -> Iterable[str]:
    gone = [each.oid for each in plan.dropped]
    for each in (*plan.definition.tables, *sorted(plan.definition.owned), *need.indexes):
        if one(connection, _CALLED, (str(each), gone, gone, gone))[0]:
            yield str(each)


def _missing(connection: Connection, objects: Iterable[tuple[object, ...]]) -> Iterable[str]:
    for kind, names, arguments, text in objects:
        try:
            connection.execute(_THERE, (kind, names, arguments))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:  # each kind of object has an SQLSTATE of its own
            yield str(text)
