"""A backup: the DAG, and the function that runs it.

    pg_dump ──┐
              ├─ seal ─ upload
    vault ────┘

``seal`` writes the payload, compresses, encrypts and hashes it, in one hop.

The SQL comes first in the payload, so that a restore meets what fails most often before it touches a secret.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from ..formats.seal import derive_key
from ..formats.secret import MAX_ITEM, Secret
from ..formats.v1 import NONCE_SIZE, SALT_SIZE, BackupType, Header, archive_name, encode_preamble
from ..stages.archive_sink import PART, SMALLEST_S3_PART, ArchiveSink
from ..stages.codec import Assemble
from ..stages.drain import nothing
from ..stages.errors import ConfigurationError, ObjectExists, ObjectMissing
from ..stages.steps import Compress, Seal, Sha256
from .claims import claimed
from .engine import Pipeline, in_thread
from .job import JOB_TIMEOUT, Job, check_password, open_store, within
from .opening import full_name
from .report import BackupReport
from .waiting import DATABASE, STORE, VAULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..stages.pg.dump import PgDump
    from ..stages.pg.settings import PostgresSettings
    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from ..stages.vault.client import VaultClient
    from ..stages.vault.settings import VaultSettings
    from ..stages.vault.source import VaultSource
    from .engine import Outlet
    from .job import Logger
    from .report import OnProgress

#: Unfinished uploads of ours older than this are aborted by the next backup.
STALE_UPLOADS = timedelta(days=1)


async def backup(
    *,
    store: S3Settings | DirectorySettings | ObjectStore,
    password: str,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    include_audit: bool = True,
    name: str | None = None,
    allow_unreadable: bool = False,
    part_size: int | None = None,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> BackupReport:
    """Back up a database, a vault, or both, into one archive that appears only when it is complete.

    ``name`` is the archive's name without the store's prefix (made from type and time when None), ``part_size`` bytes
    per part of the upload (8 MiB when None), ``timeout`` seconds for the whole job.
    ``on_progress`` is called about four times a second. Nothing is logged unless ``log`` is given.

    Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through. Either way nothing is left behind.
    Serves the specification's sections Running Backups and Backup File Format.
    """
    kind = _kind(database, vault)
    check_password(password)
    if part_size is not None:
        _check_part_size(part_size, store)
    if name is not None and not name.endswith(".enc"):
        raise ConfigurationError(f"The name {name!r} does not end in .enc.", hint="Listings show such names only.")
    job = Job(on_progress, log)

    async def work() -> BackupReport:
        async with AsyncExitStack() as stack:
            job.asks = STORE
            target = await stack.enter_async_context(open_store(store))
            object_name, now = await _free_name(stack, store, target, name, kind)
            header = Header(
                created_at=now,
                backup_type=kind,
                includes_db=database is not None,
                includes_kv=vault is not None,
                includes_audit=include_audit and database is not None,
            )
            sources = _Sources()
            if database is not None:
                job.asks = DATABASE
                await sources.add_database(database, stack, include_audit=include_audit)
            if vault is not None:
                job.asks = VAULT
                await sources.add_vault(vault, stack, allow_unreadable=allow_unreadable)
            job.asks = STORE
            if aborted := await target.abort_stale(max(STALE_UPLOADS, 2 * timedelta(seconds=timeout))):
                job.log("aborted unfinished uploads", count=aborted)
            return await _run(job, target, object_name, header, password, sources, part_size or PART)

    return await within(timeout, work, job)


def _kind(database: PostgresSettings | None, vault: VaultSettings | None) -> BackupType:
    if database is None and vault is None:
        raise ConfigurationError("There is nothing to back up.", hint="Configure [database], [vault] or both.")
    return "vault" if database is None else "database" if vault is None else "full"


def _check_part_size(part_size: int, store: object) -> None:
    """A store says that its parts are too small when all are there: after hours, perhaps."""
    from ..stages.stores.directory import DirectorySettings

    least = 64 * 1024 if isinstance(store, DirectorySettings) else SMALLEST_S3_PART
    if part_size < least:
        raise ConfigurationError(
            f"A part size of {part_size} bytes is too small.", hint=f"Use {least} or more, or leave part_size out."
        )


async def _free_name(
    stack: AsyncExitStack,
    store: S3Settings | DirectorySettings | ObjectStore,
    target: ObjectStore,
    name: str | None,
    kind: BackupType,
) -> tuple[str, datetime]:
    """The archive's full name, claimed until the stack is left, and its time.

    A name that is taken, or that a running backup will take, is refused; one that we made waits for the next second.
    The store refuses again at the end, where it can.
    """
    while True:
        now = datetime.now(UTC)
        full = archive_name(target.prefix, kind, now) if name is None else full_name(target, name)
        with ExitStack() as claim:
            ours = claim.enter_context(claimed(store, full))
            try:
                await target.head(full)
            except ObjectMissing:
                if ours:
                    stack.push(claim.pop_all())
                    return full, now
                error = ObjectExists(
                    f"Another backup is running that will be named {full}.", hint="Choose another name, or wait for it."
                )
            else:
                error = ObjectExists(
                    f"There is an archive named {full} already.", hint="Choose another name, or delete that one."
                )
        if name is not None:
            raise error
        await anyio.sleep(1)


@dataclass
class _Sources:
    """Where the data comes from, checked and connected; ``estimate`` is the database's size on disk in bytes."""

    dump: PgDump | None = None
    secrets: VaultSource | None = None
    estimate: int = 0

    async def add_database(self, settings: PostgresSettings, stack: AsyncExitStack, *, include_audit: bool) -> None:
        from ..stages.pg.dump import PgDump
        from ..stages.pg.lock import hold_database
        from ..stages.pg.preflight import check_backup

        tool, facts = await check_backup(settings)
        await stack.enter_async_context(hold_database(settings, "backup"))
        self.estimate = facts.size
        self.dump = PgDump(settings, include_audit=include_audit, checked=(tool, facts))

    async def add_vault(self, settings: VaultSettings, stack: AsyncExitStack, *, allow_unreadable: bool) -> None:
        from ..stages.vault.client import VaultClient
        from ..stages.vault.source import VaultSource

        client: VaultClient = await stack.enter_async_context(VaultClient(settings))
        self.secrets = VaultSource(client, settings.roots, workers=settings.workers, allow_unreadable=allow_unreadable)


