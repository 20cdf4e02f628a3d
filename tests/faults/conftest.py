"""The servers behind the faults, the system on them, and the proof that a test left nothing behind."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil
import psycopg
import pytest

from kleidia_backup.demo.servers.kv import Connection
from kleidia_backup.demo.servers.together import OpenBaoServer, PostgresServer, S3Server

from .. import databases
from ..archive_format import FORMATS, backup
from .killable import Killable, killable_process
from .site import PART, PASSWORD, Database, Site, quick_key, quick_keys
from .small_parts import small_parts


@pytest.fixture(scope="session")
def small_parts_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A moto that takes parts of any size."""
    with small_parts(tmp_path_factory.mktemp("moto")) as server:
        yield server


@contextlib.contextmanager
def new_database(server: PostgresServer, tablespace: str = "") -> Iterator[Database]:
    """An empty database, in a tablespace when one is named."""
    with (
        databases.new_database(server, f"TABLESPACE {tablespace}" if tablespace else "") as name,
        psycopg.connect(server.conninfo(name), autocommit=True) as look,
    ):
        look.execute("SET lock_timeout = '5s'")
        yield Database(name, server, look)


@pytest.fixture(scope="session")
def filled(
    postgres_server: PostgresServer,
    openbao_server: OpenBaoServer,
    small_parts_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Site]]:
    """Three systems, so that a fault can be tried in three places at the same time."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(small_parts_server.client()))
        vault = stack.enter_context(Connection(openbao_server))
        sites = []
        for _ in range(3):
            database = stack.enter_context(new_database(postgres_server))
            one, other = (vault.mount(f"faults-{secrets.token_hex(6)}") for _ in range(2))
            for mount in (one, other):  # over a new connection: at the end this one was idle for too long
                stack.callback(replace(mount, server=openbao_server).remove)
            bucket = small_parts_server.create_bucket(f"faults-{secrets.token_hex(6)}")
            state, store = (tmp_path_factory.mktemp(what) for what in ("state", "store"))
            sites.append(Site(database, vault, one, other, bucket, client, state, store))
            sites[-1].fill()
        yield sites


# No fixture of the session is asynchronous: its event loop would be there for every later test as well.


@pytest.fixture(scope="session")
def sites(filled: list[Site]) -> list[Site]:
    """The three, each with an archive of its original in both formats, and wrecked."""
    anyio.run(on_each, filled, sealed)
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        anyio.run(on_each, filled, prepared)
    return filled


async def on_each(sites: list[Site], one: Callable[[Site], Coroutine[Any, Any, None]]) -> None:
    """Do something on all sites at the same time."""
    async with anyio.create_task_group() as tasks:
        for site in sites:
            tasks.start_soon(one, site)


async def sealed(site: Site) -> None:
    """Back up the original as a user does."""
    for each in FORMATS:
        await backup(store=site.directory_settings(), name=site.archive_of(each), format=each, **everything(site))


def everything(site: Site) -> dict[str, Any]:
    """What of a backup's arguments is always the same."""
    database = site.database.settings(connect_timeout=60)
    return {"database": database, "vault": site.vault_settings(patient=True), "password": PASSWORD}


async def prepared(site: Site) -> None:
    """Back up the original, wreck the system, and see what a backup of that holds."""
    in_parts = partial(backup, store=site.store_settings(), part_size=PART, **everything(site))
    for each in FORMATS:
        await in_parts(name=site.archive_of(each), format=each)
    site.wreck_database()
    site.wreck_vault()
    site.wrecked = site.state()
    await in_parts(name="backup-wrecked.enc")
    site.content = site.read("backup-wrecked.enc")
    site.remove("backup-wrecked.enc")


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Spend no time on what these tests are not about."""
    patch.setattr("kleidia_backup.pipeline.archives.v1.derive_key", quick_key)
    patch.setattr("kleidia_backup.formats.v2.keys.slots._derive", quick_keys)
    patch.setattr("kleidia_backup.stages.stores.s3.settings.SMALLEST_PART", 1)
    # Limits that no setting changes.
    patch.setattr("kleidia_backup.stages.archive.download.LONGEST_PAUSE", 0.01)
    patch.setattr("kleidia_backup.stages.archive.download.ATTEMPTS", 4)
    patch.setattr("kleidia_backup.stages.pg.server.process.POLITE", 0.2)
    patch.setattr("kleidia_backup.stages.pg.session.COMMIT_TIMEOUT", 0.3)
    patch.setattr("kleidia_backup.stages.pg.server.outcome.SETTLING", 0.3)
    patch.setattr("kleidia_backup.stages.pg.server.outcome.ENDING", 0.3)
    patch.setattr("kleidia_backup.stages.vault.undo.undo.LATE_ARRIVAL", 0.2)


@pytest.fixture(scope="session")
def killable() -> Iterator[list[Killable]]:
    """A process for each site that runs jobs which can be killed."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(killable_process()) for _ in range(3)]


@pytest.fixture
def as_expected(sites: list[Site]) -> None:
    """What a test that failed has left behind is put in order for the next one."""
    for site in sites:
        if not site.is_wrecked():
            site.mend()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a real limit."""
    hurry(monkeypatch)


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test no child process is left that was not there before, and no temporary file."""
    before = set(psutil.Process().children())
    empty = tmp_path / "tmp"
    empty.mkdir()
    monkeypatch.setenv("TMPDIR", str(empty))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    assert set(psutil.Process().children()) <= before
    assert list(empty.iterdir()) == []
