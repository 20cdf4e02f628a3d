"""All that an archive holds, by name, of both formats; and how little of format V2 is read for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kleidia_backup import DamagedArchive, FullContents, WrongPassword, backup, full_contents
from kleidia_backup.formats.v2 import index as limits
from kleidia_backup.pipeline.archives.v2 import OpenV2
from kleidia_backup.pipeline.parts.request import Format

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

_MORE = """
CREATE EXTENSION pg_trgm;
CREATE SCHEMA "My App";
CREATE TABLE "My App"."A table; Type: VIEW" (id int);
CREATE VIEW names AS SELECT name FROM users;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS $$
-- Name: hidden; Type: TABLE; Schema: public; Owner: nobody
SELECT 1 $$;
CREATE INDEX by_name ON users (name);
GRANT SELECT ON users TO pg_monitor;
"""


async def made(system: System, archive_format: Format, **options: Any) -> FullContents:
    """The contents of a new backup."""
    report = await backup(
        database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format=archive_format
    )
    return await full_contents(report.name, store=system.store, password=PASSWORD, **options)


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_everything_has_a_name(system: System, archive_format: Format) -> None:
    """Tables with rows and bytes, objects by kind, what has to be there for a restore, and paths without values."""
    system.sql(_MORE)
    found = await made(system, archive_format, secrets=True)
    rows = {each.name: each.rows for each in found.tables}
    assert rows["public.users"] == 50
    assert rows["public.notes"] == 500
    assert rows["public.audit_logs"] == 100
    assert rows["public.backup_jobs"] is None  # preserved: its rows are not in the archive
    assert rows["My App.A table; Type: VIEW"] == 0
    size = {each.name: each.bytes for each in found.tables}
    (users,) = system.sql("SELECT sum(length(id::text) + 1 + length(name) + 1) FROM users")
    assert size["public.users"] == users[0]
    assert (size["public.backup_jobs"], size["My App.A table; Type: VIEW"]) == (None, 0)
    kinds = found.kinds
    assert (kinds["TABLE"], kinds["VIEW"], kinds["FUNCTION"], kinds["INDEX"], kinds["EXTENSION"]) == (5, 1, 1, 1, 1)
    assert (kinds["SEQUENCE"], kinds["FK CONSTRAINT"]) == (4, 2)
    assert not set(kinds) & {"TABLE DATA", "SEQUENCE SET"}
    assert (found.extensions, found.schemas) == (("pg_trgm",), ("My App",))
    assert "pg_monitor" in found.roles
    assert found.secrets == 33
    assert found.secret_paths is not None
    assert list(found.secret_paths) == sorted([f"yubikeys/{n:04d}/piv" for n in range(30)] + APPLICATION)
    assert found.paths_left_out == 0
    assert "management_key" not in repr(found)


APPLICATION = ["empty", "jwt-secret", "jwt-secret/also"]


@pytest.mark.parametrize("listed", [True, False])
async def test_paths_are_taken_from_the_index(system: System, listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk of secrets is read where it lists them; the same paths are found without."""
    if not listed:
        monkeypatch.setattr(limits, "PATHS_STORED", -1)
    read: list[object] = []
    look = OpenV2.look

    async def looking(self: OpenV2, *arguments: Any, **named: Any) -> Any:
        read.append(named["only"])
        return await look(self, *arguments, **named)

    monkeypatch.setattr(OpenV2, "look", looking)
    found = await made(system, "v2", secrets=True)
    assert found.secret_paths is not None
    assert list(found.secret_paths) == sorted([f"yubikeys/{n:04d}/piv" for n in range(30)] + APPLICATION)
    assert read == (["database"] if listed else ["database", "vault"])


async def test_both_formats_say_the_same(system: System) -> None:
    """But for name, size, and what the formats say of themselves."""
    system.sql(_MORE)
    first, second = [
        dataclasses.replace(await made(system, each, secrets=True), name="", size=0, seconds={})
        for each in ("v1", "v2")
    ]
    assert dataclasses.replace(first, header=second.header) == second


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_one_part_alone(system: System, archive_format: Format) -> None:
    """An archive of secrets has no tables, and one of a database no paths; none are listed that nobody asked for."""
    vault = await backup(vault=system.vault, store=system.store, password=PASSWORD, format=archive_format)
    found = await full_contents(vault.name, store=system.store, password=PASSWORD)
    assert (found.tables, found.kinds, found.secrets, found.secret_paths) == ((), {}, 33, None)
    database = await backup(database=system.postgres, store=system.store, password=PASSWORD, format=archive_format)
    found = await full_contents(database.name, store=system.store, password=PASSWORD, secrets=True)
    assert (found.rows, found.secrets, found.secret_paths) == (650, 0, ())


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_nothing_is_said_of_what_cannot_be_trusted(system: System, archive_format: Format) -> None:
    """A wrong password, and an archive of which a byte is another."""
    report = await backup(
        database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format=archive_format
    )
    with pytest.raises(WrongPassword):
        await full_contents(report.name, store=system.store, password="another")
    path = system.directory / report.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArchive):
        await full_contents(report.name, store=system.store, password=PASSWORD, secrets=True)
