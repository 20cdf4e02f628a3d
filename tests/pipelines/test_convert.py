"""Archives that are written again in the other format: what is restored of them is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from kleidia_backup import (
    ConfigurationError,
    DamagedArchive,
    WrongPassword,
    backup,
    convert,
    inspect,
    list_archives,
    restore,
    verify,
)
from kleidia_backup.formats.errors import PayloadError
from kleidia_backup.pipeline.convert import new_name
from kleidia_backup.stages.errors import ObjectExists

from .conftest import PASSWORD, System, wreck
from .test_foreign import read, write

pytestmark = pytest.mark.anyio

Format = Literal["v1", "v2"]
SECOND = "second battery staple"


@pytest.mark.parametrize(("old", "new"), [("v1", "v2"), ("v2", "v1")])
async def test_restoring_either_gives_the_same(system: System, old: Format, new: Format) -> None:
    """Rows, secrets, time and type; the old archive stays, byte for byte."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD, format=old)
    before = system.rows(), system.secrets()
    bytes_before = (system.directory / made.name).read_bytes()
    report = await convert(made.name, store=system.store, format=new, password=PASSWORD)
    assert report.name == made.name.replace(".enc", f"-{new}.enc")
    assert (report.source, report.format, report.secrets, report.sql_bytes) == (made.name, new, 33, made.sql_bytes)
    assert (system.directory / made.name).read_bytes() == bytes_before
    (_, one), (_, two) = [await inspect(name, system.store) for name in (made.name, report.name)]
    for field in ("created_at", "backup_type", "includes_db", "includes_kv", "includes_audit"):
        assert getattr(one.header, field) == getattr(two.header, field)
    assert (one.header.version, two.header.version) == (int(old[1]), int(new[1]))
    checks = [await verify(name, store=system.store, password=PASSWORD) for name in (made.name, report.name)]
    assert [(each.rows, each.tables, each.secrets, each.sql_bytes) for each in checks] == [
        (checks[0].rows, checks[0].tables, 33, made.sql_bytes)
    ] * 2
    for name in (made.name, report.name):
        wreck(system)
        await restore(name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
        rows, secrets = system.rows(), system.secrets()
        assert rows | {"backup_jobs": []} == before[0] | {"backup_jobs": []}
        assert secrets == before[1]
    assert {each.backup_type for each in await list_archives(system.store)} == {"full"}


async def test_what_format_v1_has_no_place_for(system: System) -> None:
    """It is dropped, and a warning says how much; the other way nothing is."""
    kv = system.application
    kv.put("kleidia/twice", {"a": 1})
    kv.put("kleidia/twice", {"a": 2})
    kv.server.request("POST", f"{kv.path}/metadata/kleidia/alone", {"custom_metadata": {"a": "b"}})
    vault = replace(system.vault, versions=0, policies=False)
    made = await backup(vault=vault, store=system.store, password=PASSWORD, format="v2")
    assert made.deleted == 1
    there = await convert(made.name, store=system.store, format="v1", password=PASSWORD, new_name="there.enc")
    (warning,) = there.warnings
    lost = "the metadata of 1 secret, 1 older version, 1 key without a value, what is known of 2 KV mounts"
    assert warning == f"Format V1 has no place for all of it: the new archive is without {lost}."
    assert there.secrets == made.secrets - 1
    back = await convert("there.enc", store=system.store, format="v2", password=PASSWORD)
    assert (back.warnings, back.secrets) == ((), there.secrets)


async def test_there_and_back_is_the_same_dump(system: System) -> None:
    """V1 to V2 to V1, with a password of its own each: the same text and the same secrets."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    there = await convert(made.name, store=system.store, format="v2", password=PASSWORD, new_password=SECOND)
    back = await convert(there.name, store=system.store, format="v1", password=SECOND, new_name="back.enc")
    assert back.name == "backups/back.enc"
    assert (back.sql_bytes, back.secrets) == (made.sql_bytes, made.secrets)
    checks = [
        await verify(name, store=system.store, password=password)
        for name, password in ((made.name, PASSWORD), ("back.enc", SECOND))
    ]
    assert replace(checks[0], name="", size=0, header=checks[1].header, seconds={}, stages=()) == replace(
        checks[1], name="", size=0, seconds={}, stages=()
    )


async def test_what_cannot_be_converted_leaves_nothing(system: System) -> None:
    """A wrong password, a damaged archive, the same format, a name that is taken: no new archive."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    with pytest.raises(WrongPassword):
        await convert(made.name, store=system.store, format="v2", password="another battery staple")
    with pytest.raises(ConfigurationError, match="v1 already"):
        await convert(made.name, store=system.store, format="v1", password=PASSWORD)
    with pytest.raises(ConfigurationError, match=r"\.enc"):
        await convert(made.name, store=system.store, format="v2", password=PASSWORD, new_name="new")
    with pytest.raises(ObjectExists):
        await convert(made.name, store=system.store, format="v2", password=PASSWORD, new_name=made.name)
    path = Path(system.directory) / made.name
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArchive):
        await convert(made.name, store=system.store, format="v2", password=PASSWORD)
    assert [each.name for each in await list_archives(system.store)] == [made.name]


async def test_secrets_that_come_first_are_converted_too(system: System) -> None:
    """Another writer's V1 archive may have them in front of the SQL: it is read once for each."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    write(system.directory / "backups" / "theirs.enc", *read(system.directory / made.name))
    report = await convert("theirs.enc", store=system.store, format="v2", password=PASSWORD)
    assert (report.name, report.sql_bytes, report.secrets) == ("backups/theirs-v2.enc", made.sql_bytes, 33)
    checked = await verify(report.name, store=system.store, password=PASSWORD)
    assert (checked.sql_bytes, checked.secrets) == (made.sql_bytes, 33)


async def test_a_value_that_v2_cannot_hold_is_named(system: System) -> None:
    """Another writer's V1 archive may have a secret that is no object."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    header, payload = read(system.directory / made.name)
    secrets = payload["vault_secrets"] | {"odd/one": None}
    write(system.directory / "backups" / "theirs.enc", header, payload | {"vault_secrets": secrets})
    with pytest.raises(PayloadError, match="odd/one"):
        await convert("theirs.enc", store=system.store, format="v2", password=PASSWORD)
    assert len(await list_archives(system.store)) == 2


def test_the_usual_name() -> None:
    """It says the format, and a second conversion does not add to it."""
    assert new_name("p/backup-full-20260117-020000.enc", "v2") == "p/backup-full-20260117-020000-v2.enc"
    assert new_name("p/backup-full-20260117-020000-v2.enc", "v1") == "p/backup-full-20260117-020000-v1.enc"
    assert new_name("mine.enc", "v2") == "mine-v2.enc"
