"""A disk that is full under PostgreSQL in the middle of a restore: by a limit on its files, and by a small disk."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from kleidia_backup import restore
from kleidia_backup.demo.servers.together import Servers, start_servers
from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.vault.undo.journal import unfinished

from ..archive_format import backup, both_formats
from ..memory import in_memory
from .conftest import everything, new_database
from .judging import blames
from .site import Site

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick", "nothing_left")]

MIB = 1 << 20
#: More than a segment of the WAL, without which the server could not live; less than the table below.
ROOM = 24 * MIB
BIG = """
CREATE TABLE big (id int PRIMARY KEY, body text);
INSERT INTO big SELECT n, repeat(md5(n::text), 50) FROM generate_series(1, 20000) n;
"""


class FileLimit:
    """A limit on the size of a file: the server's own, and that of every process it starts from now on."""

    #: What the system says when the disk is full, and the tablespace that lies there (empty: the usual one).
    says = "File too large"
    tablespace = ""

    def __init__(self, servers: Servers, owner: os.stat_result) -> None:
        self._pid = servers.processes["postgres"].pid
        self._owner = owner

    def _limit(self, size: int) -> None:
        """As the server's own account, for root may lack the right."""
        text = "unlimited" if size == resource.RLIM_INFINITY else size
        command = ["prlimit", f"--pid={self._pid}", f"--fsize={text}:"]
        if os.geteuid() == 0:
            subprocess.run(command, check=True, user=self._owner.st_uid, group=self._owner.st_gid)
        else:
            subprocess.run(command, check=True)

    def fill(self) -> None:
        """From now on the table does not fit."""
        self._limit(ROOM)

    def free(self) -> None:
        """It does again."""
        self._limit(resource.getrlimit(resource.RLIMIT_FSIZE)[0])  # it had ours


class SmallDisk:
    """A file system in memory, on which a tablespace lies."""

    says = "No space left on device"
    tablespace = "small"

    def __init__(self, where: Path) -> None:
        self._where = where

    def _resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self._where], check=True)

    def fill(self) -> None:
        """From now on the table does not fit."""
        self._resize(ROOM)

    def free(self) -> None:
        """It does again."""
        self._resize(4 * ROOM)


@contextmanager
def mounted(owner: int = 0) -> Iterator[Path]:
    """A file system in memory, on a directory that every account can reach. Raises ``CalledProcessError``."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # pytest's own are closed to others
        above, where = Path(made), Path(made) / "disk"
        above.chmod(0o755)
        where.mkdir()
        options = f"size={4 * ROOM},mode=700,uid={owner},gid={owner}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", where], check=True, capture_output=True)
        try:
            yield where
        finally:
            # A process of the server may hold a file of the dropped tablespace for a moment longer.
            subprocess.run(["umount", "--lazy", where], check=True)


def may_mount() -> bool:
    """Whether we may; who may not is left with the limit on files."""
    try:
        with mounted():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.fixture(params=[FileLimit, *([SmallDisk] if may_mount() else [])])
def disk(request: pytest.FixtureRequest, own_server: Servers) -> Iterator[FileLimit | SmallDisk]:
    """Each kind of disk."""
    with psycopg.connect(own_server.postgres.conninfo(), autocommit=True) as connection, ExitStack() as stack:
        ((data,),) = connection.execute("SHOW data_directory")
        owner = Path(data).stat()
        if request.param is FileLimit:
            limited = FileLimit(own_server, owner)
            stack.callback(limited.free)
            yield limited
            return
        where = stack.enter_context(mounted(owner.st_uid))
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(where)))
        stack.callback(connection.execute, "DROP TABLESPACE small")
        yield SmallDisk(where)


@pytest.fixture(scope="session")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A PostgreSQL that nobody else uses."""
    with (
        in_memory(tmp_path_factory.mktemp("full")) as directory,
        start_servers(directory, openbao=False, s3=False, fsync=False) as servers,
    ):
        yield servers


@both_formats
async def test_restore(disk: FileLimit | SmallDisk, own_server: Servers, sites: list[Site], tmp_path: Path) -> None:
    """It fails and says why; database and vault are as before; when there is room again, it succeeds."""
    store = tmp_path / "store"
    store.mkdir()
    with new_database(own_server.postgres, disk.tablespace) as database, ExitStack() as afterwards:
        site = replace(sites[0], database=database, directory=store)
        afterwards.callback(site.wreck_vault)
        site.fill()
        database.look.execute("SET work_mem = '256MB'")  # looking at it needs no disk
        database.look.execute(BIG)
        original = site.state()
        where: dict[str, Any] = {"store": site.directory_settings(), **everything(site)}
        await backup(name=site.archive, **where)
        site.wreck_database()
        database.look.execute("TRUNCATE big")
        database.look.execute("CHECKPOINT")
        site.wreck_vault()
        wrecked = site.state()

        disk.fill()
        refused = f"PostgreSQL refused the restore at COPY public.big: could not extend file .*{disk.says}"
        with pytest.raises(RestoreFailed, match=refused) as caught:
            await restore(site.archive, state=site.journal, **where)
        blames(caught.value, RestoreFailed)
        assert caught.value.effect == "nothing"
        assert "Nothing was changed. " in str(caught.value)
        database.nobody_holds_it()
        assert not unfinished(site.journal)
        assert site.state() == wrecked

        disk.free()
        await restore(site.archive, state=site.journal, **where)
        assert site.state() == original
