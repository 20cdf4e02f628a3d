"""A small system, and scratch sides on the tests' own servers: a database and a mount that nobody else uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup import DrillReport, PostgresSettings, Root, Scratch, drill
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.formats.facts import Facts
from kleidia_backup.pipeline.drills.asked import ScratchMaker

from ..archive_format import backup
from ..pipelines.conftest import PASSWORD, System, system

__all__ = ["PASSWORD", "Bench", "system"]


async def nothing() -> None:
    """Change nothing."""


@dataclass
class Bench:
    """A system, and where drills of its archives restore to. ``left`` counts the scratch sides that were left."""

    system: System
    database: PostgresSettings
    mount: KvMount
    reports: Path
    left: int = 0
    needed: int = 0

    def scratch(self, restored: Callable[[], Awaitable[None]] = nothing, **changes: Any) -> ScratchMaker:
        """Makes the scratch side."""

        @asynccontextmanager
        async def make(facts: Facts, needed: int) -> AsyncIterator[Scratch]:
            self.needed = needed
            vault = replace(self.system.vault, roots=(Root("", self.mount.path),))
            made = Scratch(where="the tests' servers", own=True, database=self.database, vault=vault, restored=restored)
            try:
                yield replace(made, **changes)
            finally:
                self.left += 1

        return make

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run SQL in the scratch database."""
        with psycopg.connect(self.database.full_conninfo(), autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    async def backup(self, **changes: Any) -> str:
        """An archive of the system."""
        given = {"database": self.system.postgres, "vault": self.system.vault} | changes
        return (await backup(store=self.system.store, password=PASSWORD, **given)).name

    async def drill(self, name: str = "latest", **changes: Any) -> DrillReport:
        """Drill an archive of the system."""
        given: dict[str, Any] = {
            "store": self.system.store,
            "password": PASSWORD,
            "scratch": self.scratch(),
            "database": self.system.postgres,
            "vault": self.system.vault,
            "reports": self.reports,
        }
        return await drill(name, **given | changes)

    def damaging(self, change: Callable[[], object]) -> ScratchMaker:
        """A scratch side that is changed between restore and comparison."""

        async def restored() -> None:
            change()

        return self.scratch(restored)


@pytest.fixture
def bench(system: System, new_database: Callable[[], str], kv_mount: Callable[[int], KvMount], tmp_path: Path) -> Bench:
    """The system, and an empty scratch side."""
    return Bench(system, PostgresSettings(new_database(), preserve=()), kv_mount(2), tmp_path / "reports")
