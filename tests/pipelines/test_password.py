"""The quick test of a password: a second and a few kilobytes, whatever the size of the archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import pytest

from kleidia_backup import DirectorySettings, WrongPassword
from kleidia_backup.formats.errors import NotAnArchive
from kleidia_backup.pipeline.verify import verify_password
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from ..archive_format import backup
from .conftest import PASSWORD, System, leading_to

pytestmark = pytest.mark.anyio

#: Bytes that may be read at most: a preamble's longest, and the beginning of the ciphertext.
LIMIT = 200 * 1024


class CountingStore(DirectoryStore):
    """A directory that counts the bytes it is asked for, and those it gives."""

    def __init__(self, settings: DirectorySettings) -> None:
        super().__init__(settings)
        self.asked = self.given = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        info = await self.head(name)
        self.asked += (info.size if end is None else end) - start
        async with super().get(name, start=start, end=end, pin=pin) as chunks:

            async def counted() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    self.given += len(chunk)
                    yield chunk

            yield counted()


@pytest.mark.parametrize("rows", [0, 60_000])
async def test_a_few_kilobytes_are_read_whatever_the_size(system: System, rows: int) -> None:
    """Right password or wrong, small archive or large: never more than the limit is asked for."""
    system.sql("INSERT INTO notes (data) SELECT sha512((n || 'x')::bytea) FROM generate_series(1, %s) n", rows)
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    assert made.size > LIMIT * 15 or not rows
    store = CountingStore(system.store)
    report = await verify_password(made.name, store=leading_to(store, system.store), password=PASSWORD)
    assert 0 < store.given <= store.asked <= LIMIT
    assert (report.name, report.size, report.header.backup_type) == (made.name, made.size, "full")
    assert (report.secrets, report.rows) == (0, 0)

    store = CountingStore(system.store)
    with pytest.raises(WrongPassword) as caught:
        await verify_password(made.name, store=leading_to(store, system.store), password=PASSWORD + " ")
    assert "case-sensitive" in caught.value.hint
    assert 0 < store.asked <= LIMIT


async def test_damage_further_back_is_not_seen(system: System) -> None:
    """It is no verification: only the beginning counts."""
    system.sql("INSERT INTO notes (data) SELECT sha512((n || 'x')::bytea) FROM generate_series(1, 5000) n")
    made = await backup(database=system.postgres, store=system.store, password=PASSWORD)
    path = system.directory / made.name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert (await verify_password(made.name, store=system.store, password=PASSWORD)).size == made.size


async def test_what_is_no_archive(system: System) -> None:
    """Is told apart from a wrong password."""
    (system.directory / "backups").mkdir()
    (system.directory / "backups" / "other.enc").write_bytes(b"something else entirely" * 10)
    with pytest.raises(NotAnArchive):
        await verify_password("other.enc", store=system.store, password=PASSWORD)
