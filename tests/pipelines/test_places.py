"""Restores into another database and another mount, made for it or not, and the backup that is taken first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import psycopg
import pytest
from psycopg import sql

from kleidia_backup import (
    ConfigurationError,
    KleidiaError,
    PostgresSettings,
    RestoreReport,
    restore,
)
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.pipeline.archives.listing import newest_in
from kleidia_backup.pipeline.parts.request import BackupRequest
from kleidia_backup.pipeline.verify import verify
from kleidia_backup.stages.errors import (
    DatabaseError,
    DatabaseForbidden,
    ObjectMissing,
    RestoreFailed,
    StoreError,
    VaultMountMissing,
    VaultThreshold,
)
from kleidia_backup.stages.pg.databases import another as databases
from kleidia_backup.stages.pg.session import RestoreSession
from kleidia_backup.stages.stores.directory.store import DirectorySettings
from kleidia_backup.stages.vault.kv.answers import Refused
from kleidia_backup.stages.vault.kv.client import VaultClient

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


@pytest.fixture
def name(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database that is not there; one that was made is dropped at the end."""
    name = f"another {token_hex(4)}"
    yield name
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def there(system: System, name: str) -> bool:
    return bool(system.sql("SELECT 1 FROM pg_database WHERE datname = %s", name))


def in_it(system: System, name: str, query: str) -> list[tuple[Any, ...]]:
    conninfo = psycopg.conninfo.make_conninfo(system.conninfo, dbname=name)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


async def made(system: System) -> str:
    return (await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)).name


async def bring_back(system: System, archive: str, **options: Any) -> RestoreReport:
    given = {"database": system.postgres, "vault": system.vault, "store": system.store, "password": PASSWORD}
    return await restore(archive, **{**given, **options})


def _live(secrets: dict[str, Any]) -> dict[str, Any]:
    """Without those that are deleted and could be undeleted."""
    return {part: {path: value for path, value in all_.items() if value is not None} for part, all_ in secrets.items()}


def first(system: System, **changes: Any) -> BackupRequest:
    given = {"database": system.postgres, "vault": system.vault, "store": system.store, "password": PASSWORD}
    return BackupRequest(**{**given, **changes})


@both_formats
async def test_both_parts_go_elsewhere(system: System, name: str, kv_mount: Callable[[int], KvMount]) -> None:
    """Rows and secrets come back in the other places, made with the same encoding; what is configured stays."""
    archive, rows, before = await made(system), system.rows(), system.secrets()
    system.sql("UPDATE users SET name = 'live'")
    live, mount = system.rows(), kv_mount(2)
    report = await bring_back(system, archive, into_database=name, create=True, into_mount=f"{mount.path}/copy")
    assert (system.rows(), system.secrets()) == (live, before)
    assert in_it(system, name, "SELECT * FROM users ORDER BY 1") == rows["users"]
    same = "SELECT encoding, datcollate, datctype FROM pg_database WHERE datname = current_database()"
    assert in_it(system, name, same) == system.sql(same)
    application = {path.replace("kleidia/", "copy/", 1): value for path, value in before["application"].items()}
    yubikeys = {f"copy/yubikeys/{path}": value for path, value in before["yubikeys"].items()}
    assert mount.all() == application | yubikeys
    assert report.backup is None
    assert [name in each for each in report.into] == [True, False]
    again = await bring_back(system, archive, only="database", into_database=name)
    assert again.rows == report.rows
    # Preserved rows are those of the database that it goes to.
    in_it(system, name, "INSERT INTO backup_jobs (status) VALUES ('kept here')")
    await bring_back(system, archive, only="database", into_database=name)
    assert in_it(system, name, "SELECT status FROM backup_jobs") == [("kept here",)]


async def test_what_is_missing_is_refused_before_anything_is_read(
    system: System, name: str, postgres_server: PostgresServer
) -> None:
    """A database that nobody asked to make, a right, a mount, and names that cannot be meant."""
    before = system.rows(), system.secrets()
    with pytest.raises(ConfigurationError, match="There is no database") as caught:
        await bring_back(system, "not-looked-for.enc", into_database=name)
    assert caught.value.effect == "nothing"
    assert "--create" in caught.value.hint
    role = f"poor_{token_hex(4)}"
    system.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'canary'")
    try:
        poor = PostgresSettings(
            psycopg.conninfo.make_conninfo(system.conninfo, user=role, password="canary"),
            pg_dump=system.postgres.pg_dump,
        )
        with pytest.raises(DatabaseForbidden) as refused:
            await bring_back(system, "not-looked-for.enc", database=poor, into_database=name, create=True)
        assert [str(right.verb) for right in refused.value.rights] == ["CREATEDB"]
    finally:
        system.sql(f"DROP ROLE {role}")
    archive = await made(system)
    with pytest.raises(VaultMountMissing) as gone:
        await bring_back(system, archive, into_mount="no-such-mount/x", into_database=name, create=True)
    assert gone.value.hint
    for wrong in ({"into_database": "a\nb"}, {"create": True}, {"into_mount": "a/../b"}, {"into_database": "é" * 40}):
        with pytest.raises(ConfigurationError):
            await bring_back(system, archive, **wrong)
    with pytest.raises(ConfigurationError):
        await bring_back(system, archive, only="vault", into_database=name)
    assert not there(system, name)
    assert (system.rows(), system.secrets()) == before


