"""What a restore would change in a database and what is in its way, asked for a dry run.

Nothing is written: the session is read-only, and waits for no lock.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from psycopg.errors import CharacterNotInRepertoire, UndefinedFunction, UntranslatableCharacter

from ..preservation.preserve import silence
from ..server.connect import Connection, connect, one
from ..server.lock import staying
from ..server.preflight import find_tables, with_partitions
from ..server.script import script
from ..server.settings import CONTROL_SCHEMA, PostgresSettings, Table, quote_identifier
from .counting import Live, count_rows
from .named import home
from .obstacles import find_obstacles, find_replaced, find_silent
from .restore_rights import ask_rights

if TYPE_CHECKING:
    from ...errors import Right
    from ..survey import SqlFacts

#: ``create``: only the archive has it. ``replace``: both have. ``preserve``: the rows that are there stay. ``stay``:
#: the archive does not know it. ``drop``: the archive does not know it, and it goes with the table it is a part of.
Action: TypeAlias = Literal["create", "replace", "preserve", "stay", "drop"]

#: Locks of a restore on its temporary tables, and on the tables of the catalog.
OUR_LOCKS = 180

#: Every table of the application; ``%s`` is the schema of our own.
TABLES = script(__file__, "tables")
#: Who holds a lock on one of the tables, which a restore would wait for. A prepared transaction has no pid.
LOCKS = script(__file__, "locks")
#: How many locks the server has room for.
LOCK_TABLE = """
SELECT current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
"""

#: Characters named, at most.
_CHARACTERS = 20

#: An identifier that needs no quotes.
_PLAIN = re.compile("[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class TableChange:
    """One table, its rows in the archive and now: None where there is no such table, or where it is not known.

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
    not know and that depend on what it drops, with rows of their own; ``dropped`` those without, which a restore
    drops, ``loosened`` constraints that come back NOT VALID. ``replaced`` are relations in whose place the archive has
    something of another kind, ``renamed`` indexes and sequences of tables that stay, whose names it needs, ``taken``
    preserved tables in whose place it has something else: a restore refuses. ``subscribed`` are subscriptions that no
    transaction can drop. ``path_missing`` are schemas of the search path that was asked for. ``busy`` are jobs on this
    database now. ``locks_needed`` is an estimate.
    """

    server: str
    major: int
    dumped_by: int
    role: str
    tables: tuple[TableChange, ...]
    roles_missing: tuple[str, ...]
    tablespaces_missing: tuple[str, ...]
    extensions_missing: tuple[str, ...]
    extensions_updated: tuple[str, ...]
    schemas_missing: tuple[str, ...]
    event_triggers: tuple[str, ...]
    encoding: str
    characters_missing: tuple[str, ...]
    rights_missing: tuple[Right, ...]
    obstacles: tuple[str, ...]
    dropped: tuple[str, ...]
    loosened: tuple[str, ...]
    replaced: tuple[str, ...]
    renamed: tuple[str, ...]
    taken: tuple[str, ...]
    subscribed: tuple[str, ...]
    path_missing: tuple[str, ...]
    locks: tuple[LockHolder, ...]
    busy: tuple[str, ...]
    locks_needed: int
    locks_available: int


def take_inventory(
    settings: PostgresSettings, archive: SqlFacts, preserve: tuple[str, ...], search_path: tuple[str, ...] = ()
) -> Inventory:
    """Ask everything; blocking. ``preserve`` names the tables that would keep their rows, ``search_path`` schemas.

    Raises what ``connect`` raises.
    """
    with connect(settings) as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = {math.ceil(settings.query_timeout * 1000)}")
        preserved = frozenset(with_partitions(connection, find_tables(connection, preserve)))
        connection.execute("SET search_path = ''")  # from here on, names are shown with their schema
        version = connection.info.server_version
        live = _tables(connection)
        encoding = connection.info.parameter_status("server_encoding") or ""
        if lacking := _lacking(connection, encoding, sorted(archive.characters)):
            archive = _in_ascii(archive)  # it cannot even be asked for the others
        kept = [live[table].oid for table in preserved if table in live]
        obstacles = find_obstacles(connection, archive, kept)
        drops = (*obstacles.drops, *find_silent(connection, archive, kept))
        renamed, replaced, taken = find_replaced(connection, archive, kept)
        rights = ask_rights(connection, archive, kept)
        falling = {oid for what, _, oid in rights.doomed if what == "falls"}
        actions = _actions(set(map(home, archive.tables)), live, preserved, falling)
        touched = [each.oid for each in live.values() if actions[each.table] != "stay"]
        return Inventory(
            server=f"{version // 10000}.{version % 10000}",
            major=version // 10000,
            dumped_by=min(archive.versions, default=0),
            role=rights.role,
            roles_missing=rights.roles,
            tablespaces_missing=rights.tablespaces,
            extensions_missing=rights.extensions,
            extensions_updated=rights.updated,
            schemas_missing=rights.schemas,
            event_triggers=silence(connection)[1],
            encoding=encoding,
            characters_missing=lacking,
            rights_missing=rights.missing,
            obstacles=obstacles.keeps,
            path_missing=_missing_schemas(connection, set(search_path) - archive.schemas),
            dropped=tuple(text for text, _, again in drops if not again),
            loosened=obstacles.loosened,
            replaced=replaced,
            renamed=renamed,
            taken=taken,
            subscribed=_subscribed(connection, archive.subscriptions),
            locks=_locks(connection, touched),
            busy=tuple(staying(connection)),
            locks_needed=_locks_needed(archive, version) + sum(n for what, _, n in rights.doomed if what == "locks"),
            locks_available=one(connection, LOCK_TABLE)[0],
            tables=tuple(_changes(connection, archive, live, actions)),  # last: it limits the session's time
        )


def _tables(connection: Connection) -> dict[Table, Live]:
    rows = connection.execute(TABLES, (CONTROL_SCHEMA,)).fetchall()
    live = (Live(Table(schema, name), oid, *rest) for oid, schema, name, *rest in rows)
    return {each.table: each for each in live}


def _lacking(connection: Connection, encoding: str, characters: list[str]) -> tuple[str, ...]:
    """Characters that an encoding does not have, some of many, by code point: they may be from a row."""
    found: list[str] = []

    def search(some: list[str]) -> None:
        if not some or len(found) > _CHARACTERS:
            return
        try:
            connection.execute("SELECT convert(%s::bytea, 'UTF8', %s)", ("".join(some).encode(), encoding))
        except (UntranslatableCharacter, CharacterNotInRepertoire):
            if len(some) == 1:
                found.append(f"U+{ord(some[0]):04X}")
            else:
                search(some[: len(some) // 2])
                search(some[len(some) // 2 :])
        except UndefinedFunction:  # no conversion: the restore will fail or not
            return

    search(characters)
    return tuple(found)


def _in_ascii(archive: SqlFacts) -> SqlFacts:
    """The same without the names that are not in ASCII."""

    def plain(names: set[Table]) -> set[Table]:
        return {each for each in names if str(each).isascii()}

    return replace(
        archive,
        tables=plain(archive.tables),
        relations=plain(archive.relations),
        routines=plain(archive.routines),
        types=plain(archive.types),
        indexes=plain(archive.indexes),
        others={(kind, name) for kind, name in archive.others if str(name).isascii()},
        rows={table: rows for table, rows in archive.rows.items() if str(table).isascii()},
        schemas=set(filter(str.isascii, archive.schemas)),
        extensions=set(filter(str.isascii, archive.extensions)),
        roles=set(filter(str.isascii, archive.roles)),
        tablespaces=set(filter(str.isascii, archive.tablespaces)),
        grantors=set(filter(str.isascii, archive.grantors)),
        parameters=set(filter(str.isascii, archive.parameters)),
        commented=set(filter(str.isascii, archive.commented)),
        owners=set(filter(str.isascii, archive.owners)),
        owned={each for each in archive.owned if "".join(each).isascii()},
        event_triggers=set(filter(str.isascii, archive.event_triggers)),
    )


def _subscribed(connection: Connection, names: Collection[str]) -> tuple[str, ...]:
    """Subscriptions with a slot at their publisher."""
    rows = connection.execute(
        "SELECT subname::text FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
        " WHERE d.datname = current_database() AND subslotname IS NOT NULL AND subname = ANY (%s) ORDER BY 1",
        (sorted(names),),
    )
    return tuple(name for (name,) in rows)


def _missing_schemas(connection: Connection, names: Collection[str]) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) name WHERE name NOT IN (SELECT nspname FROM pg_namespace) ORDER BY 1",
        (sorted(names),),
    )
    return tuple(name for (name,) in rows)


def _locks_needed(archive: SqlFacts, version: int) -> int:
    """An estimate of the locks on what the archive makes; what something new depends on is locked since version 18."""
    others = archive.objects if version >= 180000 else len(archive.routines)
    return OUR_LOCKS + archive.relations_made + others


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
        stored[home(table)] += rows
    counted = count_rows(connection, live.values())
    for table, action in actions.items():
        now, exact = counted.get(table, (None, True))
        yield TableChange(_shown(table), action, stored[table] if action in ("create", "replace") else None, now, exact)


def _shown(table: Table) -> str:
    parts = (table.schema, table.name)
    return ".".join(part if _PLAIN.fullmatch(part) else quote_identifier(part) for part in parts)
