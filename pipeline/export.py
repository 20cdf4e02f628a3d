"""Exports: some or all of an archive in clear text, into a file on this machine or to the caller.

    download ─ read ─┬─ (choose) ─ lines ─ file       secrets
                     ├─ text ─ file                   the SQL
                     └─ csv ─ file                    the rows of one table

Of format V2 only what is asked for is read, once: each chunk is compared with the index before it is used. V1 is read
twice, as for a restore: what the second reading gives was verified by the first. The file appears only when everything
was authenticated and written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..stages.archive.plain import PlainSql
from ..stages.errors import ConfigurationError
from ..stages.extract.choose import Choose, NotInArchive
from ..stages.extract.file import FileSink, refuse_existing
from ..stages.extract.texts import SecretLines, TableCsv
from ..stages.pg.server.settings import Table
from ..stages.pg.survey import copied
from ..stages.words import STORE
from .archives.opening import opened_archive
from .engine import Edge, Inlet, Pipeline, Snapshot, drain, in_thread
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.keys import NO_KEYS, Keys, check_reading
from .reports.contents import ExportReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..formats.secret import Secret
    from ..stages.stores.base import StoreSettings
    from .archives.reading import OpenArchive, Reading, Verified
    from .parts.names import PartName
    from .reports.jobs import OnProgress

T = TypeVar("T")

#: Most bytes of secrets that are given to the caller, who holds them all.
MOST = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What every export is told. ``timeout`` is in seconds. Raises ``ConfigurationError`` as ``restore`` does.

    ``file`` is only replaced when ``overwrite`` is asked for; its owner alone can read it.
    """

    name: str
    store: StoreSettings
    password: str | None
    keys: Keys = NO_KEYS
    file: Path | None = None
    overwrite: bool = False
    on_progress: OnProgress = None
    log: Logger | None = None
    timeout: float = JOB_TIMEOUT

    def __post_init__(self) -> None:
        check_reading(self.password, self.keys)


async def export_secrets(request: ExportRequest, patterns: Sequence[str] = ()) -> ExportReport:
    """Write secrets into the request's file, a line of JSON each: those that ``patterns`` choose, all without them.

    ``patterns`` are as the ``secrets`` of ``restore``. Raises ``ConfigurationError`` (which names the nearest paths of
    one that is not there), ``UnknownSigner``, and the ``ArchiveError`` and ``StoreError`` trees; then no file is made.
    """
    lines = SecretLines()

    def wire(pipeline: Pipeline, reading: Reading) -> Edge[bytes]:
        pipeline.sink(drain, reading.sql, name="SQL")
        return pipeline.pipe(lines, reading.secrets)

    choose = Choose(patterns) if patterns else None
    return await _export(request, "vault", wire, lambda: {"secrets": lines.secrets}, choose)


async def export_sql(request: ExportRequest) -> ExportReport:
    """Write the script that pg_dump made into the request's file. Raises as ``export_secrets``."""

    def wire(pipeline: Pipeline, reading: Reading) -> Edge[bytes]:
        pipeline.sink(drain, reading.secrets, name="secrets")
        return pipeline.pipe(PlainSql(), reading.sql)

    return await _export(request, "database", wire, dict)


async def export_table(request: ExportRequest, table: str) -> ExportReport:
    """Write the rows of a table (``schema.name``) into the request's file, as CSV with a header.

    It is as PostgreSQL writes it: NULL is empty, an empty text ``""``. Raises as ``export_secrets``; the error names
    the nearest tables of which the archive has rows.
    """

    async def work(job: Job, archive: OpenArchive) -> ExportReport:
        _check_part(archive, "database")
        if archive.index is not None:
            tables = (copied(line.copy.encode()) for line in archive.index.copies)
            found, verified = _find_table(filter(None, tables), table), None
        else:
            verified = await archive.look(job, drain)
            found = _find_table(verified.facts.rows, table)
        csv = TableCsv(found)

        def wire(pipeline: Pipeline) -> Edge[bytes]:
            reading = archive.wire_rows(pipeline, verified, lambda copy: copied(copy.encode()) == found)
            pipeline.sink(drain, reading.secrets, name="secrets")
            return pipeline.pipe(csv, reading.sql)

        name = f"{found.schema}.{found.name}"
        return await _write(job, request, archive, wire, lambda: {"table": name, "rows": csv.rows})

    return await _opened(request, work)


