"""Databases of tests, made and dropped in the cheapest way that the server has."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from kleidia_backup.demo.servers.together import PostgresServer

Admin = psycopg.Connection[tuple[Any, ...]]

#: Since 15 a server can copy the template's files instead of writing every page to the log: half of the time.
_FILES = "STRATEGY file_copy"
_SUBSCRIPTIONS = """
SELECT subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid AND datname = %s
"""
#: A subscription without a slot of the publisher can be dropped when nobody publishes.
_UNSUBSCRIBE = ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)", "DROP SUBSCRIPTION {}")
_END_SESSIONS = """
SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname = %s
"""
#: Seconds for which the end of a database's sessions is waited for, before the server waits itself.
_ENDING = 5.0


def without_sessions(role: str) -> str:
    """A statement that waits until nobody is connected as a role.

    A session that was closed drops its temporary tables after that, over which ``DROP OWNED`` and ``REASSIGN OWNED``
    stumble on a busy machine.
    """
    there = f"SELECT FROM pg_catalog.pg_stat_activity WHERE usename = '{role}'"
    again = "PERFORM pg_catalog.pg_sleep(0.01); PERFORM pg_catalog.pg_stat_clear_snapshot();"
    return f"DO $$ BEGIN WHILE EXISTS ({there}) LOOP {again} END LOOP; END $$"


def create(admin: Admin, options: str = "", *, name: str = "") -> str:
    """Make an empty database, and return its name."""
    name = name or f"test_{secrets.token_hex(6)}"
    strategy = _FILES if admin.info.server_version >= 150000 else ""
    admin.execute(f"CREATE DATABASE {name} {options} {strategy}".encode())
    return name


def drop(admin: Admin, server: PostgresServer, name: str) -> None:
    """Drop a database, whoever is connected and whatever it subscribes to.

    A session that is just ending keeps ``DROP DATABASE`` waiting for a tenth of a second, which is longer than all the
    rest: so the last one is waited for here.
    """
    if subscriptions := admin.execute(_SUBSCRIPTIONS, (name,)).fetchall():
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            for clause in _UNSUBSCRIBE:
                for (subscription,) in subscriptions:
                    connection.execute(sql.SQL(clause).format(sql.Identifier(subscription)))
    end = time.monotonic() + _ENDING
    while admin.execute(_END_SESSIONS, (name,)).fetchone() != (0,) and time.monotonic() < end:
        time.sleep(0.001)
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def new_database(server: PostgresServer, options: str = "", *, name: str = "") -> Iterator[str]:
    """An empty database, dropped at the end; its name."""
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        made = create(admin, options, name=name)
        try:
            yield made
        finally:
            drop(admin, server, made)


def login_quickly(server: PostgresServer) -> None:
    """Store the superuser's password with one round of SCRAM instead of 4,096, which each side pays at each login."""
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        if admin.info.server_version >= 160000:
            admin.execute("SET scram_iterations = 1")
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(server.superuser), server.password))
