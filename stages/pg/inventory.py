"""What a restore would change in a database and what is in its way, asked for a dry run.

Nothing is written: the session is read-only, and waits for nobody's lock.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from .connect import connect, one
from .counting import Live, count_rows
from .inventory_sql import CREATE, DOOMED, EXTENSIONS, LOCK_TABLE, LOCKS, ROLES, TABLES
from .lock import holders
from .preflight import find_tables, with_partitions
from .settings import CONTROL_SCHEMA, PostgresSettings, Table, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from .connect import Connection
    from .survey import SqlFacts

#: ``create``: only the archive has it. ``replace``: both have. ``preserve``: the rows that are there stay. ``stay``:
#: the archive does not know it. ``drop``: the archive does not know it, and it goes with the table it is a part of.
Action: TypeAlias = Literal["create", "replace", "preserve", "stay", "drop"]

#: Names that are no roles.
_KEYWORDS = frozenset({"current_user", "current_role", "session_user", "public"})
#: An identifier that needs no quotes.
_PLAIN = re.compile("[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class TableChange:
    """One table, its rows in the archive and now: None where there is no such table, or where nobody can tell.

    ``name`` has its schema, and quotes where its characters need them. ``exact`` says that ``rows_now`` was counted;
    else it is the server's estimate.
    """

    name: str
    action: Action
    rows_archive: int | None = None
    rows_now: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A session with locks on some of the tables: a restore waits for the end of its transaction.

    A prepared transaction has no ``pid``. ``since`` is when the transaction began, None where the role may not know.
    """

    pid: int | None
    application: str
    user: str
    state: str
    since: datetime | None
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a restore would change in a database, and what is in its way.

    ``dumped_by`` is the older of the major versions of the server and the pg_dump behind the archive, 0 when it does
    not say. ``rights_missing`` are those of the role that connects. ``obstacles`` are objects that the archive does
    not know and that depend on what it drops. ``busy`` are jobs on this database now. ``locks_needed`` is an estimate.
    """

    server: str
    major: int
    dumped_by: int
    role: str
    tables: tuple[TableChange, ...]
    roles_missing: tuple[str, ...]
    extensions_missing: tuple[str, ...]
    rights_missing: tuple[str, ...]
    obstacles: tuple[str, ...]
    locks: tuple[LockHolder, ...]
    busy: tuple[str, ...]
    locks_needed: int
    locks_available: int


def take_inventory(settings: PostgresSettings, archive: SqlFacts, preserve: tuple[str, ...]) -> Inventory:
    """Ask everything; blocking. ``preserve`` names the tables that would keep their rows.

    Raises what ``connect`` raises.
    """
    with connect(settings) as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = {math.ceil(settings.query_timeout * 1000)}")
        preserved = frozenset(with_partitions(connection, find_tables(connection, preserve)))
        connection.execute("SET search_path = ''")  # from here on, names are shown with their schema
        version = connection.info.server_version
        role, superuser = one(connection, "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user")
        live = _tables(connection)
        doomed = _doomed(connection, archive, [live[table].oid for table in preserved if table in live])
        roles = _two(
            connection,
            ROLES,
            roles=sorted(archive.roles - _KEYWORDS),
            owners=sorted(archive.owners - _KEYWORDS),
            right="SET" if version >= 160000 else "MEMBER",
        )
        extensions = _two(connection, EXTENSIONS, extensions=sorted(archive.extensions), superuser=superuser)
        falling = {oid for what, _, oid in doomed if what == "falls"}
        actions = _actions(set(map(_home, archive.tables)), live, preserved, falling)
        touched = [each.oid for each in live.values() if actions[each.table] != "stay"]
        return Inventory(
            server=f"{version // 10000}.{version % 10000}",
            major=version // 10000,
            dumped_by=min(archive.versions, default=0),
            role=role,
            roles_missing=tuple(name for what, name in roles if what == "missing"),
            extensions_missing=tuple(name for what, name in extensions if what == "missing"),
            rights_missing=(
                *(f"ownership of {text}" for what, text, _ in doomed if what == "foreign"),
                *(f"SET ROLE to {name}" for what, name in roles if what == "other"),
                *(f"superuser, to create the extension {name}" for what, name in extensions if what == "forbidden"),
                *_create(connection, archive),
            ),
            obstacles=tuple(text for what, text, _ in doomed if what == "obstacle"),
            locks=_locks(connection, touched),
            busy=tuple(holders(connection)),
            locks_needed=archive.objects + len(touched),
            locks_available=one(connection, LOCK_TABLE)[0],
            tables=tuple(_changes(connection, archive, live, actions)),  # last: it limits the session's time
        )


def _tables(connection: Connection) -> dict[Table, Live]:
    rows = connection.execute(TABLES, (CONTROL_SCHEMA,)).fetchall()
    live = (Live(Table(schema, name), oid, *rest) for oid, schema, name, *rest in rows)
    return {each.table: each for each in live}


def _doomed(connection: Connection, archive: SqlFacts, preserved: list[int]) -> list[tuple[str, str, int]]:
    """What goes, what is in the way and what belongs to somebody else, see ``DOOMED``."""
    named = [("relation", _home(each).schema, each.name) for each in archive.tables | archive.relations]
    named += [("routine", _home(each).schema, each.name) for each in archive.routines]
    named += [("type", _home(each).schema, each.name) for each in archive.types]
    named += [("schema", "", name) for name in archive.schemas]
    named += [("extension", "", name) for name in archive.extensions]
    kinds, schemas, names = ([each[n] for each in named] for n in range(3))
    rows = connection.execute(
        DOOMED, {"kinds": kinds, "schemas": schemas, "names": names, "preserved": preserved}
    ).fetchall()
    return [(what, text, oid) for what, text, oid in rows]


def _two(connection: Connection, question: str, **values: object) -> list[tuple[str, str]]:
    return [(what, name) for what, name in connection.execute(question, values)]


def _create(connection: Connection, archive: SqlFacts) -> Iterator[str]:
    """The rights to create that are missing: in the schemas that the archive does not make, and those for schemas."""
    made = archive.tables | archive.relations | archive.routines | archive.types
    used = {_home(each).schema for each in made}
    for what, name in _two(connection, CREATE, schemas=sorted(used - archive.schemas)):
        if what == "schema" or archive.schemas or archive.extensions:
            yield f"CREATE on {what} {name}"


def _locks(connection: Connection, tables: list[int]) -> tuple[LockHolder, ...]:
    rows = connection.execute(LOCKS, {"tables": tables}).fetchall()
    return tuple(
        LockHolder(pid, application, user, state, since, tuple(names))
        for pid, application, user, state, since, names in rows
    )


def _actions(
    archived: Collection[Table], live: dict[Table, Live], preserved: Collection[Table], falling: Collection[int]
) -> dict[Table, Action]:
    """What happens to every table of the archive and of the database."""

    def action(table: Table) -> Action:
        if table not in live:
            return "create"
        if table in preserved:
            return "preserve"
        if table in archived:
            return "replace"
        return "drop" if live[table].oid in falling else "stay"

    return {table: action(table) for table in sorted({*archived, *live})}


def _changes(
    connection: Connection, archive: SqlFacts, live: dict[Table, Live], actions: dict[Table, Action]
) -> Iterator[TableChange]:
    stored: Counter[Table] = Counter()
    for table, rows in archive.rows.items():
        stored[_home(table)] += rows
    counted = count_rows(connection, live.values())
    for table, action in actions.items():
        now, exact = counted.get(table, (None, True))
        yield TableChange(_shown(table), action, stored[table] if action in ("create", "replace") else None, now, exact)


def _shown(table: Table) -> str:
    parts = (table.schema, table.name)
    return ".".join(part if _PLAIN.fullmatch(part) else quote_identifier(part) for part in parts)


def _home(table: Table) -> Table:
    """A table of the archive with its schema; other writers than pg_dump may leave out the usual one."""
    return table if table.schema else Table("public", table.name)
