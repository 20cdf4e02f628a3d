"""The vault alone: archives of secrets, made and brought back, beside bare loops of the same requests."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from kleidia_backup import BackupReport, DirectorySettings, RestoreReport, VaultSettings, backup, restore

from . import bare
from .configuration import PASSWORD
from .measuring import Measure
from .system import Sizes, System, placed, secret_bodies

pytestmark = pytest.mark.timeout(1800)


def archive(vault: VaultSettings, store: DirectorySettings) -> BackupReport:
    """Back up a vault."""
    return anyio.run(partial(backup, vault=vault, store=store, password=PASSWORD))


def bring_back(name: str, vault: VaultSettings, store: DirectorySettings, system: System) -> RestoreReport:
    """Restore a vault."""
    return anyio.run(partial(restore, name, vault=vault, store=store, password=PASSWORD, state=system.state()))


@pytest.fixture
def rounds() -> int:
    """The better of two, since a machine has other things to do as well; a round of 50,000 keys takes minutes."""
    return 2


def test_read(measure: Measure, system: System, sizes: Sizes, rounds: int) -> None:
    """A backup of the vault, against LIST and GET of the same tree."""
    vault, requests = system.vault(sizes.keys), 0

    def loop() -> float:
        nonlocal requests
        seconds, requests = bare.read_vault(vault)
        return seconds

    made = measure.race(lambda: archive(vault, system.store()), rounds=rounds, bare=loop)
    assert made.secrets == len(secret_bodies(sizes.keys))
    value = measure.best("bare") / measure.best()
    measure.line(
        "vault_read",
        value,
        requests=requests,
        bare=measure.best("bare"),
        ours=measure.best(),
        rate=made.secrets / measure.best(),
    )
    measure.stages(made)
    measure.judge()


def test_write(measure: Measure, system: System, sizes: Sizes, rounds: int) -> None:
    """A restore into empty mounts, against the same writes; both into mounts of their own."""
    bodies, store = secret_bodies(sizes.keys), system.store()
    made = archive(system.vault(sizes.keys), store)

    def loop() -> float:
        empty = system.empty_vault()
        return bare.write_vault(empty, placed(empty, bodies))

    back = measure.race(
        lambda vault: bring_back(made.name, vault, store, system),
        prepare=lambda: (system.empty_vault(),),
        rounds=rounds,
        bare=loop,
    )
    assert back.written == len(bodies)
    value = measure.best("bare") / measure.best()
    measure.line(
        "vault_write",
        value,
        writes=len(bodies),
        bare=measure.best("bare"),
        ours=measure.best(),
        rate=back.written / measure.best(),
    )
    measure.stages(back)
    measure.judge()


def test_unchanged(measure: Measure, system: System, sizes: Sizes, rounds: int) -> None:
    """A restore over what is there already, against the same restore into empty mounts.

    Beside it, how many times as fast this server answers bare reads of the secrets than bare writes of them.
    """
    bodies, store = secret_bodies(sizes.keys), system.store()
    made = archive(system.vault(sizes.keys), store)
    restored: list[VaultSettings] = []

    def writes() -> float:
        restored[:] = [system.empty_vault()]
        return bare.write_vault(restored[0], placed(restored[0], bodies))

    def reads() -> float:
        return bare.get_vault(restored[0], placed(restored[0], bodies))

    def into_empty() -> None:
        restored[:] = [system.empty_vault()]
        assert bring_back(made.name, restored[0], store, system).written == made.secrets

    back = measure.race(
        lambda: bring_back(made.name, restored[0], store, system),
        rounds=rounds,
        writes=writes,
        reads=reads,
        into_empty=into_empty,
    )
    assert back.unchanged == made.secrets
    measure.line(
        "unchanged",
        measure.best("into_empty") / measure.best(),
        into_empty=measure.best("into_empty"),
        ours=measure.best(),
        bare_reads_to_writes=measure.best("writes") / measure.best("reads"),
    )
    measure.stages(back)
    measure.judge()
