"""Incremental reads of a vault in which nothing changed, beside full reads of it: requests, and time.

Archives are sealed for a key, and not by a password, whose key takes half a second whatever there is to read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial

import anyio
import pytest

from kleidia_backup import BackupReport, DirectorySettings, Keys, PrivateKey, Root, SigningKey, VaultSettings, backup

from . import bare
from .measuring import Measure
from .system import System

pytestmark = pytest.mark.timeout(1800)

PRIVATE = PrivateKey.generate("x25519")
KEYS = Keys(
    recipients=(PRIVATE.public,), signing_key=SigningKey.generate(), password_slot=False, private_keys=(PRIVATE,)
)
#: Secrets in a folder each, and in folders of a thousand; in the full form and in the short one.
LEAVES, IN_FOLDERS, FOLDER = (50_000, 1_000), (50_000, 5_000), 1000


def filled(system: System, number: int, folder: int) -> VaultSettings:
    """A mount with so many secrets, so many of them in each folder."""
    settings = system.empty_vault()
    settings = VaultSettings(settings.address, settings.auth, (Root("", settings.roots[1].mount),))

    def bodies() -> Iterator[tuple[str, bytes]]:
        for n in range(number):
            value = {"data": {"value": f"secret {n} of a system", "n": n}, "options": {"cas": 0}}
            yield (
                f"{settings.roots[0].mount}/data/folder-{n // folder:05}/leaf-{n % folder:03}",
                json.dumps(value).encode(),
            )

    bare.write_vault(settings, bodies())
    return settings


def archive(vault: VaultSettings, store: DirectorySettings, *, incremental: bool) -> BackupReport:
    """Back up a vault."""
    job = partial(backup, vault=vault, store=store, keys=KEYS, format="v2", incremental=incremental)
    return anyio.run(job)


@pytest.mark.parametrize(
    ("name", "numbers", "folder"), [("leaves", LEAVES, 1), ("folders", IN_FOLDERS, FOLDER)], ids=["leaves", "folders"]
)
def test_nothing_changed(
    measure: Measure, system: System, name: str, numbers: tuple[int, int], folder: int, *, short: bool
) -> None:
    """Every secret is taken from the archive before."""
    number = numbers[short]
    vault, store = filled(system, number, folder), system.store()
    reports: list[BackupReport] = []

    def full() -> None:
        reports.append(archive(vault, store, incremental=False))

    def another_second() -> tuple[()]:
        """Names of archives have the second in them: a backup waits for the next where its name is taken."""
        time.sleep(1)
        return ()

    made = measure.race(
        lambda: archive(vault, store, incremental=True),
        rounds=1 if short else 3,
        prepare=another_second,
        full=full,
        listing=lambda: bare.list_folders(vault),
    )
    assert made.incremental is not None
    # A time that ends in five zeros proves nothing: one in 100,000 secrets is read for that.
    assert made.secrets == made.incremental.taken + made.incremental.read == number
    assert made.incremental.read <= 5
    asked = [each.load.vault.requests for each in (reports[-1], made) if each.load.vault]
    measure.line(f"incremental_{name}_requests_v2", asked[1] / asked[0], full=asked[0], incremental=asked[1])
    measure.ratio(f"incremental_{name}_v2", "full", listing=measure.best("listing"))
    measure.stages(made)
    measure.judge()
