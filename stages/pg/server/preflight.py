"""What must be true before a backup or a restore begins, asked in one short connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import DatabaseError
from .connect import Connection, connect, one
from .questions import answered, side_by_side
from .rights import cure, forbidden, unreadable, unrestorable
from .settings import CONTROL_SCHEMA, PostgresSettings, Table
from .tools import Tool, find_tool, require_dump_version

#: The oldest server that a restore works with.
OLDEST = 130000
#: What to do when a restore was sent to a standby.
STANDBY = "Connect to its primary (target_session_attrs=read-write in the connection string finds it)."


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Facts about the database and the role that connects.

    ``size`` is in bytes on the server's disk, ``server_version`` like 180006. ``replica`` says whether the
    role may set ``session_replication_role``, ``standby`` that the server follows a primary and takes no writes.
    """

    server_version: int
    database: str
    role: str
    size: int
    encoding: str
    superuser: bool
    replica: bool
    standby: bool = False

    @property
    def server(self) -> str:
        """The server's version for people, for example ``18.6``."""
        return f"{self.server_version // 10000}.{self.server_version % 10000}"


@dataclass(frozen=True, slots=True)
class Rights:
    """What this role lacks for a backup and for a restore, as far as that is known without an archive.

    ``hint`` says what to grant for a backup.
    """

    facts: DatabaseFacts
    backup: tuple[str, ...]
    restore: tuple[str, ...]
    hint: str = ""


async def check_backup(settings: PostgresSettings, *, include_audit: bool = True) -> tuple[Tool, DatabaseFacts]:
    """Everything a dump needs: a pg_dump that is new enough, the server, and the right to read all that it reads.

    The rows of preserved tables are not read, nor those of the audit log unless ``include_audit``.

    Raises ``ToolError``, ``DatabaseUnreachable`` or ``DatabaseForbidden``, which names what cannot be read.
    """
    tool, (facts, missing) = await side_by_side(
        lambda: find_tool(settings.pg_dump),
        lambda: answered(_ask_backup, settings, include_audit, limit=settings.query_timeout),
    )
    require_dump_version(tool, facts.server_version)
    if missing:
        raise forbidden(facts.role, missing)
    return tool, facts


def require_server(version: int) -> None:
    """Refuse a server that a restore cannot ask what it must. Raises ``DatabaseError``."""
    if version < OLDEST:
        raise DatabaseError(
            f"The server is PostgreSQL {version // 10000}.{version % 10000}: "
            f"a restore needs {OLDEST // 10000} or newer.",
            hint="Restore into a newer server; archives of older ones can be restored there.",
            effect="nothing",
        )


async def check_dump_tool(settings: PostgresSettings, server_version: int) -> Tool:
    """The pg_dump, when it is new enough for the server. Raises ``ToolError``."""
    tool = await find_tool(settings.pg_dump)
    require_dump_version(tool, server_version)
    return tool


async def ask_rights(settings: PostgresSettings) -> Rights:
    """Ask the server for both. Raises ``DatabaseUnreachable`` or ``DatabaseForbidden``, when the login is refused."""

    def ask() -> tuple[DatabaseFacts, list[tuple[str, str]], list[str]]:
        with connect(settings) as connection:
            facts, missing = _ask(connection, settings, include_audit=True)
            return facts, missing, [] if facts.superuser else unrestorable(connection)

    facts, missing, restore = await answered(ask, limit=settings.query_timeout)
    if facts.standby:
        restore = ["a server that takes writes: this one is a standby", *restore]
    return Rights(facts, tuple(name for _, name in missing), tuple(restore), cure(facts.role, missing))


def _ask_backup(settings: PostgresSettings, include_audit: bool) -> tuple[DatabaseFacts, list[tuple[str, str]]]:
    with connect(settings) as connection:
        return _ask(connection, settings, include_audit=include_audit)


def _ask(
    connection: Connection, settings: PostgresSettings, *, include_audit: bool
) -> tuple[DatabaseFacts, list[tuple[str, str]]]:
    facts, rowless = _facts(connection), tables_without_rows(connection, settings, include_audit)
    connection.execute("SET search_path = ''")  # what is asked now means the server's own functions
    return facts, unreadable(connection, rowless)


async def check_restore(settings: PostgresSettings, *, writes: bool = True) -> DatabaseFacts:
    """Everything a restore needs before the archive is known: a server that is new enough, and that takes writes.

    A dry run does not write.

    Raises ``DatabaseUnreachable``, ``DatabaseForbidden``, or ``DatabaseError`` for an old server or a standby.
    """
    facts = await ask_facts(settings)
    require_server(facts.server_version)
    if writes:
        require_primary(settings, facts)
    return facts


def require_primary(settings: PostgresSettings, facts: DatabaseFacts) -> None:
    """Raise ``DatabaseError`` when the server is a standby, which takes no writes."""
    if facts.standby:
        raise DatabaseError(f"The server is a standby, which takes no writes ({settings.where()}).", hint=STANDBY)


async def ask_facts(settings: PostgresSettings) -> DatabaseFacts:
    """Ask the server. Raises ``DatabaseUnreachable`` or ``DatabaseForbidden``."""

    def ask() -> DatabaseFacts:
        with connect(settings) as connection:
            return _facts(connection)

    return await answered(ask, limit=settings.query_timeout)


def _facts(connection: Connection) -> DatabaseFacts:
    database, role, size, encoding, superuser, standby = one(
        connection,
        "SELECT current_database(), current_user::text, pg_database_size(current_database()),"
        " pg_encoding_to_char(encoding), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
        " pg_is_in_recovery()"
        " FROM pg_database WHERE datname = current_database()",
    )
    version = connection.info.server_version
    replica = bool(superuser)
    if not replica and version >= 150000:
        query = "SELECT has_parameter_privilege('session_replication_role', 'SET')"
        replica = bool(one(connection, query)[0])
    return DatabaseFacts(version, database, role, size, encoding, bool(superuser), replica, standby)


def tables_without_rows(connection: Connection, settings: PostgresSettings, include_audit: bool) -> tuple[Table, ...]:
    """The tables that a dump takes without their rows: the preserved ones with all below them, and the audit log's."""
    names = settings.preserve + (() if include_audit else settings.audit)
    return with_partitions(connection, find_tables(connection, names))


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
    """These tables with all their partitions and inheritance children."""
    rows = connection.execute(
        "WITH RECURSIVE tree(oid) AS (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name"
        " UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = oid)"
        " SELECT n.nspname, c.relname FROM tree JOIN pg_class c USING (oid)"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2",
        ([str(table) for table in tables],),
    ).fetchall()
    return tuple(Table(schema, name) for schema, name in rows)


def with_children(connection: Connection, tables: Iterable[Table]) -> tuple[Table, ...]:
    """These tables, then their inheritance children, parents first: a row of a child is a row of its parent as well.

    Partitions are not counted as children: they are a part of their table.
    """
    mine = tuple(tables)
    rows = connection.execute(
        "WITH RECURSIVE child(oid, depth) AS (SELECT to_regclass(name)::oid, 0 FROM unnest(%s::text[]) AS name"
        " UNION SELECT inhrelid, depth + 1 FROM pg_inherits JOIN child ON inhparent = oid)"
        " SELECT n.nspname, c.relname"
        " FROM child JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE c.relkind = 'r' AND NOT c.relispartition AND depth > 0 GROUP BY 1, 2 ORDER BY max(depth), 1, 2",
        ([str(table) for table in mine],),
    ).fetchall()
    return tuple(dict.fromkeys((*mine, *(Table(schema, name) for schema, name in rows))))
