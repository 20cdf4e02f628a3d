"""What must be true before a backup or a restore begins, asked in one short connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DatabaseForbidden
from .connect import Connection, connect, one
from .questions import answered
from .settings import CONTROL_SCHEMA, PostgresSettings, Table
from .tools import Tool, find_tool, require_dump_version, require_restrict

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the server said about the database and the role that connects.

    ``size`` is in bytes on the server's disk, ``server_version`` like 180006. ``preserved`` and ``audit`` are the
    configured tables that exist. ``replica`` says whether the role may set ``session_replication_role``.
    """

    server_version: int
    database: str
    role: str
    size: int
    encoding: str
    superuser: bool
    replica: bool
    preserved: tuple[Table, ...]
    audit: tuple[Table, ...]

    @property
    def server(self) -> str:
        """The server's version for people, for example ``18.6``."""
        return f"{self.server_version // 10000}.{self.server_version % 10000}"


async def check_backup(settings: PostgresSettings) -> tuple[Tool, DatabaseFacts]:
    """Everything a dump needs: a pg_dump that is new enough, the server, and SELECT on every table.

    Raises ``ToolError``, ``DatabaseUnreachable`` or ``DatabaseForbidden``, which names every table that cannot be read.
    """
    tool = await find_tool(settings.pg_dump)

    def ask() -> tuple[DatabaseFacts, list[str]]:
        with connect(settings) as connection:
            return _facts(connection, settings), unreadable(connection)

    facts, missing = await answered(ask, limit=settings.query_timeout)
    require_dump_version(tool, facts.server_version)
    if missing:
        shown = ", ".join(missing[:20]) + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
        raise DatabaseForbidden(
            f'The role "{facts.role}" cannot read {shown}.',
            hint=f'GRANT pg_read_all_data TO "{facts.role}" (and BYPASSRLS where row security is on).',
        )
    return tool, facts


async def check_restore(settings: PostgresSettings) -> tuple[Tool, DatabaseFacts]:
    """Everything a restore needs before the archive is known: a psql that is new enough, and the server.

    Raises ``ToolError``, ``DatabaseUnreachable`` or ``DatabaseForbidden``.
    """
    tool = await find_tool(settings.psql)
    require_restrict(tool)
    return tool, await ask_facts(settings)


async def ask_facts(settings: PostgresSettings) -> DatabaseFacts:
    """Ask the server. Raises ``DatabaseUnreachable`` or ``DatabaseForbidden``."""

    def ask() -> DatabaseFacts:
        with connect(settings) as connection:
            return _facts(connection, settings)

    return await answered(ask, limit=settings.query_timeout)


def _facts(connection: Connection, settings: PostgresSettings) -> DatabaseFacts:
    database, role, size, encoding, superuser = one(
        connection,
        "SELECT current_database(), current_user::text, pg_database_size(current_database()),"
        " pg_encoding_to_char(encoding), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        " FROM pg_database WHERE datname = current_database()",
    )
    version = connection.info.server_version
    replica = bool(superuser)
    if not replica and version >= 150000:
        query = "SELECT has_parameter_privilege('session_replication_role', 'SET')"
        replica = bool(one(connection, query)[0])
    preserved = find_tables(connection, settings.preserve)
    audit = find_tables(connection, settings.audit)
    return DatabaseFacts(version, database, role, size, encoding, bool(superuser), replica, preserved, audit)


def find_tables(connection: Connection, names: Iterable[str]) -> tuple[Table, ...]:
    """The tables that exist under these names, in order.

    A name without a schema means the table that the role's search path finds; when it finds none, every table of
    that name in any other schema: keeping a table too many is the smaller harm.
    """
    found: dict[Table, None] = {}
    for text in names:
        wanted = Table.parse(text)
        rows = connection.execute(
            "SELECT n.nspname, c.relname, c.oid = to_regclass(%(quoted)s)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p') AND n.nspname <> %(control)s"
            " AND (n.nspname = %(schema)s"
            " OR %(schema)s = '' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')"
            " ORDER BY 1",
            {"quoted": str(wanted), "name": wanted.name, "schema": wanted.schema, "control": CONTROL_SCHEMA},
        ).fetchall()
        visible = [row for row in rows if row[2]]
        found.update(dict.fromkeys(Table(row[0], row[1]) for row in visible or rows))
    return tuple(found)


def with_partitions(connection: Connection, tables: Iterable[Table]) -> tuple[Table, ...]:
    """These tables, their partitions and heirs, however deep."""
    rows = connection.execute(
        "WITH RECURSIVE tree(oid) AS (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name"
        " UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = oid)"
        " SELECT n.nspname, c.relname FROM tree JOIN pg_class c USING (oid)"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2",
        ([str(table) for table in tables],),
    ).fetchall()
    return tuple(Table(schema, name) for schema, name in rows)


def with_heirs(connection: Connection, tables: Iterable[Table]) -> tuple[Table, ...]:
    """These tables, and after each other those that inherit from them: a row of an heir is a row of the table as well.

    Partitions are no heirs: they are a part of their table.
    """
    mine = tuple(tables)
    rows = connection.execute(
        "WITH RECURSIVE heir(oid, depth) AS (SELECT to_regclass(name)::oid, 0 FROM unnest(%s::text[]) AS name"
        " UNION SELECT inhrelid, depth + 1 FROM pg_inherits JOIN heir ON inhparent = oid)"
        " SELECT n.nspname, c.relname FROM heir JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE c.relkind = 'r' AND NOT c.relispartition AND depth > 0 GROUP BY 1, 2 ORDER BY max(depth), 1, 2",
        ([str(table) for table in mine],),
    ).fetchall()
    return tuple(dict.fromkeys((*mine, *(Table(schema, name) for schema, name in rows))))


def unreadable(connection: Connection) -> list[str]:
    """What pg_dump would read and this role may not: schemas, tables, sequences, rows hidden by row security."""
    rows = connection.execute(
        """
        WITH mine AS (
            SELECT n.oid, n.nspname FROM pg_namespace n
            WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
        ), relation AS (
            SELECT c.oid, c.relkind, c.relrowsecurity, format('%%I.%%I', n.nspname, c.relname) AS name, n.oid AS schema
            FROM pg_class c JOIN mine n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                            AND d.deptype = 'e')
        )
        SELECT format('schema %%I', nspname) FROM mine
        WHERE NOT has_schema_privilege(oid, 'USAGE') AND EXISTS (SELECT FROM relation WHERE schema = mine.oid)
        UNION ALL
        SELECT CASE relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || name FROM relation
        WHERE NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT')
                               ELSE has_table_privilege(oid, 'SELECT') END
        UNION ALL
        SELECT 'table ' || name || ' (row security)' FROM relation
        WHERE relrowsecurity AND row_security_active(oid) AND has_table_privilege(oid, 'SELECT')
        ORDER BY 1
        """,
        (CONTROL_SCHEMA,),
    ).fetchall()
    return [row[0] for row in rows]
