"""What a job is asked to do, and the parts that it has."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.pipeline.parts.choice import comparisons, sources, targets
from kleidia_backup.pipeline.parts.database import DatabaseBackup
from kleidia_backup.pipeline.parts.database_target import DatabaseDryRun, DatabaseRestore
from kleidia_backup.pipeline.parts.part import BackupPart, DryRunPart, RestorePart
from kleidia_backup.pipeline.parts.request import BackupRequest, RestoreRequest
from kleidia_backup.pipeline.parts.vault import VaultBackup, VaultDryRun, VaultRestore

STORE = DirectorySettings(Path("/nowhere"), prefix="backups/")
DATABASE = PostgresSettings("host=db password=canary-database")
VAULT = VaultSettings("https://vault", TokenAuth("canary-token"), roots=(Root("", "secret"),))
BOTH: dict[str, Any] = {"database": DATABASE, "vault": VAULT}


def backing_up(**given: Any) -> BackupRequest:
    return BackupRequest(store=STORE, password="canary-password", **given)


def restoring(**given: Any) -> RestoreRequest:
    return RestoreRequest(name="a.enc", store=STORE, password="canary-password", **given)


def test_a_request_is_frozen_and_shows_no_secret() -> None:
    """It travels between layers, and into tracebacks."""
    request = restoring(**BOTH)
    assert "canary" not in repr(request)
    with pytest.raises(FrozenInstanceError):
        request.prune = True  # type: ignore[misc]
    assert replace(request, prune=True).prune


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "nothing to back up"),
        ({"vault": VAULT, "part_size": 1000}, "1000 bytes is too small"),
        ({"vault": VAULT, "name": "mine"}, "does not end in .enc"),
    ],
)
def test_what_cannot_be_done_is_refused_when_it_is_asked(given: dict[str, Any], why: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match=why):
        backing_up(**given)


def test_a_part_that_is_left_alone_is_one_that_does_nothing() -> None:
    """So that nobody need ask whether it is there."""
    taken = sources(backing_up(**BOTH))
    assert (type(taken.database), type(taken.vault)) == (DatabaseBackup, VaultBackup)
    assert type(sources(backing_up(vault=VAULT)).database) is BackupPart
    header = backing_up(**BOTH).facts(datetime.now(UTC))
    both = targets(header, restoring(**BOTH))
    assert (type(both.database), type(both.vault), both.left_alone) == (DatabaseRestore, VaultRestore, ())
    chosen = targets(header, restoring(**BOTH, only="vault"))
    assert (type(chosen.database), type(chosen.vault), chosen.left_alone) == (RestorePart, VaultRestore, ())
    lacking = comparisons(header, restoring(database=DATABASE))
    assert (type(lacking.database), type(lacking.vault)) == (DatabaseDryRun, DryRunPart)
    assert lacking.left_alone == ("vault",)
    assert [part.used for part in lacking] == [True, False]
    assert type(comparisons(header, restoring(vault=VAULT)).vault) is VaultDryRun
