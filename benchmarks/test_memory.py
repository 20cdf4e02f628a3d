"""Peak memory of the command, as the operating system counts it (VmHWM of a process of its own), and its growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from kleidia_backup import PostgresSettings, VaultSettings

from . import command
from .configuration import configuration
from .measuring import Measure
from .system import Sizes, System

pytestmark = pytest.mark.timeout(1800)


def peaks(
    system: System, directory: Path, database: PostgresSettings | None, vault: VaultSettings | None, *given: str
) -> dict[str, float]:
    """MiB at the peak of a backup with such options, of its verification, and of its restore into empty servers."""
    directory.mkdir()
    store, state = system.store(), system.state()
    source = configuration(directory / "source.toml", database=database, vault=vault, store=store, state=state)
    into, mounts = system.empty_database() if database else None, system.empty_vault() if vault else None
    target = configuration(directory / "target.toml", database=into, vault=mounts, store=store, state=state)
    kind = "full" if database and vault else "database" if database else "vault"
    backup_mib, made = command.run(source, "backup", "--type", kind, *given)
    verify_mib, _ = command.run(source, "verify", str(made["name"]))
    restore_mib, back = command.run(target, "restore", "--yes", str(made["name"]))
    assert back["written"] == made["secrets"]
    if into is not None:
        assert back["sql_bytes"] == made["sql_bytes"] > 0
        system.drop_database(into)
    return {"backup": backup_mib, "verify": verify_mib, "restore": restore_mib}


def test_peak(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Both servers, at the largest sizes."""
    database = system.database(1_000, sizes.memory_rows[1])
    vault = system.vault(sizes.memory_keys[1])
    found = measure.race(lambda: peaks(system, tmp_path / "both", database, vault), rounds=1)
    measure.line("memory_backup", found["backup"])
    measure.line("memory_restore", found["restore"], verify=found["verify"])
    measure.judge()


def test_growth_with_sql(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Ten times the SQL takes no more memory."""

    def both() -> list[dict[str, float]]:
        return [peaks(system, tmp_path / str(rows), system.database(1_000, rows), None) for rows in sizes.memory_rows]

    few, many = measure.race(both, rounds=1)
    for kind in ("backup", "restore"):
        measure.line(f"growth_sql_{kind}", many[kind] - few[kind], few=few[kind], many=many[kind])
    measure.judge()


def test_growth_with_secrets(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Nor do fifty times the secrets."""

    def both() -> list[dict[str, float]]:
        return [peaks(system, tmp_path / str(keys), None, system.vault(keys)) for keys in sizes.memory_keys]

    few, many = measure.race(both, rounds=1)
    for kind in ("backup", "restore"):
        measure.line(f"growth_keys_{kind}", many[kind] - few[kind], few=few[kind], many=many[kind])
    measure.judge()


def test_v2(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Format V2: both servers at the largest sizes, and with a tenth of the SQL and of the secrets."""
    largest = sizes.memory_rows[1], sizes.memory_keys[1]

    def both() -> list[dict[str, float]]:
        return [
            peaks(
                system,
                tmp_path / str(part),
                system.database(1_000, largest[0] // part),
                system.vault(largest[1] // part),
                *("--format", "v2"),
            )
            for part in (10, 1)
        ]

    few, many = measure.race(both, rounds=1)
    measure.line("memory_backup_v2", many["backup"])
    measure.line("memory_restore_v2", many["restore"], verify=many["verify"])
    for kind in ("backup", "restore"):
        measure.line(f"growth_{kind}_v2", many[kind] - few[kind], few=few[kind], many=many[kind])
    measure.judge()
