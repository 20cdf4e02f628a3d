"""The roles that a database depends on: recorded, and made where they are missing. All of it blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from ....formats.v2.recorded import Role
from ...errors import DatabaseForbidden, Right
from ..server.connect import Connection, connect

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

_QUESTION = (Path(__file__).parent / "dependent_roles.sql").read_bytes()
#: Settings that are lists of names, each a value of its own in SQL, as pg_dumpall knows them.
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_ELEMENT = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
_OPTIONS = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")


def roles_of(settings: PostgresSettings) -> tuple[Role, ...]:
    """The roles that own something in the database or have a right on it, and those that they are members of.

    With ``role_passwords`` of the settings also what the server keeps of their passwords. Raises ``DatabaseError``,
    and ``DatabaseForbidden`` for a role that may not read that.
    """
    with connect(settings) as connection:
        return roles_in(connection, settings)


def roles_in(connection: Connection, settings: PostgresSettings) -> tuple[Role, ...]:
    """The same, by a connection that is there. Raises what ``connect`` maps, and ``DatabaseForbidden`` likewise."""
    rows = connection.execute(_QUESTION).fetchall()
    passwords = _passwords(connection) if settings.role_passwords else {}
    return tuple(
        Role(
            name=name,
            password=passwords.get(name) or "",
            **dict(zip(_OPTIONS, options[:7], strict=True)),
            connection_limit=options[7],
            valid_until=options[8],
            member_of=tuple(options[9]),
            settings=tuple(options[10]),
        )
        for name, *options in rows
    )


def _passwords(connection: Connection) -> dict[str, str | None]:
    """What the server keeps of each role's password, or null."""
    answer = connection.execute("SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')").fetchone()
    if answer != (True,):
        right = Right("SELECT", "pg_catalog.pg_authid")
        raise DatabaseForbidden(
            "The role may not read what the server keeps of passwords, which role_passwords in [database] asks for.",
            hint=f"Back up as a superuser, grant it {right}, or set role_passwords = false.",
            rights=(right,),
        )
    return dict(connection.execute("SELECT rolname, rolpassword FROM pg_catalog.pg_authid").fetchall())


def missing_roles(settings: PostgresSettings, roles: Sequence[Role]) -> list[Role]:
    """Those that the server does not have. Raises ``DatabaseError``."""
    with connect(settings) as connection:
        there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    return [role for role in roles if role.name not in there]


def make_roles(settings: PostgresSettings, roles: Sequence[Role]) -> None:
    """Make them, in one transaction, with the passwords that are recorded. Raises ``DatabaseError``."""
    with connect(settings) as connection, connection.transaction():
        for role in roles:
            connection.execute(_create(role))
        for role in roles:
            _complete(connection, role)


def _create(role: Role) -> sql.Composed:
    options: list[sql.Composable] = [
        sql.SQL(each.upper() if getattr(role, each) else f"NO{each.upper()}") for each in _OPTIONS
    ]
    options.append(sql.SQL("CONNECTION LIMIT {}").format(role.connection_limit))
    if role.valid_until:
        options.append(sql.SQL("VALID UNTIL {}").format(role.valid_until))
    if role.password:
        options.append(sql.SQL("PASSWORD {}").format(role.password))
    return sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role.name), sql.SQL(" ").join(options))


def _complete(connection: Connection, role: Role) -> None:
    name = sql.Identifier(role.name)
    for group in role.member_of:
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), name))
    for setting in role.settings:
        # As pg_dumpall does, and not by way of this session, in which a setting would act (role, a time-out).
        key, _, value = setting.partition("=")
        values = _elements(value) if key in _LISTS else [value]
        written = sql.SQL(", ").join(map(sql.Literal, values))
        connection.execute(sql.SQL("ALTER ROLE {} SET {} TO {}").format(name, sql.Identifier(*key.split(".")), written))


def _elements(value: str) -> list[str]:
    """The names in a list as the catalog has it, some of them quoted."""
    return [quoted.replace('""', '"') if quoted else plain for quoted, plain in _ELEMENT.findall(value)] or [""]
