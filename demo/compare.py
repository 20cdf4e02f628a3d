"""Digests of everything in a database and in KV engines, to be compared before and after; and how to wreck both.

Read without the product's own code: by the server's MD5 over its rows, and by plain requests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from .parallel import each_mount, in_parallel

if TYPE_CHECKING:
    from .servers.kv import KvMount


@dataclass(frozen=True)
class Digest:
    """Rows and their digest by table, and a digest by secret."""

    tables: dict[str, tuple[int, str]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(count for count, _ in self.tables.values())

    def differences(self, other: Digest) -> list[str]:
        """The names of tables and secrets that are not the same in both, sorted."""
        pairs = ((self.tables, other.tables), (self.secrets, other.secrets))
        return sorted(name for a, b in pairs for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def digest_database(conninfo: str) -> dict[str, tuple[int, str]]:
    """Number and MD5 of the rows of every table of the application."""
    found = {}
    with psycopg.connect(conninfo) as connection:
        # A restore rewrites the tables, so their rows are compared in the order of their text.
        connection.execute("SET LOCAL work_mem = '256MB'")
        tables = connection.execute(
            "SELECT c.oid::regclass::text, n.nspname, c.relname"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_'"
            " AND n.nspname NOT IN ('information_schema', 'kleidia_backup')"
        ).fetchall()
        for name, schema, table in tables:
            query = sql.SQL(
                "SELECT count(*), coalesce(md5(string_agg(h, '' ORDER BY h)), '')"
                " FROM (SELECT md5(t::text) AS h FROM {} t) AS rows"
            ).format(sql.Identifier(schema, table))
            row = connection.execute(query).fetchone()
            assert row is not None
            found[name] = (row[0], row[1])
    return found


def digest_vault(*mounts: KvMount) -> dict[str, str]:
    """SHA-256 of every secret's newest value, by mount and path."""
    found: dict[str, str] = {}
    with each_mount(*mounts) as here:
        for mount in mounts:

            def folder(path: str, mount: KvMount = mount) -> list[str]:
                return here(mount).names(path)

            def value(path: str, mount: KvMount = mount) -> str:
                text = json.dumps(here(mount).get(path), sort_keys=True)
                return hashlib.sha256(text.encode()).hexdigest()

            folders, paths = [""], []
            while folders:
                below = [
                    at + name for at, names in zip(folders, in_parallel(folders, folder), strict=True) for name in names
                ]
                folders = [path for path in below if path.endswith("/")]
                paths += [path for path in below if not path.endswith("/")]
            for path, digest in zip(paths, in_parallel(paths, value), strict=True):
                found[f"{mount.path}/{path}"] = digest
    return found


def wreck_database(conninfo: str) -> None:
    """Lose a table, most rows of another, and scramble what is left."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("DROP TABLE certificates")
        connection.execute("DELETE FROM yubikeys WHERE id % 3 = 0")
        connection.execute("UPDATE users SET email = 'wrecked-' || id, display_name = ''")
        connection.execute("TRUNCATE audit_logs")


def wreck_vault(*mounts: KvMount) -> None:
    """Delete every second secret, and overwrite every fourth."""
    with each_mount(*mounts) as here:
        for mount in mounts:

            def wreck(numbered: tuple[int, str], mount: KvMount = mount) -> None:
                number, path = numbered
                if number % 2:
                    here(mount).delete(path)
                elif number % 4 == 0:
                    here(mount).put(path, {"wrecked": True})

            with each_mount(mount) as one:
                paths = one(mount).paths()
            in_parallel(enumerate(paths), wreck)
