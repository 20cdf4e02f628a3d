"""A conversion: an archive of one format, read, and written in another with the same contents.

    download ─ … ─ SQL ─ text ─┐
                               ├─ … ─ upload
    download ─ … ─ secrets ────┘

What is before and behind the two edges is drawn in ``archives/v1.py`` and ``archives/v2.py``. The source is verified to
its last byte first, and the reading that is written is held against what was verified, as in a restore.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from ..formats.codecs.zstd import LEVEL
from ..formats.facts import Facts
from ..formats.secret import MAX_ITEM
from ..stages.archive.plain import PlainSecrets, PlainSql
from ..stages.errors import ConfigurationError
from ..stages.words import STORE, one_or_more
from .archives.claims import free_name
from .archives.opening import open_archive
from .archives.writing import begin_archive
from .engine import Edge, Pipeline, drain
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.keys import NO_KEYS, Keys, check_reading, check_writing
from .parts.passwords import check_making
from .parts.request import Format, check_archive_name, check_format, check_part_size
from .reports.contents import ConvertReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..formats.v2.recorded import Recorded
    from ..stages.stores.base import ObjectStore, StoreSettings
    from .archives.reading import OpenArchive, Verified
    from .reports.jobs import OnProgress


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """What ``convert`` is asked for, which explains each. Raises ``ConfigurationError`` for what cannot be done."""

    source: str
    store: StoreSettings
    format: Format
    old_password: str | None = field(default=None, repr=False)
    new_password: str | None = field(default=None, repr=False)
    keys: Keys = NO_KEYS
    name: str | None = None
    level: int = LEVEL
    part_size: int | None = None
    allow_weak_password: bool = False
    timeout: float = JOB_TIMEOUT

    def __post_init__(self) -> None:
        check_format(self.format, self.level)
        check_reading(self.old_password, self.keys)
        if self.format == "v1":  # the keys are those of the old archive
            check_making(self.password or "", allow_weak=self.allow_weak_password)
        else:
            check_writing(self.password, self.keys, slots=True, allow_weak=self.allow_weak_password)
        check_part_size(self.store, self.part_size)
        check_archive_name(self.name)

    @property
    def password(self) -> str | None:
        """That of the new archive."""
        return self.old_password if self.new_password is None else self.new_password


async def convert(
    name: str,
    *,
    store: StoreSettings,
    format: Format,  # noqa: A002 - what everybody calls it
    password: str | None = None,
    new_password: str | None = None,
    keys: Keys = NO_KEYS,
    new_name: str | None = None,
    level: int = LEVEL,
    part_size: int | None = None,
    allow_weak_password: bool = False,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> ConvertReport:
    """Write an archive again in another format, with the same contents, time and type; the old one stays.

    ``password`` or ``keys`` open the old archive; the new one gets ``new_password`` (the same when None) and what
    ``keys`` say of writing. ``new_name`` is its name without the store's prefix: that of the old one with ``-v2`` (or
    ``-v1``) before its end when None. ``level``, ``part_size`` and
    ``allow_weak_password`` are as for ``backup``. An archive that a restore
    would refuse because of who signed it is refused here too.

    Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through. Either way nothing new is there.
    """
    request = ConvertRequest(
        source=name,
        store=store,
        format=format,
        old_password=password,
        new_password=new_password,
        keys=keys,
        name=new_name,
        level=level,
        part_size=part_size,
        allow_weak_password=allow_weak_password,
        timeout=timeout,
    )
    return await run_convert(request, on_progress, log)


async def run_convert(
    request: ConvertRequest, on_progress: OnProgress = None, log: Logger | None = None
) -> ConvertReport:
    """As ``convert``, for what is asked in one piece."""
    job = Job(on_progress, log)

    async def work() -> ConvertReport:
        async with AsyncExitStack() as stack:
            with job.asking(STORE):
                store = await stack.enter_async_context(request.store.open())
                archive = await open_archive(store, request.source, request.old_password, request.keys)
                archive.check_signer(request.keys)
                if archive.header.version == get_args(Format).index(request.format) + 1:
                    raise ConfigurationError(
                        f"{archive.info.name} is of format {request.format} already.", hint="There is nothing to do."
                    )
                new = request.name or new_name(archive.info.name, request.format)
                free = free_name(request.store, store, new, archive.header.backup_type)
                name, _ = await stack.enter_async_context(free)
            verified = await archive.verify(job)
            with job.asking(STORE):
                await archive.check_unchanged()
            return await _write(job, request, store, archive, verified, name)

    return await within(request.timeout, work, job)


async def _write(
    job: Job, request: ConvertRequest, store: ObjectStore, archive: OpenArchive, verified: Verified, name: str
) -> ConvertReport:
    """The DAG drawn at the top of this module, and what it did."""
    header = archive.header
    facts = Facts(
        created_at=header.created_at,
        backup_type=header.backup_type,
        includes_db=header.includes_db,
        includes_kv=header.includes_kv,
        includes_audit=header.includes_audit,
    )
    writer = await begin_archive(request, facts)
    recorded = await archive.recorded()
    writer.record(recorded)
    upload = writer.sink(store, name, request.part_size)
    pipeline = Pipeline()
    # A reading each, as the writer wants all of the SQL before the first secret: branches of one could wait for ever.
    database = archive.wire(pipeline, verified, only="database")
    vault = archive.wire(pipeline, verified, only="vault")
    pipeline.sink(drain, database.secrets, name="no secrets")
    pipeline.sink(drain, vault.sql, name="no SQL")
    sql: Edge[Any] = writer.cut(pipeline, pipeline.pipe(PlainSql(), database.sql))
    secrets, plain = vault.secrets, PlainSecrets()
    if request.format == "v1":
        secrets = pipeline.pipe(plain, secrets, max_item=MAX_ITEM)
    out = writer.wire(pipeline, sql, secrets)
    pipeline.sink(upload, out)

    def progress() -> dict[str, int]:
        return {"sql_bytes": database.sql.bytes, "secrets": vault.secrets.items, "archive_bytes": out.bytes}

    job.begin(
        "convert",
        sql_total=verified.sql_bytes,
        secrets_total=verified.secrets,
    )
    snapshot = await job.run(pipeline, progress)
    assert upload.info is not None
    return ConvertReport(
        name=name,
        source=archive.info.name,
        source_size=archive.info.size,
        format=request.format,
        backup_type=header.backup_type,
        created_at=header.created_at,
        size=upload.info.size,
        checksum=writer.checksum,
        sql_bytes=database.sql.bytes,
        secrets=secrets.items,
        warnings=tuple(_dropped(plain, recorded)) if request.format == "v1" else (),
        seconds=job.finish(),
        stages=snapshot.stages,
    )


def _dropped(plain: PlainSecrets, recorded: Recorded) -> Iterator[str]:
    """What an archive of format V1 has no place for, by number."""
    counts = (
        (plain.described, "the metadata of {}", "secret", "secrets"),
        (plain.older, "{}", "older version", "older versions"),
        (plain.without_value, "{}", "key without a value", "keys without a value"),
        (len(recorded.mounts), "what is known of {}", "KV mount", "KV mounts"),
        (len(recorded.policies), "{}", "policy", "policies"),
        (len(recorded.roles), "{}", "role", "roles"),
    )
    lost = [text.format(f"{number:,} {one_or_more(number, one, more)}") for number, text, one, more in counts if number]
    if lost:
        yield f"Format V1 has no place for all of it: the new archive is without {', '.join(lost)}."


def new_name(name: str, format: Format) -> str:  # noqa: A002 - what everybody calls it
    """The usual name of a converted archive: ``backup-full-20260117-020000-v2.enc``."""
    return re.sub(r"(-v[12])?(\.enc)?\Z", f"-{format}.enc", name, count=1)
