"""A restore: verify everything first, then the mirror DAG, then COMMIT.

    download ─ open ─┬─ psql, one transaction
                     └─ vault, 20 workers

Every block is held back until it is known to be the one that the verification saw. No secret is written before the
server has executed all of the SQL, which is what fails most often; an archive that has its secrets first is therefore
read once for each. COMMIT is written only when every reading was authenticated to
its last byte and the vault stage ended within its threshold: ``run()`` returns only then.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint_if_cancelled

from ..stages.drain import drain
from ..stages.errors import VaultForbidden
from .engine import Pipeline
from .job import JOB_TIMEOUT, Job, check_password, open_store, within
from .opening import OpenArchive, open_archive
from .parts import choose
from .report import RestoreReport
from .undo import refuse_unfinished, undone_on_failure
from .verify import COUNTERS, verify_pass
from .waiting import DATABASE, STORE, VAULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from ..formats.secret import Secret
    from ..formats.v1 import Header
    from ..stages.pg.preflight import DatabaseFacts
    from ..stages.pg.psql import PsqlSession
    from ..stages.pg.settings import PostgresSettings
    from ..stages.pg.tools import Tool
    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from ..stages.vault.client import VaultClient
    from ..stages.vault.journal import Journal
    from ..stages.vault.path_set import PathSet
    from ..stages.vault.settings import VaultSettings
    from ..stages.vault.sink import VaultSink
    from .engine import Inlet, Snapshot
    from .job import Logger
    from .parts import Part
    from .pruning import Pruned
    from .report import OnProgress
    from .verify import Verified

    SqlStage = Callable[[Inlet[bytes]], Awaitable[None]]
    SecretStage = Callable[[Inlet[Secret]], Awaitable[None]]

_LEFT_ALONE: dict[Part, str] = {
    "database": "The archive's database was not restored: no [database] is configured.",
    "vault": "The archive's secrets were not restored: no [vault] is configured.",
}


async def restore(
    name: str,
    *,
    store: S3Settings | DirectorySettings | ObjectStore,
    password: str,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    only: Part | None = None,
    prune: bool = False,
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

    Raises the tree in ``kleidia_backup.stages.errors``; cancellation passes through (one that arrives during
    the COMMIT waits for it, and then everything is restored). Otherwise the database is as before, and
    secrets that were written are put back; the error names those that could not be. For this a journal
    lies in the directory ``state`` (default: ``KLEIDIA_STATE_DIR``, else ``/var/lib/kleidia-backup`` for root, else
    ``kleidia-backup`` in ``XDG_STATE_HOME`` or ``~/.local/state``). While one is there that a killed restore left
    behind, this raises ``UnfinishedRestore``: call ``undo_restore`` or ``dismiss_restore`` first.
    Serves the specification's section Restoring from Backup.
    """
    check_password(password)
    job = Job(on_progress, log)

    started = perf_counter()

    async def work() -> RestoreReport:
        await refuse_unfinished(state)
        async with AsyncExitStack() as stack:
            job.asks = STORE
            opened = await stack.enter_async_context(open_store(store))
            archive = await open_archive(opened, name, password)
            parts = choose(archive.header, database, vault, only=only, prune=prune)
            targets = _Targets(archive.header, parts.database, parts.vault, prune, parts.left_alone)
            await targets.check(job, stack)
            if targets.client is not None:  # left after the session with PostgreSQL, and before the lock on it
                undo = undone_on_failure(job, targets.client, archive.info.name, state, targets.rolled_back)
                targets.journal = await stack.enter_async_context(undo)
            verified = await verify_pass(job, archive, targets.secret_check())
            job.asks = STORE
            await archive.check_unchanged()
            targets.check_prune()
            await targets.open(job, stack, verified)
            snapshot = await _apply(job, archive, targets, verified)
            await targets.finish(job, timeout - (perf_counter() - started))
            return _report(job, archive, verified, targets, snapshot)

    return await within(timeout, work, job)


async def _apply(job: Job, archive: OpenArchive, targets: _Targets, verified: Verified) -> Snapshot:
    """The second reading (or, for an archive with its secrets first, the second and the third), and COMMIT."""
    both = targets.session is not None and targets.sink is not None
    apart = both and not verified.sql_first
    counters = dict(COUNTERS)
    if (sink := targets.sink) is not None:  # the edge's counter is ahead of the workers by what waits for them
        counters["secrets"] = lambda _: sink.report.total
    for sql_stage, secret_stage in targets.stages(apart=apart):
        pipeline = Pipeline()
        sql, secrets = archive.wire(pipeline, archive.split(marks=verified.marks))
        pipeline.sink(sql_stage, sql, name="psql")
        pipeline.sink(secret_stage, secrets, name="vault")
        job.begin(
            "restore",
            archive_total=archive.ciphertext_size,
            sql_total=verified.sql_bytes,
            secrets_total=verified.secrets,
        )
        snapshot = await job.run(pipeline, **counters)
    await checkpoint_if_cancelled()  # the last chance: what ends here is whole on both sides
    job.begin("commit")
    if targets.session:
        if targets.journal:
            await targets.journal.committing(targets.session.transaction, targets.session.settings.where())
        await targets.session.commit()
    if targets.journal:
        targets.journal.remove()
    return snapshot


