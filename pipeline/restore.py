"""A restore: verify everything first, then the mirror DAG, then COMMIT.

    download ─ recheck ─ sha256 ─ open ─ gunzip ─ split ─┬─ PostgreSQL, one transaction
                                                         └─ vault, 20 workers

Every block is held back until it is known to be the one that the verification saw. No secret is written before the
server has executed all of the SQL, which is what fails most often; an archive that has its secrets first is therefore
read once for each. COMMIT is written only when every reading was authenticated to
its last byte and the vault stage ended within its threshold: ``run()`` returns only then.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint_if_cancelled

from ..stages.words import DATABASE, STORE
from .archives.opening import opened_archive
from .before import back_up_first
from .engine import Pipeline, Snapshot, drain
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.choice import Targets, chosen, importing, targets
from .parts.keys import NO_KEYS, Keys
from .parts.names import HOLDS, PartName
from .parts.request import BackupRequest, RestoreRequest
from .reports.jobs import BackupReport, OnProgress, RestoreReport
from .undo import refuse_unfinished

if TYPE_CHECKING:
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.stores.base import StoreSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .archives.reading import OpenArchive, Reading, Verified


async def restore(
    name: str,
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    only: PartName | None = None,
    prune: bool = False,
    search_path: tuple[str, ...] = (),
    system: str = "",
    from_other_system: bool = False,
    secrets: tuple[str, ...] = (),
    to: str = "",
    into_database: str = "",
    create: bool = False,
    into_mount: str = "",
    backup_first: BackupRequest | None = None,
    state: Path | None = None,
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> RestoreReport:
    """Bring an archive back: what it holds of a database into ``database``, of a vault into ``vault``.

    Whatever it holds is overwritten there. The archive is read twice: nothing is written before the first reading
    has verified it to its last byte. The database is restored in one transaction, committed last. A part for which no
    target is given is left alone; so is all but ``only`` one, when that is asked for.

    Secrets that the archive does not have stay, unless ``prune`` is asked for: then they are removed when everything
    else is committed (in KV version 2 their newest version is deleted and can be undeleted, in version 1 they are
    gone). What cannot be removed is a warning.

    ``keys`` are for archives of format V2: private keys that open them where there is no ``password``, and the signers
    who are trusted; ``UnknownSigner`` is raised for an archive that a stranger may have made.

    ``search_path`` are schemas in which functions of the archive find what they name without one, while they run during
    the restore. pg_dump writes an empty path, and some archives cannot be restored with that; the error says so then.

    ``system`` is the installation's id. An archive of format V2 that says another one is refused (``OtherSystem``)
    unless it is asked for by ``from_other_system``; what says none is restored as ever.

    ``secrets`` are archive paths, or patterns for them (``*``, ``?``, ``[…]``): only these secrets are restored then,
    and the database is left alone. Of format V2 only the chunks are read that hold them. ``to`` is another path for the
    one that was chosen. ``ConfigurationError`` names the nearest paths when one is not in the archive.

    ``into_database`` is another database on the server of ``database``; with ``create`` it is made if it is missing,
    with the encoding and locale of that one, and dropped again if the restore fails. ``into_mount`` is another KV mount
    of the vault, or a folder in one (``MOUNT/FOLDER``), below which all paths of the archive go. What is configured is
    left alone then. An ``undo_restore`` must be given the same places.

    ``backup_first`` is a backup of the places that are written to, taken with its settings (its own database and vault
    do not matter) and finished before anything is written; the report's ``backup`` is its name. When it fails, its
    error is raised with the effect ``nothing``.

    Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through (one that arrives during
    the COMMIT waits for it, and then everything is restored). Otherwise the database is as before, and
    secrets that were written are put back; the error names those that could not be. For this a journal
    lies in the directory ``state`` (default: ``KLEIDIA_STATE_DIR``, else ``/var/lib/kleidia-backup`` for root, else
    ``kleidia-backup`` in ``XDG_STATE_HOME`` or ``~/.local/state``). While one is there that a killed restore left
    behind, this raises ``UnfinishedRestore``: call ``undo_restore`` or ``dismiss_restore`` first.
    Serves the specification's section Restoring from Backup.
    """
    request = RestoreRequest(
        name=name,
        store=store,
        password=password,
        keys=keys,
        database=database,
        vault=vault,
        only=only,
        prune=prune,
        search_path=search_path,
        system=system,
        from_other_system=from_other_system,
        secrets=secrets,
        to=to,
        into_database=into_database,
        create=create,
        into_mount=into_mount,
        backup_first=backup_first,
        state=state,
        timeout=timeout,
    )
    return await run_restore(request, on_progress, log)


async def run_restore(
    request: RestoreRequest, on_progress: OnProgress = None, log: Logger | None = None
) -> RestoreReport:
    """As ``restore``, for what is asked in one piece."""
    job = Job(on_progress, log)
    started = perf_counter()

    async def work() -> RestoreReport:
        await refuse_unfinished(request.state)
        with job.asking(DATABASE):
            place = await request.place.looked(create=request.create)
        async with AsyncExitStack() as stack:
            opened = opened_archive(job, request.store, request.name, request.password, request.keys, chosen(request))
            with importing(request):
                archive = await stack.enter_async_context(opened)
            archive.check_signer(request.keys)
            if not request.from_other_system:
                archive.check_system(request.system)
            parts = targets(archive.header, request)
            before = await back_up_first(request, parts, place.absent, on_progress, log)
            if before is not None:  # should the restore fail, this is where its name stands
                job.log("backed up before the restore", archive=before.name)

            def undone() -> bool:
                return parts.database.transaction is None or parts.database.rolled_back()

            if parts.database.used:
                with job.asking(DATABASE):
                    await place.make(stack, undone)
            await parts.each(job, lambda part: part.check(stack))

            def rolled_back() -> bool:
                return any(part.rolled_back() for part in parts)

            # Left after the session with PostgreSQL, and before the lock on it.
            await parts.each(job, lambda part: part.guard(job, stack, archive.info.name, rolled_back))
            verified = await archive.look(job, parts.vault.look, only=parts.only)
            with job.asking(STORE):
                await archive.check_unchanged()
            for part in parts:
                part.check_archive()
            await parts.each(job, lambda part: part.open(stack, verified))
            snapshot = await _apply(job, archive, parts, verified)
            for part in parts:
                await part.finish(job, request.timeout - (perf_counter() - started))
            return _report(job, archive, verified, parts, snapshot, request, before)

    return await within(request.timeout, work, job)


async def _apply(job: Job, archive: OpenArchive, parts: Targets, verified: Verified) -> Snapshot:
    """The second reading (or, for an archive with its secrets first, the second and the third), and COMMIT."""
    both = parts.database.used and parts.vault.used
    apart = both and not verified.sql_first
    database, vault = parts.database.sink, parts.vault.sink
    for sql_stage, secret_stage in ((database, drain), (drain, vault)) if apart else ((database, vault),):
        pipeline = Pipeline()
        reading = archive.wire(pipeline, verified, only=parts.only)
        pipeline.sink(sql_stage, reading.sql, name="postgresql")
        after_sql = reading.sql.consumed if both and not apart else None
        pipeline.sink(secret_stage, reading.secrets, when=after_sql, name="vault")
        job.begin(
            "restore",
            archive_total=archive.read_by(parts.only),
            sql_total=verified.sql_bytes,
            secrets_total=verified.secrets,
        )
        snapshot = await job.run(pipeline, partial(_progress, reading, parts))
    await checkpoint_if_cancelled()  # the last chance: what ends here is whole on both sides
    job.begin("commit")
    for part in parts:
        await part.committing(parts.database.transaction)
    for part in parts:
        await part.commit()
    for part in parts:
        part.committed()
    return snapshot


def _progress(reading: Reading, parts: Targets) -> dict[str, int]:
    return reading.progress() | parts.fields(lambda part: part.progress())


def _report(
    job: Job,
    archive: OpenArchive,
    verified: Verified,
    parts: Targets,
    snapshot: Snapshot,
    request: RestoreRequest,
    before: BackupReport | None,
) -> RestoreReport:
    return RestoreReport(
        name=archive.info.name,
        header=archive.header,
        size=archive.info.size,
        left_alone=parts.left_alone,
        backup=before.name if before else None,
        into=request.elsewhere,
        warnings=(
            *(f"The backup before it: {warning}" for warning in (before.warnings if before else ())),
            *(f"The archive's {HOLDS[part]} not restored: no [{part}] is configured." for part in parts.left_alone),
            *(warning for part in parts for warning in part.warnings()),
        ),
        seconds=job.finish(),
        load=job.meter.load(),
        stages=snapshot.stages,
        **parts.fields(lambda part: part.report(verified)),
    )