@pytest.mark.parametrize("kept", [False, True])
async def test_a_failed_restore_drops_what_it_made_only(
    system: System, name: str, kept: bool, kv_mount: Callable[[int], KvMount], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was there before stays; one whose commit may have come through would stay too."""
    archive = await made(system)
    if kept:
        system.sql(f'CREATE DATABASE "{name}"')

    async def refused(self: VaultClient, *_: Any, **__: Any) -> Refused:
        return Refused(403, "no")

    monkeypatch.setattr(VaultClient, "write", refused)
    with pytest.raises(VaultThreshold):
        await bring_back(system, archive, into_database=name, create=True, into_mount=kv_mount(2).path)
    assert there(system, name) == kept


async def test_a_database_whose_commit_is_unsure_stays(
    system: System, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the COMMIT: what was made is not dropped."""
    archive, commit = await made(system), RestoreSession.commit

    async def lost(self: RestoreSession) -> None:
        await commit(self)
        raise DatabaseError("the connection was lost")

    monkeypatch.setattr(RestoreSession, "commit", lost)
    with pytest.raises(KleidiaError):
        await bring_back(system, archive, only="database", into_database=name, create=True)
    assert in_it(system, name, "SELECT count(*) FROM users") == [(50,)]


@both_formats
async def test_what_is_there_is_backed_up_first(system: System) -> None:
    """Its archive brings back what the restore overwrote, is named in the report, and is not the latest."""
    archive = await made(system)
    wreck(system)
    wrecked = system.rows(), system.secrets()
    report = await bring_back(system, archive, backup_first=first(system))
    assert report.backup is not None
    assert report.backup.startswith("backups/backup-before-restore-")
    assert await newest_in(system.store) == archive
    assert (system.rows(), system.secrets()) != wrecked
    assert (await verify(report.backup, store=system.store, password=PASSWORD)).secrets
    await bring_back(system, report.backup, prune=True)
    assert system.rows()["users"] == wrecked[0]["users"]
    assert _live(system.secrets()) == _live(wrecked[1])
    again = await bring_back(system, archive, only="database", backup_first=first(system))
    assert again.backup is not None
    assert (await verify(again.backup, store=system.store, password=PASSWORD)).secrets == 0


async def test_without_its_backup_no_restore_begins(system: System, tmp_path: Path) -> None:
    """Nothing is changed, and the error says what failed."""
    archive = await made(system)
    wreck(system)
    before = system.rows(), system.secrets()
    elsewhere = DirectorySettings(tmp_path / "is-not-there", prefix="backups/")
    with pytest.raises(StoreError) as caught:
        await bring_back(system, archive, backup_first=first(system, store=elsewhere))
    assert caught.value.effect == "nothing"
    assert "did not begin" in caught.value.hint
    assert (system.rows(), system.secrets()) == before


async def test_a_made_database_needs_no_backup(system: System, name: str) -> None:
    """There is nothing to back up in a database that was not there."""
    archive = await made(system)
    report = await bring_back(
        system, archive, only="database", into_database=name, create=True, backup_first=first(system)
    )
    assert report.backup is None
    with pytest.raises(ObjectMissing):
        await bring_back(system, "missing.enc", into_database=name)


async def test_what_was_written_elsewhere_is_put_back_there(
    system: System, name: str, kv_mount: Callable[[int], KvMount], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is refused: the journal takes back what is in the other mount, and the made database is dropped."""
    archive, before, mount = await made(system), system.secrets(), kv_mount(2)
    mount.put("kept/jwt-secret", {"value": "former"})

    async def refused(self: RestoreSession) -> None:
        raise RestoreFailed("the commit was refused")

    monkeypatch.setattr(RestoreSession, "commit", refused)
    with pytest.raises(RestoreFailed):
        await bring_back(system, archive, into_database=name, create=True, into_mount=f"{mount.path}/kept")
    assert mount.all() == {"kept/jwt-secret": {"value": "former"}}
    assert system.secrets() == before
    assert not there(system, name)


async def test_a_cancellation_while_the_database_is_made(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server makes it although nobody waits any more; it is dropped."""
    name = (await backup(database=system.postgres, store=system.store, password=PASSWORD)).name
    scope = anyio.CancelScope()
    written = databases.statement

    def cancelling(*arguments: Any) -> Any:
        anyio.from_thread.run_sync(scope.cancel)
        return written(*arguments)

    monkeypatch.setattr(databases, "statement", cancelling)
    with scope:
        await restore(
            name,
            database=system.postgres,
            store=system.store,
            password=PASSWORD,
            only="database",
            into_database="never_whole",
            create=True,
        )
    assert scope.cancelled_caught
    assert system.sql("SELECT FROM pg_database WHERE datname = 'never_whole'") == []