def _report(job: Job, archive: OpenArchive, verified: Verified, targets: _Targets, snapshot: Snapshot) -> RestoreReport:
    vault = targets.sink.report if targets.sink else None
    warnings = [_LEFT_ALONE[part] for part in targets.left_alone]
    if targets.session:
        warnings += targets.session.report.warnings
    if vault:
        warnings += vault.warnings()
    pruned = targets.pruned
    if pruned:
        warnings += pruned.warnings
    return RestoreReport(
        name=archive.info.name,
        header=archive.header,
        size=archive.info.size,
        sql_bytes=verified.sql_bytes if targets.session else 0,
        secrets=verified.secrets if vault else 0,
        tables=verified.tables if targets.session else 0,
        rows=verified.rows if targets.session else 0,
        written=vault.written if vault else 0,
        unchanged=vault.unchanged if vault else 0,
        failed_count=vault.failed_count if vault else 0,
        failed=tuple(path for path, _ in vault.failed) if vault else (),
        pruned_count=pruned.count if pruned else 0,
        pruned=pruned.paths if pruned else (),
        unpruned_count=pruned.left if pruned else 0,
        left_alone=targets.left_alone,
        preserved=tuple(str(table) for table in targets.session.report.preserved) if targets.session else (),
        warnings=tuple(warnings),
        seconds=job.finish(),
        stages=snapshot.stages,
    )


async def _check_vault_rights(client: VaultClient, settings: VaultSettings) -> None:
    """Refuse a token that may not write before anything is read. Raises ``VaultForbidden``."""
    from ..stages.vault.check import check_vault

    missing = await check_vault(client, settings.roots, restore=True)
    # A token that may not even ask for its rights is found out when it writes.
    if lacking := [right for right in missing if "capabilities-self" not in right]:
        raise VaultForbidden(
            f"The token may not write what is to be restored: it lacks {', '.join(lacking)}.",
            hint="Grant it, or restore with another token; `kleidia-backup test-connection` shows all rights.",
        )


@dataclass
class _Targets:
    """Where the archive goes: checked before anything is read, opened after everything was verified."""

    header: Header
    database: PostgresSettings | None
    vault: VaultSettings | None
    prune: bool = False
    left_alone: tuple[Part, ...] = ()
    checked: tuple[Tool, DatabaseFacts] | None = None
    session: PsqlSession | None = None
    client: VaultClient | None = None
    sink: VaultSink | None = None
    journal: Journal | None = None
    known: PathSet | None = None  # the archive's paths, for a prune
    seen: set[str] = field(default_factory=set)  # the prefixes of the roots of which the archive has secrets
    pruned: Pruned | None = None

    async def check(self, job: Job, stack: AsyncExitStack) -> None:
        """Connect to both and ask for what can be known before the archive is read."""
        if self.database is not None:
            from ..stages.pg.lock import hold_database
            from ..stages.pg.preflight import check_restore

            job.asks = DATABASE
            self.checked = await check_restore(self.database)
            await stack.enter_async_context(hold_database(self.database, "restore"))
        if self.vault is not None:
            from ..stages.vault.client import VaultClient

            job.asks = VAULT
            self.client = await stack.enter_async_context(VaultClient(self.vault))
            await _check_vault_rights(self.client, self.vault)
            if self.prune:
                from ..stages.vault.path_set import PathSet
                from .pruning import check_rights

                await check_rights(self.client, self.vault)
                self.known = PathSet()

    def rolled_back(self) -> bool:
        """Whether the server said that the transaction was rolled back."""
        return self.session is not None and self.session.report.rolled_back

    def secret_check(self) -> SecretStage:
        """A sink for the first reading that refuses what the second could not write."""
        if self.vault is None:
            return drain
        from ..stages.vault.roots import locate

        roots = self.vault.roots

        async def check(secrets: Inlet[Secret]) -> None:
            while batch := await secrets.batch():
                for secret in batch:
                    root, _ = locate(roots, secret.path)
                    self.seen.add(root.prefix)
                    if self.known is not None:
                        self.known.add(secret.path)

        return check

    def check_prune(self) -> None:
        """Refuse to remove everything."""
        if self.prune:
            from .pruning import check_archive

            assert self.vault is not None
            check_archive(self.vault.roots, self.seen)

    async def finish(self, job: Job, seconds: float) -> None:
        """What is done when everything is committed, in so many seconds."""
        if self.known is not None and self.client is not None and self.vault is not None:
            from .pruning import prune

            self.pruned = await prune(job, self.client, self.vault, self.known, seconds)

    def stages(self, *, apart: bool) -> Iterator[tuple[SqlStage, SecretStage]]:
        """The sinks of each reading: both in one, the secrets waiting for the SQL, or one after the other."""
        sql: SqlStage = self.session or drain
        secrets: SecretStage = self.sink or drain
        if apart:
            yield sql, drain
            yield drain, secrets
        else:
            yield sql, self._after_sql if self.session and self.sink else secrets

    async def _after_sql(self, secrets: Inlet[Secret]) -> None:
        """The vault's sink, from the moment on when all of the SQL was executed.

        It cannot deadlock: the SQL's last chunk was sent before the first secret, and psql needs nothing else.
        """
        assert self.session is not None
        assert self.sink is not None
        await self.session.executed.wait()
        await self.sink(secrets)

    async def open(self, job: Job, stack: AsyncExitStack, verified: Verified) -> None:
        """Begin the transaction; nothing is written to the vault before the sink's first secret."""
        if self.database is not None:
            from ..stages.pg.psql import open_psql

            job.asks = DATABASE
            self.session = await stack.enter_async_context(
                open_psql(
                    self.database,
                    checked=self.checked,
                    preserve=self.database.preserve + (() if self.header.includes_audit else self.database.audit),
                    tables=verified.survey.facts.tables,
                )
            )
        if self.vault is not None and self.client is not None:
            from ..stages.vault.sink import VaultSink

            self.sink = VaultSink(self.client, self.vault.roots, workers=self.vault.workers, journal=self.journal)