async def _run(
    job: Job,
    store: ObjectStore,
    name: str,
    header: Header,
    password: str,
    sources: _Sources,
    part_size: int,
) -> BackupReport:
    salt, nonce = os.urandom(SALT_SIZE), os.urandom(NONCE_SIZE)
    digest = Sha256()
    sink = ArchiveSink(
        store,
        name,
        preamble_size=len(encode_preamble(header, salt, nonce)),
        preamble=lambda: encode_preamble(replace(header, checksum=digest.hexdigest), salt, nonce),
        part_size=part_size,
    )
    steps = Compress(), Seal(await in_thread(derive_key, password, salt), nonce), digest
    seal = Assemble(header, *steps, name="seal")
    job.begin("backup", sql_total=sources.estimate)
    snapshot = await job.run(
        _wire(sources, seal, sink),
        sql_bytes=lambda s: s.edge("pg_dump").bytes,
        secrets=lambda s: s.edge("vault").items,
        archive_bytes=lambda s: s.edge("seal").bytes,
    )
    assert sink.info is not None
    vault = sources.secrets.report if sources.secrets else None
    dump = sources.dump.report if sources.dump else None
    return BackupReport(
        name=name,
        backup_type=header.backup_type,
        created_at=header.created_at,
        size=sink.info.size,
        checksum=digest.hexdigest,
        sql_bytes=snapshot.edge("pg_dump").bytes,
        secrets=snapshot.edge("vault").items,
        deleted=vault.deleted if vault else 0,
        unreadable_count=vault.unreadable_count if vault else 0,
        unreadable=tuple(path for path, _ in vault.unreadable) if vault else (),
        without_rows=tuple(str(table) for table in dump.without_rows) if dump else (),
        warnings=(*(dump.warnings if dump else ()), *(vault.warnings() if vault else ())),
        seconds=job.finish(),
        stages=snapshot.stages,
    )


def _wire(sources: _Sources, seal: Assemble, sink: ArchiveSink) -> Pipeline:
    """The DAG drawn at the top of this module."""
    pipeline = Pipeline()
    dumped = anyio.Event()
    dump: Callable[[Outlet[bytes]], Awaitable[None]] = sources.dump or nothing
    sql = pipeline.source(_Telling(dump, dumped), name="pg_dump")
    vault: Callable[[Outlet[Secret]], Awaitable[None]] = _After(dumped, sources.secrets) if sources.secrets else nothing
    secrets = pipeline.source(vault, name="vault", max_item=MAX_ITEM)
    pipeline.sink(sink, pipeline.pipe(seal, sql, secrets))
    return pipeline


@dataclass
class _Telling:
    """A source of SQL that sets an event when it has sent everything."""

    source: Callable[[Outlet[bytes]], Awaitable[None]]
    done: anyio.Event

    async def __call__(self, out: Outlet[bytes]) -> None:
        await self.source(out)
        self.done.set()


class _After:
    """The vault's source, from the moment on when pg_dump has ended.

    What it read earlier would wait on its edge and be old when it is written. It cannot deadlock: the assembler reads
    all of the SQL before the first secret.
    """

    def __init__(self, event: anyio.Event, source: VaultSource) -> None:
        self._event = event
        self._source = source
        self.senders = source.senders
        self.working_set = source.working_set

    async def __call__(self, out: Outlet[Secret]) -> None:
        await self._event.wait()
        await self._source(out)
