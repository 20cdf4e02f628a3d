"""Everything at once, as a user sees it: both servers into one archive, and back into empty ones.

Archives of both formats are made in turns, beside the same bare references; with format V2 it is the whole command.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup import BackupReport, PostgresSettings, RestoreReport, VaultSettings, backup, restore

from . import bare, command
from .configuration import PASSWORD
from .measuring import Measure, timed
from .system import Sizes, System, placed, secret_bodies

pytestmark = pytest.mark.timeout(1800)


def test_backup(measure: Measure, system: System, sizes: Sizes) -> None:
    """Both servers, against pg_dump alone and then a bare loop over the vault."""
    database, vault = system.database(sizes.keys, sizes.audit_rows), system.vault(sizes.keys)

    source = system.configured(database=database, vault=vault, store=system.store())
    reports: list[BackupReport] = []

    def ours(**given: Any) -> BackupReport:
        job = partial(backup, database=database, vault=vault, store=system.store(), password=PASSWORD, **given)
        return anyio.run(job)

    made: BackupReport = measure.race(
        ours,
        rounds=2,
        pg_dump=lambda: bare.pg_dump(database),
        loop=lambda: bare.read_vault(vault)[0],
        detailed=lambda: bare.read_vault(vault, "detailed-metadata")[0],
        v2=lambda: command.timed(source, "backup", "--format", "v2")[0],
        function=lambda: reports.append(ours(format="v2")),
    )
    assert made.secrets == reports[-1].secrets == len(secret_bodies(sizes.keys))
    measure.line("backup_50000", measure.best(), sql_bytes=made.sql_bytes, secrets=made.secrets)
    measure.ratio("backup_sum", "pg_dump", "loop")
    figures = {"function": measure.best("function"), "detailed": measure.best("detailed")}
    measure.ratio("backup_sum_v2", "pg_dump", "loop", ours="v2", **figures)
    measure.stages(made)
    measure.stages(*reports[-1:])
    measure.judge()


def test_restore(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Both into empty ones, against psql alone and then a bare loop of writes."""
    database, vault, bodies = (
        system.database(sizes.keys, sizes.audit_rows),
        system.vault(sizes.keys),
        secret_bodies(sizes.keys),
    )
    plain, store = tmp_path / "dump.sql", system.store()
    bare.pg_dump(database, plain)
    job = partial(backup, database=database, vault=vault, store=store, password=PASSWORD)
    made, made_v2 = anyio.run(job), anyio.run(partial(job, format="v2"))
    reports: list[RestoreReport] = []

    def loop() -> float:
        target = system.empty_vault()
        return bare.write_vault(target, placed(target, bodies))

    def ours(into: PostgresSettings, mounts: VaultSettings, name: str = made.name) -> RestoreReport:
        job = partial(restore, name, database=into, vault=mounts, store=store, password=PASSWORD)
        return anyio.run(partial(job, state=system.state()))

    with system.empty_databases() as empty:

        def function() -> float:
            into, mounts = empty(), system.empty_vault()
            return timed(lambda: reports.append(ours(into, mounts, made_v2.name)))

        def v2() -> float:
            target = system.configured(database=empty(), vault=system.empty_vault(), store=store)
            return command.timed(target, "restore", "--yes", made_v2.name)[0]

        back: RestoreReport = measure.race(
            ours,
            prepare=lambda: (empty(), system.empty_vault()),
            rounds=2,
            psql=lambda: timed(partial(bare.psql, empty(), plain)),
            loop=loop,
            v2=v2,
            function=function,
        )
    assert back.written == reports[-1].written == len(bodies)
    assert back.sql_bytes == reports[-1].sql_bytes == made.sql_bytes
    measure.line("restore_50000", measure.best(), sql_bytes=back.sql_bytes, secrets=back.written)
    measure.ratio("restore_sum", "psql", "loop")
    measure.ratio("restore_sum_v2", "psql", "loop", ours="v2", function=measure.best("function"))
    measure.stages(back)
    measure.stages(*reports[-1:])
    measure.judge()


@pytest.mark.parametrize("keys", [1_000, 10_000])
def test_specification(measure: Measure, system: System, keys: int) -> None:
    """The steps of the specification's table: a backup, and a restore into empty servers."""
    database, vault, store = system.database(keys, 5 * keys), system.vault(keys), system.store()
    archives: list[str] = []

    def back_up() -> None:
        archives.append(anyio.run(partial(backup, database=database, vault=vault, store=store, password=PASSWORD)).name)

    def bring_back(into: PostgresSettings, mounts: VaultSettings) -> RestoreReport:
        job = partial(restore, archives[-1], database=into, vault=mounts, store=store, password=PASSWORD)
        return anyio.run(partial(job, state=system.state()))

    back: RestoreReport = measure.race(
        bring_back,
        prepare=lambda: (system.empty_database(), system.empty_vault()),
        rounds=2 if keys < 10_000 else 1,
        backup=back_up,
    )
    assert back.written == len(secret_bodies(keys))
    measure.line(f"backup_{keys}", measure.best("backup"), sql_bytes=back.sql_bytes)
    measure.line(f"restore_{keys}", measure.best(), sql_bytes=back.sql_bytes)
    measure.judge()