async def read_secrets(request: ExportRequest, patterns: Sequence[str]) -> list[Secret]:
    """The secrets that ``patterns`` choose. Raises as ``export_secrets``, and for more than 64 MiB."""
    found: list[Secret] = []
    without: list[str] = []

    async def gather(secrets: Inlet[Secret]) -> None:
        size = 0
        async for secret in secrets:
            size += secret.nbytes
            if size > MOST:
                raise ConfigurationError("These secrets are too large to be shown.", hint="Export them into a file.")
            if secret.gone:
                without.append(secret.path)
            else:
                found.append(secret)

    async def work(job: Job, archive: OpenArchive) -> list[Secret]:
        _check_part(archive, "vault")
        verified = await _looked(job, archive, "vault", choose)
        pipeline = Pipeline()
        reading = archive.wire(pipeline, verified, only="vault")
        pipeline.sink(drain, reading.sql, name="SQL")
        pipeline.sink(gather, reading.secrets)
        await job.run(pipeline, reading.progress)
        if without and not found:
            raise ConfigurationError(
                f"{without[0]} has no value in the archive: its newest version was deleted or destroyed, or never was.",
                hint="An older archive may have one.",
            )
        return found

    choose = Choose(patterns)
    return await _opened(request, work, choose)


async def _opened(
    request: ExportRequest, work: Callable[[Job, OpenArchive], Awaitable[T]], choose: Choose | None = None
) -> T:
    """Do something with the archive, if its signer is trusted where that is needed."""
    job = Job(request.on_progress, request.log)

    async def open_and_work() -> T:
        opened = opened_archive(job, request.store, request.name, request.password, request.keys, choose)
        async with opened as archive:
            archive.check_signer(request.keys)
            return await work(job, archive)

    return await within(request.timeout, open_and_work, job)


async def _export(
    request: ExportRequest,
    part: PartName,
    wire: Callable[[Pipeline, Reading], Edge[bytes]],
    counts: Callable[[], dict[str, Any]],
    choose: Choose | None = None,
) -> ExportReport:
    async def work(job: Job, archive: OpenArchive) -> ExportReport:
        _check_part(archive, part)
        verified = await _looked(job, archive, part, choose)

        def wired(pipeline: Pipeline) -> Edge[bytes]:
            return wire(pipeline, archive.wire(pipeline, verified, only=part))

        return await _write(job, request, archive, wired, counts)

    return await _opened(request, work, choose)


async def _looked(job: Job, archive: OpenArchive, part: PartName, choose: Choose | None) -> Verified | None:
    """What the reading that gives the texts has to know, which of format V2 mostly is nothing. Raises as ``look``."""
    if choose is None or choose.settled:
        return await archive.look_first(job)
    return await archive.look(job, drain, only=part)


async def _write(
    job: Job,
    request: ExportRequest,
    archive: OpenArchive,
    wire: Callable[[Pipeline], Edge[bytes]],
    counts: Callable[[], dict[str, Any]],
) -> ExportReport:
    """The second reading, into the file."""
    with job.asking(STORE):
        await archive.check_unchanged()
    assert request.file is not None
    await in_thread(partial(refuse_existing, request.file, _EXISTS, overwrite=request.overwrite))
    sink = FileSink(request.file, overwrite=request.overwrite)
    pipeline = Pipeline()
    texts = wire(pipeline)
    pipeline.sink(sink, texts)
    job.begin("convert")
    snapshot: Snapshot = await job.run(pipeline, lambda: {"archive_bytes": texts.bytes})
    return ExportReport(
        name=archive.info.name,
        header=archive.header,
        file=str(request.file),
        size=sink.size,
        seconds=job.finish(),
        stages=snapshot.stages,
        **counts(),
    )


_EXISTS = "Name another file, or give --overwrite."


def _check_part(archive: OpenArchive, part: PartName) -> None:
    header = archive.header
    if not (header.includes_kv if part == "vault" else header.includes_db):
        raise ConfigurationError(
            f"The archive has no {part} part: it is of type {header.backup_type}.", hint="Choose another archive."
        )


def _find_table(known: Iterable[Table], text: str) -> Table:
    """The table that is meant: by its exact name, or as SQL would read it."""
    names = {f"{table.schema}.{table.name}": table for table in known}
    if found := names.get(text):
        return found
    try:
        parsed = Table.parse(text)
    except ConfigurationError:
        parsed = Table("", text)
    read = f"{parsed.schema or 'public'}.{parsed.name}"
    if found := names.get(read):
        return found
    raise NotInArchive("rows of", [text], [*names])
