"""The database alone, in archives of format V2: the whole command, as a user runs it, and the function beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from kleidia_backup import BackupReport, PostgresSettings, RestoreReport, backup, plan_restore
from kleidia_backup import restore as restore_archive
from kleidia_backup import verify as verify_archive
from kleidia_backup.demo.servers.s3 import S3Server

from . import bare, command, pipes
from .configuration import PASSWORD
from .measuring import Measure, timed
from .system import Sizes, System, uploaded

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def database(system: System, sizes: Sizes) -> PostgresSettings:
    """The one with the long audit log."""
    return system.database(sizes.keys, sizes.audit_rows)


def test_backup(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path, *, short: bool) -> None:
    """A backup into a directory, against pg_dump alone and against both pipes."""
    compact, old = tmp_path / "dump.sql.zst.enc", tmp_path / "dump.sql.gz.enc"
    source = system.configured(database=database, store=system.store())
    reports: list[BackupReport] = []

    def function() -> None:
        job = partial(backup, database=database, store=system.store(), password=PASSWORD, format="v2")
        reports.append(anyio.run(job))

    _, made = measure.race(
        lambda: command.timed(source, "backup", "--type", "database", "--format", "v2"),
        rounds=3 if short else 5,
        pg_dump=lambda: bare.pg_dump(database),
        zstd=lambda: pipes.zstd(database, compact),
        gzip=lambda: pipes.gzip(database, old),
        function=function,
    )
    assert made["sql_bytes"] == reports[-1].sql_bytes
    for name, reference in (("dump_zstd_v2", "zstd"), ("dump_v2", "pg_dump"), ("pipe_v2", "gzip")):
        measure.ratio(name, reference, function=measure.best("function"), sql_bytes=made["sql_bytes"])
    sizes = {"pipe": old.stat().st_size, "zstd_pipe": compact.stat().st_size, "ours": made["size"]}
    measure.line("pipe_size_v2", sizes["ours"] / sizes["pipe"], **sizes)
    measure.stages(reports[-1])
    measure.judge()


def test_restore(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path) -> None:
    """A restore into an empty database, against the way back of the better pipe and ``psql -1 -f``."""
    plain, compact, store = tmp_path / "dump.sql", tmp_path / "dump.sql.zst.enc", system.store()
    bare.pg_dump(database, plain)
    pipes.zstd(database, compact)
    made = anyio.run(partial(backup, database=database, store=store, password=PASSWORD, format="v2"))
    reports: list[RestoreReport] = []

    with system.empty_databases() as empty:

        def function() -> float:
            job = partial(restore_archive, made.name, database=empty(), store=store, password=PASSWORD)
            return timed(lambda: reports.append(anyio.run(partial(job, state=system.state()))))

        _, back = measure.race(
            lambda target: command.timed(target, "restore", "--yes", made.name),
            prepare=lambda: (system.configured(database=empty(), store=store),),
            rounds=3,
            psql=lambda: timed(partial(bare.psql, empty(), plain)),
            zstd=lambda: timed(partial(pipes.restore, empty(), compact)),
            function=function,
        )
    assert back["sql_bytes"] == made.sql_bytes
    assert back["rows"] == reports[-1].rows > 0
    measure.ratio("psql_zstd_v2", "zstd", function=measure.best("function"))
    measure.ratio("psql_v2", "psql", function=measure.best("function"))
    measure.stages(reports[-1])
    measure.judge()


def test_verify(measure: Measure, system: System, database: PostgresSettings, tmp_path: Path) -> None:
    """A verification, against decrypting and decompressing what the gzip pipe made."""
    file, store = tmp_path / "dump.sql.gz.enc", system.store()
    pipes.gzip(database, file)
    made = anyio.run(partial(backup, database=database, store=store, password=PASSWORD, format="v2"))
    target = system.configured(store=store)

    def function() -> None:
        report = anyio.run(partial(verify_archive, made.name, store=store, password=PASSWORD))
        assert report.sql_bytes == made.sql_bytes

    _, verified = measure.race(
        lambda: command.timed(target, "verify", made.name),
        rounds=3,
        openssl_gunzip=lambda: pipes.gunzip(file),
        function=function,
    )
    assert verified["sql_bytes"] == made.sql_bytes
    measure.ratio("verify_v2", "openssl_gunzip", function=measure.best("function"))
    measure.judge()


def test_dry_run(measure: Measure, system: System, database: PostgresSettings, s3: S3Server) -> None:
    """A dry run of one archive, from a directory and over S3, into the database that it came from."""
    local = system.store()
    made = anyio.run(partial(backup, database=database, store=local, password=PASSWORD, format="v2"))
    remote = uploaded(s3, "dry-run", local.path / made.name)
    here, there = (system.configured(database=database, store=store) for store in (local, remote))
    catalog: list[float] = []

    def over_s3() -> float:
        seconds, plan = command.timed(there, "restore", "--dry-run", made.name)
        assert plan["sql_bytes"] == made.sql_bytes
        return seconds

    def function() -> None:
        plan = anyio.run(partial(plan_restore, made.name, database=database, store=local, password=PASSWORD))
        catalog.append(plan.seconds["plan"])

    _, plan = measure.race(
        lambda: command.timed(here, "restore", "--dry-run", made.name), rounds=5, s3=over_s3, function=function
    )
    assert plan["sql_bytes"] == made.sql_bytes
    assert plan["rows"] > 0
    figures = {"function": measure.best("function"), "catalog": min(catalog), "size": made.size}
    measure.line("dry_run_v2", measure.best(), median=measure.median(), **figures)
    measure.line("dry_run_s3_v2", measure.best("s3"), median=measure.median("s3"), **figures)
    measure.judge()
