"""Every report says what load its job made, as others have seen it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import anyio
import psycopg
import pytest

from kleidia_backup import plan_restore, restore, verify
from kleidia_backup.pipeline.parts.request import BackupRequest
from kleidia_backup.pipeline.reports import words
from kleidia_backup.stages.load.figures import NO_LOAD

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

_EXCLUSIVE = """
    SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND c.relname IN ('users', 'notes')
"""


class Watch(Thread):
    """Looks from outside for how long somebody had tables locked against everybody, in seconds."""

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self.seen = 0.0
        self._conninfo = conninfo
        self._over = Event()

    def run(self) -> None:
        first = last = 0.0
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            while not self._over.wait(0.005):
                asked = monotonic()
                row = connection.execute(_EXCLUSIVE).fetchone()
                if row is not None and row[0]:
                    first = first or monotonic()  # later than the lock
                    last = asked  # earlier than its end
        self.seen = max(0.0, last - first)

    def end(self) -> None:
        self._over.set()
        self.join()


@both_formats
async def test_every_report_has_it(system: System) -> None:
    """A backup's, a dry run's and a restore's have both servers; a verification asks none but the store."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    vault, database = made.load.vault, made.load.database
    assert vault is not None
    assert database is not None
    assert vault.requests >= made.secrets + 2
    assert 0 < vault.p50_ms <= vault.p99_ms <= vault.longest_ms
    assert 1 <= vault.at_once <= system.vault.workers
    assert (vault.refused, vault.paused) == (0, 0.0)
    assert 0 < database.locks_held <= database.longest_transaction <= made.seconds["total"]
    assert database.exclusive_locks_held == 0.0

    whole = await verify(made.name, store=system.store, password=PASSWORD)
    assert whole.load == NO_LOAD

    plan = await plan_restore(
        made.name, store=system.store, password=PASSWORD, database=system.postgres, vault=system.vault
    )
    assert plan.load.vault is not None
    assert plan.load.database is not None
    assert plan.load.database.locks_held == 0.0

    wreck(system)
    back = await restore(made.name, store=system.store, password=PASSWORD, database=system.postgres, vault=system.vault)
    assert back.load.vault is not None
    assert back.load.database is not None
    assert back.load.vault.requests >= back.written
    held = back.load.database
    assert 0 < held.exclusive_locks_held <= held.longest_transaction <= back.seconds["total"]
    assert words.as_json(back)["load"]["database"]["exclusive_locks_held"] > 0


@both_formats
async def test_locks_are_held_as_long_as_others_see_them(system: System) -> None:
    """What somebody else sees of ACCESS EXCLUSIVE is never longer than the report says, and nearly as long."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    watch = Watch(system.conninfo)
    await anyio.to_thread.run_sync(watch.start)
    back = await restore(made.name, store=system.store, password=PASSWORD, database=system.postgres, vault=system.vault)
    await anyio.to_thread.run_sync(watch.end)
    assert back.load.database is not None
    assert 0 < watch.seen <= back.load.database.exclusive_locks_held


async def test_a_backup_before_a_restore_counts(system: System, tmp_path: Path) -> None:
    """The restore's load is that of both; the vault is read once more."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    alone = await restore(made.name, store=system.store, password=PASSWORD, vault=system.vault, state=tmp_path)
    first = BackupRequest(store=replace(system.store, prefix="before/"), vault=system.vault, password=PASSWORD)
    both = await restore(
        made.name, store=system.store, password=PASSWORD, vault=system.vault, backup_first=first, state=tmp_path
    )
    assert alone.load.vault is not None
    assert both.load.vault is not None
    assert both.load.vault.requests >= alone.load.vault.requests + made.secrets
