"""One part of an archive, or of what is configured: the other one is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from kleidia_backup import ConfigurationError, restore

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


@both_formats
@pytest.mark.parametrize("only", ["database", "vault"])
async def test_one_part_of_a_full_archive(system: System, only: Literal["database", "vault"]) -> None:
    """``only`` restores that part as a partial archive would, and nothing of the other, without a warning."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    wrecked = system.rows(), system.secrets()
    report = await restore(
        made.name, database=system.postgres, vault=system.vault, only=only, store=system.store, password=PASSWORD
    )
    assert (report.warnings, report.left_alone) == ((), ())
    if only == "database":
        assert system.secrets() == wrecked[1]
        assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
        assert (report.tables, report.secrets, report.written) == (4, 0, 0)
    else:
        assert (system.rows(), system.secrets()) == (wrecked[0], secrets)
        assert (report.tables, report.sql_bytes, report.secrets, report.written) == (0, 0, 33, 12)


@both_formats
async def test_the_other_server_may_be_down(system: System) -> None:
    """With ``only`` nobody asks it anything."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    away = replace(system.postgres, conninfo="host=127.0.0.1 port=1 dbname=away")
    await restore(made.name, database=away, vault=system.vault, only="vault", store=system.store, password=PASSWORD)
    assert system.secrets() == secrets
    vault = replace(system.vault, address="http://127.0.0.1:1")
    await restore(
        made.name, database=system.postgres, vault=vault, only="database", store=system.store, password=PASSWORD
    )
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}


@both_formats
@pytest.mark.parametrize(("kind", "only"), [("database", "vault"), ("vault", "database")])
async def test_a_part_that_the_archive_does_not_have(
    system: System, kind: str, only: Literal["database", "vault"]
) -> None:
    """Is an error that says so, before anything is written."""
    parts: Any = {"database": system.postgres} if kind == "database" else {"vault": system.vault}
    made = await backup(store=system.store, password=PASSWORD, **parts)
    wreck(system)
    before = system.rows(), system.secrets()
    with pytest.raises(ConfigurationError, match=f"no {only} part: it is of type {kind}"):
        await restore(
            made.name, database=system.postgres, vault=system.vault, only=only, store=system.store, password=PASSWORD
        )
    assert (system.rows(), system.secrets()) == before


@both_formats
@pytest.mark.parametrize("only", ["database", "vault"])
async def test_a_part_without_a_target(system: System, only: Literal["database", "vault"]) -> None:
    """Asking for a part that is not configured is an error, not a silent nothing."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    parts: Any = {"vault": system.vault} if only == "database" else {"database": system.postgres}
    with pytest.raises(ConfigurationError, match=f"no {only} to restore to"):
        await restore(made.name, only=only, store=system.store, password=PASSWORD, **parts)
