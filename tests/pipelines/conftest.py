"""A small system: a database, a vault with two roots, a directory for archives, and how to look at all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from kleidia_backup import DirectorySettings, PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.stages.stores.directory.store import DirectoryStore

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class _Leading(DirectorySettings):
    store: DirectoryStore | None = None

    def open(self) -> DirectoryStore:
        assert self.store is not None
        return self.store


def leading_to(store: DirectoryStore, settings: DirectorySettings) -> DirectorySettings:
    """Settings that lead to a store of the test's own."""
    return _Leading(settings.path, settings.prefix, store)


SCHEMA = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE notes (id serial PRIMARY KEY, user_id int REFERENCES users(id), body text, data bytea);
CREATE TABLE backup_jobs (
    id serial PRIMARY KEY, status text, triggered_by int REFERENCES users(id) ON DELETE SET NULL
);
CREATE TABLE audit_logs (id serial PRIMARY KEY, action text);
"""


@dataclass
class System:
    """One system to back up. ``rows`` and ``secrets`` are everything in it, for comparisons."""

    conninfo: str = field(repr=False)
    postgres: PostgresSettings
    vault: VaultSettings
    application: KvMount
    yubikeys: KvMount
    directory: Path

    @property
    def store(self) -> DirectorySettings:
        return DirectorySettings(self.directory, prefix="backups/")

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return {table: self.sql(f'SELECT * FROM "{table}" ORDER BY 1') for (table,) in tables}

    def secrets(self) -> dict[str, Any]:
        return {"application": self.application.all(), "yubikeys": self.yubikeys.all()}

    def archives(self) -> list[str]:
        """Every file below the store's directory, hidden ones too."""
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())


@pytest.fixture
def system(
    database: str, postgres_server: PostgresServer, kv_mount: Callable[[int], KvMount], tmp_path: Path
) -> Iterator[System]:
    """A filled system; afterwards no child process of ours may be left."""
    before = set(psutil.Process().children())
    application, yubikeys = kv_mount(2), kv_mount(2)
    (tmp_path / "store").mkdir()
    system = System(
        database,
        PostgresSettings(database, pg_dump=str(postgres_server.bin_dir / "pg_dump")),
        VaultSettings(
            address=application.server.address,
            auth=TokenAuth(application.server.root_token),
            roots=(Root("", application.path, "kleidia"), Root("yubikeys/", yubikeys.path)),
            retry_budget=2.0,
        ),
        application,
        yubikeys,
        tmp_path / "store",
    )
    fill(system)
    yield system
    assert set(psutil.Process().children()) <= before


def fill(system: System) -> None:
    with psycopg.connect(system.conninfo) as connection:
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 50) n")
        connection.execute(
            "INSERT INTO notes (user_id, body, data)"
            " SELECT 1 + n % 50, E'quote \" back\\\\slash\\ttab\\n\\u2028 😀 ' || n,"
            " sha256(n::text::bytea) FROM generate_series(1, 500) n"
        )
        connection.execute("INSERT INTO backup_jobs (status, triggered_by) VALUES ('completed', 1), ('failed', 50)")
        connection.execute("INSERT INTO audit_logs (action) SELECT 'login' FROM generate_series(1, 100)")
    for n in range(30):
        system.yubikeys.put(
            f"{n:04d}/piv", {"management_key": f"{n:048x}", "pin": 123456, "nested": {"a": [None, 1.5]}}
        )
    system.application.put("kleidia/jwt-secret", {"secret": 'ünï\u2028cødé"\\'})
    system.application.put("kleidia/jwt-secret/also", {"a folder": "and a secret"})
    system.application.put("kleidia/empty", {})


def wreck(system: System) -> None:
    """Lose and change something of everything."""
    system.sql("DROP TABLE notes")
    system.sql("DELETE FROM users WHERE id > 10")
    system.sql("UPDATE users SET name = 'wrong'")
    for n in range(10):
        system.yubikeys.delete(f"{n:04d}/piv")
    system.yubikeys.put("0020/piv", {"management_key": "wrong"})
    system.application.delete("kleidia/jwt-secret")
