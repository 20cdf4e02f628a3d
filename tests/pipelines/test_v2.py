"""Format V2: backup, wreck, restore, compare, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from kleidia_backup import DamagedArchive, DirectorySettings, backup, plan_restore, restore, verify
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.archives.v2 import OpenV2
from kleidia_backup.stages.errors import ObjectChanged, StoreUnreachable
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from .conftest import PASSWORD, System, leading_to, wreck

pytestmark = pytest.mark.anyio


async def test_everything_comes_back(system: System) -> None:
    """Rows and secrets are as at the backup, and the reports say what happened."""
    made = await backup(
        database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format="v2"
    )
    assert (made.secrets, made.unreadable, made.warnings) == (33, (), ())
    names = ["pg_dump", "zstd", "vault", "group", "zstd secrets", "tar", "seal", "sha256", "upload"]
    assert sorted(stage.name for stage in made.stages) == sorted(names)
    checked = await verify(made.name, store=system.store, password=PASSWORD)
    assert (checked.secrets, checked.sql_bytes, checked.header.version) == (33, made.sql_bytes, 2)
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    plan = await plan_restore(
        made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD
    )
    assert (plan.blockers, plan.rows, plan.tables) == ((), checked.rows, checked.tables)
    report = await restore(
        made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD
    )
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == secrets
    assert (report.rows, report.tables) == (checked.rows, checked.tables)


Span = tuple[int, int]


class Watched(DirectoryStore):
    """A directory that notes which bytes it is asked for, and may change those that it gives.

    ``lie`` gets the number of the request, the first byte's place and some bytes.
    """

    def __init__(self, settings: DirectorySettings, lie: Callable[[int, int, bytes], bytes] | None = None) -> None:
        super().__init__(settings)
        self.asked: list[Span] = []
        self._lie = lie

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        number = len(self.asked)
        self.asked.append((start, (await self.head(name)).size if end is None else end))
        async with super().get(name, start=start, end=end, pin=pin) as chunks:

            async def told() -> AsyncIterator[bytes]:
                at = start
                async for chunk in chunks:
                    yield self._lie(number, at, chunk) if self._lie else chunk
                    at += len(chunk)

            yield told()


async def made_archive(system: System, **changes: Any) -> str:
    """A database of some megabytes as it is stored, and some large secrets, in format V2; what it holds is wrecked."""
    system.sql(
        "INSERT INTO notes (body) SELECT encode(sha512((n || 'x')::bytea), 'hex') FROM generate_series(1, 60000) n"
    )
    for number in range(8):
        text = system.sql(
            "SELECT string_agg(sha512((n * %s)::text::bytea)::text, '') FROM generate_series(1, 5000) n", number + 2
        )
        system.yubikeys.put(f"large/{number}", {"value": text[0][0]})
    options: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": system.store}
    options["password"] = PASSWORD
    made = await backup(**options | {"format": "v2"} | changes)
    wreck(system)
    return made.name


async def bring_back(system: System, name: str, store: DirectoryStore, **changes: Any) -> Any:
    options: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "password": PASSWORD}
    return await restore(name, **options | {"store": leading_to(store, system.store)} | changes)


async def places(system: System, name: str) -> dict[str, Span]:
    """From where to where in the file the segments of each kind of chunk are."""
    async with system.store.open() as store:
        archive = await open_archive(store, name, PASSWORD)
        assert isinstance(archive, OpenV2)
        found: dict[str, Span] = {}
        for number, entry in enumerate(archive.index.entries):
            ((first, behind),) = archive._body.spans([archive._layout.span(number)])
            start, end = archive._body.place(first, behind)
            found[entry.k] = min(start, found.get(entry.k, (start, end))[0]), end
        return found


@pytest.mark.parametrize("only", ["database", "vault"])
async def test_one_part_is_read_without_the_other(system: System, only: Literal["database", "vault"]) -> None:
    """What is read behind the head and before the index are the segments of that part."""
    name = await made_archive(system)
    where = await places(system, name)
    store = Watched(system.store)
    await bring_back(system, name, store, only=only)
    database = where["sql"][0], max(where["sql"][1], where["rows"][1])
    mine, other = (database, where["kv"]) if only == "database" else (where["kv"], database)
    body = [(start, end) for start, end in store.asked if start >= database[0]]
    assert any(start < mine[1] and end > mine[0] for start, end in body)
    # A segment at the border holds chunks of both.
    assert all(end - 300_000 <= other[0] or start + 300_000 >= other[1] for start, end in body), (where, body)


@pytest.mark.parametrize("kind", ["sql", "rows", "kv"])
@pytest.mark.parametrize("always", [True, False], ids=["from the start", "after the look"])
async def test_a_damaged_segment_changes_nothing(system: System, kind: str, always: bool) -> None:
    """Rows that were sent already are rolled back; no secret is written, wherever the damage is found."""
    name = await made_archive(system)
    start, end = (await places(system, name))[kind]
    changed = False
    heads = 0

    def lie(_: int, at: int, chunk: bytes) -> bytes:
        nonlocal changed, heads
        heads += at == 0
        place = (start + end) // 2
        if at <= place < at + len(chunk) and (always or heads > 1):
            changed = True
            return chunk[: place - at] + bytes([chunk[place - at] ^ 1]) + chunk[place - at + 1 :]
        return chunk

    before = system.rows(), system.secrets()
    with pytest.raises(DamagedArchive) as caught:
        await bring_back(system, name, Watched(system.store, lie))
    assert changed
    assert caught.value.layer == "seal"
    assert (system.rows(), system.secrets()) == before


async def test_downloads_that_break_go_on(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first requests for a span breaks in the middle of a segment; the restore is as without that."""
    monkeypatch.setattr("kleidia_backup.stages.archive.download.PAUSE", 0.01)
    rows, secrets = system.rows(), system.secrets()
    name = await made_archive(system)
    rows["notes"] = []  # which got more
    broken: set[int] = set()

    def breaks(number: int, at: int, chunk: bytes) -> bytes:
        if number in broken:
            raise StoreUnreachable("The connection broke.", hint="Try again.")
        if len(chunk) > 70_001 and len(broken) < 9:
            broken.add(number)
            return chunk[:70_001]
        return chunk

    await bring_back(system, name, Watched(system.store, breaks))
    assert len(broken) == 9
    assert system.rows() | {"backup_jobs": [], "notes": []} == rows | {"backup_jobs": []}
    assert len(system.sql("SELECT id FROM notes")) == 60_500
    assert {path: system.yubikeys.get(path) for path in secrets["yubikeys"]} == secrets["yubikeys"]


