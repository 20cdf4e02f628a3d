"""Partitions that come back without the table that they are of: what they are by themselves, and how they are attached.

In the scratch database they are detached, and pg_dump says what they are then; the server says by what bounds they were
attached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..server.connect import connect, one
from ..server.settings import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..server.settings import PostgresSettings
    from .definition import Definition, Relation

#: The foreign keys that a partition has of its table: they come back with it.
_KEYS = """
SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint
WHERE contype = 'f' AND conrelid = %s AND conparentid <> 0
"""
#: The tables above a partition, up to the uppermost.
_ABOVE = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_partition_ancestors(%s) AS a(relid)
JOIN pg_catalog.pg_class c ON c.oid = a.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'p'
"""
_BOUND = "SELECT pg_catalog.pg_get_expr(relpartbound, oid) FROM pg_catalog.pg_class WHERE oid = %s"


def ancestors(settings: PostgresSettings, relations: Iterable[Relation]) -> list[list[Table]]:
    """For each the tables that it is a partition of, next or through others. Blocking. Raises as ``connect``."""
    with connect(settings) as connection:
        return [[Table(*row) for row in connection.execute(_ABOVE, (each.oid,)).fetchall()] for each in relations]


def alone(relations: Iterable[Relation]) -> list[Relation]:
    """The partitions among these whose table is not."""
    return [each for each in relations if each.partition and each.above]


def detach(settings: PostgresSettings, partitions: Iterable[Relation]) -> tuple[bytes, ...]:
    """Detach these in a scratch database; the statements that attach them again. Blocking. Raises as ``connect``."""
    statements = []
    with connect(settings) as connection:
        connection.execute("SET search_path = ''")
        for each in partitions:
            (above,), (bound,) = each.above, one(connection, _BOUND, (each.oid,))
            statements.append(f"ALTER TABLE ONLY {above} ATTACH PARTITION {each.table} {bound}".encode())
            keys = connection.execute(_KEYS, (each.oid,)).fetchall()
            connection.execute(f"ALTER TABLE {above} DETACH PARTITION {each.table}".encode())
            for (key,) in keys:
                connection.execute(f"ALTER TABLE {each.table} DROP CONSTRAINT IF EXISTS {key}".encode())
    return tuple(statements)


def behind(attached: Definition, detached: Definition) -> tuple[bytes, ...]:
    """What a partition has only while it is attached: states of the triggers of its table, places of its indexes."""
    return tuple(each for each in attached.behind if each not in detached.behind)
