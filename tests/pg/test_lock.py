"""One at a time: jobs on one database refuse each other, and a holder that died blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import AsyncExitStack

import psycopg
import pytest
from anyio import to_thread

from kleidia_backup.stages.errors import Busy
from kleidia_backup.stages.pg.server.lock import LOCK, TRANSACTION_LOCK, hold_database, staying
from kleidia_backup.stages.pg.server.settings import PostgresSettings
from kleidia_backup.stages.pg.session import open_session

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


@pytest.mark.parametrize(("first", "second"), [("restore", "restore"), ("restore", "backup"), ("backup", "restore")])
async def test_a_restore_excludes_every_other_job(database: str, first: str, second: str) -> None:
    """The refusal says who works there, and since when; afterwards the next one can."""
    settings = PostgresSettings(database)
    async with hold_database(settings, first):  # type: ignore[arg-type]
        with pytest.raises(Busy, match=rf"kleidia-backup {first} \S+:{os.getpid()} since \d{{4}}-\d\d-\d\d .* UTC"):
            async with hold_database(settings, second):  # type: ignore[arg-type]
                pass
    async with hold_database(settings, second):  # type: ignore[arg-type]
        pass


async def test_backups_run_side_by_side(database: str) -> None:
    """Two backups of one database do not exclude each other."""
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(hold_database(PostgresSettings(database), "backup"))
        with psycopg.connect(database) as connection:
            row = connection.execute("SELECT count(*) FROM pg_locks WHERE objid = %s AND granted", LOCK[1:]).fetchone()
        assert row == (2,)


async def test_a_holder_that_died_blocks_nobody(database: str) -> None:
    """The lock ends with its session, whatever ended the process."""
    code = (
        "import anyio, os, sys\n"
        "from kleidia_backup.stages.pg.server.lock import hold_database\n"
        "from kleidia_backup.stages.pg.server.settings import PostgresSettings\n"
        "async def main():\n"
        "    async with hold_database(PostgresSettings(os.environ['DSN']), 'restore'):\n"
        "        print('held', flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    holder = subprocess.Popen(  # noqa: ASYNC220 - it starts at once, and nothing else runs here
        [sys.executable, "-c", code], env={**os.environ, "DSN": database}, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy):
            async with hold_database(PostgresSettings(database), "backup"):
                pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with psycopg.connect(database, autocommit=True) as connection:
        # The server notices a dead client at once: its socket was closed by the kernel.
        held = "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1)"
        connection.execute(f"DO $$ BEGIN WHILE {held} LOOP PERFORM pg_sleep(0.01); END LOOP; END $$".encode())
    async with hold_database(PostgresSettings(database), "restore"):
        pass


async def test_one_job_follows_another_at_once(database: str) -> None:
    """The lock is given back before a job says that it has ended, not when the server notices a closed session."""
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(30):
            async with hold_database(PostgresSettings(database), "restore"):
                pass
            row = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE classid = %s AND granted", LOCK[:1]
            ).fetchone()
            assert row == (0,)


@pytest.mark.parametrize("number", [LOCK[1], TRANSACTION_LOCK[1]])
async def test_a_session_that_is_just_ending_is_waited_for(database: str, number: int) -> None:
    """A busy server notices late that one was closed: the next job begins, and a dry run does not see it."""
    with psycopg.connect(database, autocommit=True) as ending, psycopg.connect(database, autocommit=True) as look:
        for function in ("hold", "look", "restore")[: 2 + (number == TRANSACTION_LOCK[1])]:
            ending.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK[0], number))
            done = threading.Timer(0.4, lambda: ending.execute("SELECT pg_advisory_unlock_all()"))
            done.start()
            try:
                if function == "look":
                    assert await to_thread.run_sync(staying, look) == []
                elif function == "restore":
                    async with open_session(PostgresSettings(database)):
                        pass
                else:
                    async with hold_database(PostgresSettings(database), "backup"):
                        pass
            finally:
                done.join()