async def test_another_archive_in_its_place(system: System) -> None:
    """Replaced between the look and the restore, by one that the same password opens: nothing is written."""
    name = await made_archive(system)
    other = await backup(
        database=system.postgres,
        vault=system.vault,
        store=system.store,
        password=PASSWORD,
        format="v2",
        name="other.enc",
    )
    path, theirs = system.directory / name, system.directory / other.name
    before = system.rows(), system.secrets()
    heads = 0

    def swap(_: int, at: int, chunk: bytes) -> bytes:
        nonlocal heads
        heads += at == 0
        if heads == 2 and theirs.exists():
            theirs.replace(path)
        return chunk

    with pytest.raises(ObjectChanged):
        await bring_back(system, name, Watched(system.store, swap))
    assert not theirs.exists()
    assert (system.rows(), system.secrets()) == before


async def test_an_empty_database(new_database: Callable[[], str], system: System, tmp_path: Path) -> None:
    """There is no table, and so no COPY; it comes back empty."""
    empty = replace(system.postgres, conninfo=new_database())
    made = await backup(database=empty, store=system.store, password=PASSWORD, format="v2")
    checked = await verify(made.name, store=system.store, password=PASSWORD)
    assert (checked.rows, checked.tables, checked.sql_bytes) == (0, 0, made.sql_bytes)
    report = await restore(made.name, database=empty, store=system.store, password=PASSWORD)
    assert (report.tables, report.rows) == (0, 0)


async def test_what_is_larger_than_a_chunk(system: System) -> None:
    """A large object, a row and a statement of more than 4 MiB, and one of many that pg_dump writes before a COPY."""
    system.sql("SELECT lo_from_bytea(0, convert_to(repeat('large object ', 500000), 'UTF8'))")
    system.sql("INSERT INTO notes (body) VALUES (repeat('long row ', 700000))")
    system.sql("CREATE FUNCTION long() RETURNS text LANGUAGE sql AS $$ SELECT '" + "x" * 5_000_000 + "' $$")
    looks = "SELECT md5(string_agg(md5(data), '' ORDER BY loid, pageno)) FROM pg_largeobject"
    rows, objects, code = (
        system.rows(),
        system.sql(looks),
        system.sql("SELECT md5(prosrc) FROM pg_proc WHERE proname = 'long'"),
    )
    made = await backup(database=system.postgres, store=system.store, password=PASSWORD, format="v2")
    system.sql("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    system.sql("DROP FUNCTION long")
    system.sql("DELETE FROM notes")
    await restore(made.name, database=system.postgres, store=system.store, password=PASSWORD)
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.sql(looks) == objects
    assert system.sql("SELECT md5(prosrc) FROM pg_proc WHERE proname = 'long'") == code
