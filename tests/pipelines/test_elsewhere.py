"""Restoring to another place: another database, other mounts, a new vault with other keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup import PostgresSettings, Root, TokenAuth, restore
from kleidia_backup.demo.servers.kv import KvMount, OpenBaoServer
from kleidia_backup.demo.servers.openbao import start_openbao

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio


@pytest.fixture
def empty_database(new_database: Callable[[], str]) -> str:
    """The connection string of a second database, which nothing was ever in."""
    return new_database()


@pytest.fixture
def new_openbao(tmp_path: Path) -> Iterator[tuple[OpenBaoServer, bytes]]:
    """A vault of its own, just initialised, and its unseal key."""
    directory = tmp_path / "installation"
    directory.mkdir()
    server, process = start_openbao(directory)
    yield server, (directory / "openbao" / "unseal.key").read_bytes()
    process.stop()


def at(settings: PostgresSettings, conninfo: str) -> PostgresSettings:
    return replace(settings, conninfo=conninfo)


async def archive(system: System, **changes: Any) -> str:
    options: dict[str, Any] = {"database": system.postgres, "vault": system.vault}
    made = await backup(**options | {"store": system.store, "password": PASSWORD} | changes)
    return made.name


@both_formats
async def test_into_another_database(system: System, empty_database: str) -> None:
    """Every row is there, the job history exists and is empty and goes on counting; the first database is untouched."""
    name = await archive(system, vault=None)
    rows = system.rows()
    report = await restore(name, database=at(system.postgres, empty_database), store=system.store, password=PASSWORD)
    assert report.warnings == ()
    other = replace(system, conninfo=empty_database)
    assert other.rows() == rows | {"backup_jobs": []}
    assert system.rows() == rows
    assert other.sql("INSERT INTO backup_jobs (status, triggered_by) VALUES ('first', 50) RETURNING status") == [
        ("first",)
    ]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        other.sql("INSERT INTO backup_jobs (triggered_by) VALUES (51)")


@both_formats
async def test_into_another_kind_of_mount(system: System, kv_mount: Callable[[int], KvMount]) -> None:
    """From KV version 2 into a folder of a version 1 mount and back into version 2: the values are the same."""
    system.application.delete("kleidia/empty")  # version 1 has no empty secrets
    name = await archive(system, database=None)
    old, new = kv_mount(1), kv_mount(2)
    there = (Root("", old.path, "a/b"), Root("yubikeys/", old.path, "c"))
    vault = replace(system.vault, roots=there)
    report = await restore(name, vault=vault, store=system.store, password=PASSWORD)
    assert (report.written, report.failed_count) == (32, 0)
    assert old.get("a/b/jwt-secret/also") == {"a folder": "and a secret"}
    assert old.get("c/0007/piv") == system.yubikeys.get("0007/piv")

    name = await archive(system, database=None, vault=vault)
    back = (Root("", new.path, "kleidia"), Root("yubikeys/", new.path, "keys"))
    report = await restore(name, vault=replace(system.vault, roots=back), store=system.store, password=PASSWORD)
    assert report.written == 32
    expected = dict(system.application.all().items())
    expected |= {f"keys/{path}": value for path, value in system.yubikeys.all().items()}
    assert new.all() == expected


@both_formats
async def test_into_a_fresh_installation(
    system: System, empty_database: str, new_openbao: tuple[OpenBaoServer, bytes], tmp_path: Path
) -> None:
    """A new database and a new vault with other unseal keys and another root token: everything comes back.

    The archive holds secrets, not the vault's keys (specification, Disaster Recovery: Fresh Installation).
    """
    name = await archive(system)
    server, unseal_key = new_openbao
    assert server.root_token != system.application.server.root_token
    assert unseal_key not in (system.directory / name).read_bytes()
    application, yubikeys = server.mount("secret"), server.mount("yubikeys")
    vault = replace(
        system.vault,
        address=server.address,
        auth=TokenAuth(server.root_token),
        roots=(Root("", "secret", "kleidia"), Root("yubikeys/", "yubikeys")),
    )
    # What the setup of the new installation has made already is overwritten: its own first user and its own secret.
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)")
        connection.execute("INSERT INTO users (name) VALUES ('admin of the new installation')")
    application.put("kleidia/jwt-secret", {"secret": "made by the setup"})

    report = await restore(
        name, database=at(system.postgres, empty_database), vault=vault, store=system.store, password=PASSWORD
    )
    assert (report.written, report.unchanged, report.failed_count, report.warnings) == (33, 0, 0, ())
    assert {"application": application.all(), "yubikeys": yubikeys.all()} == system.secrets()
    assert replace(system, conninfo=empty_database).rows() == system.rows() | {"backup_jobs": []}
