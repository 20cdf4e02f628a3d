"""What an archive says by its index, and how little of it is read for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, WrongPassword, backup, contents, plan_restore
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from .conftest import PASSWORD, System, leading_to

pytestmark = pytest.mark.anyio


class Counting(DirectoryStore):
    """A directory that counts what is read of it."""

    read = 0

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As the store's, counted."""
        async with super().get(name, start=start, end=end, pin=pin) as chunks:

            async def each() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    self.read += len(chunk)
                    yield chunk

            yield each()


@pytest.fixture
def counting(system: System) -> tuple[Counting, DirectorySettings]:
    """The system's store, counted, with settings that lead to it."""
    store = Counting(system.store)
    return store, leading_to(store, system.store)


async def test_the_index_lists_tables_and_secrets(system: System) -> None:
    """Each table that has rows in the archive, what is there of all, by password."""
    made = await backup(
        database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format="v2"
    )
    found = await contents(made.name, store=system.store, password=PASSWORD)
    rows = {each.name: each.rows for each in found.tables}
    assert (rows["public.users"], rows["public.notes"], rows["public.audit_logs"]) == (50, 500, 100)
    assert (found.rows, found.secrets, found.sql_bytes) == (sum(rows.values()), 33, made.sql_bytes)
    assert found.secrets_bytes > found.secrets_stored > 0
    assert found.sql_stored + found.secrets_stored < found.size == made.size
    assert sum(each.bytes for each in found.tables) < found.sql_bytes
    with pytest.raises(WrongPassword):
        await contents(made.name, store=system.store, password="another")


async def test_an_archive_without_an_index_says_what_to_do(system: System) -> None:
    """Format V1: nothing is known without reading all of it."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    with pytest.raises(ConfigurationError) as caught:
        await contents(made.name, store=system.store, password=PASSWORD)
    assert "verify" in caught.value.hint


async def test_a_big_archive_costs_kilobytes(system: System, counting: tuple[Counting, DirectorySettings]) -> None:
    """Head, last segment and index: the rows are not read, neither by a look at the index nor by a dry run."""
    system.sql(
        "CREATE TABLE big AS SELECT n, sha512(n::text::bytea) || sha512((-n)::text::bytea) AS data"
        " FROM generate_series(1, 120000) n"
    )
    store, settings = counting
    made = await backup(database=system.postgres, vault=system.vault, store=settings, password=PASSWORD, format="v2")
    assert made.size > 15_000_000
    store.read = 0
    found = await contents(made.name, store=settings, password=PASSWORD)
    assert {each.name: each.rows for each in found.tables}["public.big"] == 120_000
    assert 0 < store.read < 700_000
    store.read = 0
    plan = await plan_restore(
        made.name, database=system.postgres, vault=system.vault, store=settings, password=PASSWORD
    )
    assert (plan.blockers, plan.rows) == ((), found.rows)
    assert 0 < store.read < 4_000_000
