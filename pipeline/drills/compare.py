"""The comparison of what was restored with what the archive says."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import psycopg

from ...stages.pg.proof.restored import look_at_objects
from ...stages.pg.proof.rows import Found, SecondLook, read_rows
from ...stages.pg.server.connect import connect
from ...stages.pg.server.questions import answered
from ...stages.vault.kv.answers import Found as FoundSecret
from ...stages.vault.kv.client import VaultClient
from ...stages.vault.kv.identity import version_of
from ...stages.vault.kv.roots import locate
from ...stages.vault.metadata.compare_all import CompareAll, DescribedReport
from ..engine import Pipeline, drain, in_thread
from ..parts.vault import VaultDryRun
from ..reports.findings import Findings
from .report import CheckResult, DatabaseProof, Failure, TableProof, VaultProof

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...stages.pg.proof.expected import Expected
    from ...stages.pg.server.settings import PostgresSettings, Table
    from ...stages.vault.kv.settings import VaultSettings
    from ..archives.reading import OpenArchive, Verified
    from ..job import Job
    from ..parts.request import RestoreRequest
    from .asked import DrillCheck, Scratch

#: What of an object's comparison is wrong, as a failure calls it.
_WRONG = {
    "tables_missing": "a table is missing",
    "tables_extra": "a table that the archive does not make",
    "relations_missing": "a view or a sequence is missing",
    "sequences_wrong": "a sequence has another value",
    "constraints_missing": "a constraint is missing",
    "constraints_invalid": "a constraint is not valid",
    "indexes_missing": "an index is missing",
    "indexes_invalid": "an index is not valid",
    "routines_missing": "a routine is missing",
    "routines_unusable": "a routine cannot be used",
}


async def compare_database(
    job: Job, archive: OpenArchive, verified: Verified, expected: Expected, settings: PostgresSettings
) -> DatabaseProof:
    """Rows of every table that the archive fills, then the other objects. Raises ``DatabaseError``."""
    limit = settings.query_timeout
    rows = await answered(read_rows, settings, expected, limit=limit)
    other = {table for table, found in rows.items() if found.doubtful}
    if other:
        await _look_again(job, archive, verified, expected, settings, rows, other)
    objects = await answered(look_at_objects, settings, expected, limit=limit)
    return DatabaseProof(tables=tuple(_tables(expected, rows)), objects=objects)


async def _look_again(
    job: Job,
    archive: OpenArchive,
    verified: Verified,
    expected: Expected,
    settings: PostgresSettings,
    rows: dict[Table, Found],
    other: set[Table],
) -> None:
    """Let the server compare the values of tables whose rows have another text."""
    async with SecondLook(settings, {table: expected.copies[table] for table in other}) as again:
        pipeline = Pipeline()
        reading = archive.wire(pipeline, verified, only="database")
        pipeline.sink(again, reading.sql, name="second look")
        pipeline.sink(drain, reading.secrets, name="secrets")
        job.begin("plan", archive_total=archive.read_by("database"))
        await job.run(pipeline, reading.progress)
        for table in await in_thread(again.compare):
            rows[table].same = True


def _tables(expected: Expected, rows: dict[Table, Found]) -> Iterator[TableProof]:
    for table, copied in sorted(expected.copies.items()):
        found = rows[table]
        yield TableProof(
            name=f"{table.schema}.{table.name}".lstrip("."),
            rows_in_archive=copied.rows,
            rows_restored=found.rows,
            equal=found.same,
        )


class _VaultProof(VaultDryRun):
    """A comparison that goes beyond values."""

    stage = CompareAll

    @property
    def described(self) -> DescribedReport:
        """What it found besides values."""
        assert isinstance(self.look, CompareAll)
        return self.look.described


async def compare_vault(job: Job, archive: OpenArchive, request: RestoreRequest, *, show_paths: bool) -> VaultProof:
    """Every secret of the archive with the restored one: its value, and what else the archive says of it.

    Raises the errors of reading and the vault.
    """
    assert request.vault is not None
    part = _VaultProof(request.vault, prune=False)
    async with AsyncExitStack() as stack:
        await part.check(stack)
        verified = await archive.look(job, part.look, only="vault")
        await part.compare(job, verified, Findings())
        plan = part.report()["vault"]
        described = part.described
    paths = *plan.new_paths, *plan.changed_paths, *plan.unreadable_paths
    others = described.other_metadata, described.other_versions, described.unreadable
    return VaultProof(
        secrets_in_archive=verified.secrets,
        equal=plan.unchanged,
        missing=plan.new,
        changed=plan.changed,
        unreadable=plan.unreadable,
        extra=plan.extra,
        metadata_compared=described.metadata,
        metadata_other=described.other_metadata.count,
        metadata_unreadable=described.unreadable.count,
        versions_compared=described.versions,
        versions_other=described.other_versions.count,
        paths=tuple(dict.fromkeys((*paths, *(path for each in others for path in each.names)))) if show_paths else (),
    )


def failures(database: DatabaseProof | None, vault: VaultProof | None) -> Iterator[Failure]:
    """What is not as the archive says."""
    if database is not None:
        for table in database.tables:
            if table.rows_restored is not None and table.rows_restored != table.rows_in_archive:
                said = f"{table.name}: {table.rows_restored:,} of {table.rows_in_archive:,}"
                yield Failure(check="a table has another number of rows", name=said)
            elif table.rows_restored is not None and not table.equal:
                yield Failure(check="a table has other rows", name=table.name)
        for field, check in _WRONG.items():
            for name in getattr(database.objects, field):
                yield Failure(check=check, name=name)
    if vault is not None:
        for number, check in (
            (vault.missing, "secrets are missing"),
            (vault.changed, "secrets have another value"),
            (vault.unreadable, "secrets cannot be read"),
            (vault.extra or 0, "secrets that the archive does not have"),
            (vault.metadata_other, "secrets have other metadata or settings"),
            (vault.metadata_unreadable, "the metadata of secrets cannot be read"),
            (vault.versions_other, "secrets have other versions"),
            (
                vault.secrets_in_archive - vault.equal - vault.missing - vault.changed - vault.unreadable,
                "secrets were not compared",
            ),
        ):
            if number:
                yield Failure(check=check, name=f"{number:,} of {vault.secrets_in_archive:,}")


async def run_checks(checks: tuple[DrillCheck, ...], scratch: Scratch) -> tuple[CheckResult, ...]:
    """The operator's own checks, each for itself. Raises ``DatabaseUnreachable`` and ``VaultError``."""
    found = []
    for check in checks:
        if check.secret:
            there = scratch.vault is not None and await _exists(scratch.vault, check.secret)
            said = "there" if there else "not there"
            found.append(CheckResult(name=check.name, expected="there", found=said, passed=there))
        elif scratch.database is None:
            found.append(CheckResult(name=check.name, expected=check.expect, found="no database", passed=False))
        else:
            limit = scratch.database.query_timeout
            said = await answered(_value, scratch.database, check.sql, limit=limit)
            found.append(CheckResult(name=check.name, expected=check.expect, found=said, passed=said == check.expect))
    return tuple(found)


async def vault_version(settings: VaultSettings) -> str:
    """The version of a vault's program, empty when it does not say. Raises ``VaultError``."""
    async with VaultClient(settings) as client:
        return await version_of(client)


async def _exists(settings: VaultSettings, path: str) -> bool:
    root, place = locate(settings.roots, path)
    async with VaultClient(settings) as client:
        return isinstance(await client.read(root.mount, place), FoundSecret)


def _value(settings: PostgresSettings, query: str) -> str:
    """The only value of a query's answer as text; for one that fails its SQLSTATE."""
    with connect(settings) as connection:
        connection.execute("SET default_transaction_read_only = on")
        try:
            cursor = connection.execute(query.encode())
            row = cursor.fetchone() if cursor.description else None
        except psycopg.OperationalError:
            raise
        except psycopg.Error as exc:
            return f"SQLSTATE {exc.sqlstate}"
    if row is None:
        return "no row"
    if len(row) != 1:
        return f"{len(row)} columns"
    return _text(row[0])


def _text(value: object) -> str:
    """A value as checks are written."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
