"""The dry run of a restore: the archive is verified to its last byte and held against what is there now.

    download ─ open ─┬─ the end of the SQL, which is surveyed in passing
                     └─ comparison with the vault, 20 workers

Then the database is asked about what the survey found, and the vault for what the archive does not have. Nothing is
written anywhere, and nobody has to wait for it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ..stages.drain import drain
from ..stages.errors import VaultForbidden
from .engine import Pipeline, in_thread
from .estimate import estimate
from .job import JOB_TIMEOUT, Job, check_password, open_store, within
from .opening import open_archive
from .parts import choose
from .plan_findings import Findings
from .plan_report import RestorePlan, VaultPlan
from .verify import verify_pass
from .waiting import DATABASE, STORE, VAULT

if TYPE_CHECKING:
    from pathlib import Path

    from ..formats.secret import Secret
    from ..stages.errors import UnfinishedRestore
    from ..stages.pg.inventory import Inventory
    from ..stages.pg.settings import PostgresSettings
    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from ..stages.vault.compare import Compare, Named
    from ..stages.vault.settings import VaultSettings
    from .engine import Inlet
    from .job import Logger
    from .opening import OpenArchive
    from .parts import Part, Parts
    from .report import OnProgress
    from .verify import Verified


async def plan_restore(
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
) -> RestorePlan:
    """Say what ``restore`` would do with the same arguments, and what would stop it; write nothing anywhere.

    ``state`` is the directory of the journals of restores, as there.

    Raises the tree in ``kleidia_backup.stages.errors`` for what leaves nothing to plan: a wrong password, a damaged
    archive, a server that does not answer. What would make the restore fail later is among the plan's ``blockers``.
    """
    check_password(password)
    job = Job(on_progress, log)

    async def work() -> RestorePlan:
        async with AsyncExitStack() as stack:
            job.asks = STORE
            archive = await open_archive(await stack.enter_async_context(open_store(store)), name, password)
            parts = choose(archive.header, database, vault, only=only, prune=prune)
            job.asks = DATABASE
            replica = await _check_database(parts)
            job.asks = VAULT
            compare = await _open_vault(stack, parts)
            verified = await verify_pass(job, archive, compare or drain)
            job.begin("plan")
            findings = Findings()
            findings.parts(parts.left_alone)
            findings.unfinished(await _unfinished(state))
            job.asks = DATABASE
            inventory = await _inventory(parts, archive, verified)
            if inventory:
                findings.database(inventory, replica=replica, truncated=verified.survey.facts.truncated)
            job.asks = VAULT
            vault_plan = await _vault_plan(job, parts, compare, prune=prune)
            if vault_plan:
                findings.vault(vault_plan, prune=prune)
            seconds = job.finish()
            expected = estimate(
                seconds["verify"],
                compare.report if compare else None,
                sql_bytes=verified.sql_bytes if inventory else None,
                sql_first=verified.sql_first,
            )
            return RestorePlan(
                name=archive.info.name,
                header=archive.header,
                size=archive.info.size,
                sql_bytes=verified.sql_bytes,
                tables=verified.tables,
                rows=verified.rows,
                secrets=verified.secrets,
                database=inventory,
                vault=vault_plan,
                prune=prune,
                expected=expected,
                blockers=tuple(findings.blockers),
                warnings=tuple(findings.warnings),
                left_alone=parts.left_alone,
                seconds=seconds,
            )

    return await within(timeout, work, job)


async def _unfinished(state: Path | None) -> UnfinishedRestore | None:
    """The restore that ended in the middle, if there is one: no other may begin before it was undone or dismissed."""
    from ..stages.vault.journal import unfinished

    found = await in_thread(unfinished, state)
    return found.error() if found else None


async def _check_database(parts: Parts) -> bool:
    """Ask the server, and for psql; whether ``session_replication_role`` may be set. Raises as a restore would."""
    if parts.database is None:
        return True
    from ..stages.pg.preflight import check_restore

    _, facts = await check_restore(parts.database)
    return facts.replica


async def _open_vault(stack: AsyncExitStack, parts: Parts) -> Compare | None:
    if parts.vault is None:
        return None
    from ..stages.vault.client import VaultClient
    from ..stages.vault.compare import Compare

    client = await stack.enter_async_context(VaultClient(parts.vault))
    return Compare(client, parts.vault.roots, workers=parts.vault.workers)


async def _inventory(parts: Parts, archive: OpenArchive, verified: Verified) -> Inventory | None:
    if parts.database is None:
        return None
    from ..stages.pg.inventory import take_inventory
    from ..stages.pg.questions import answered

    preserve = parts.database.preserve + (() if archive.header.includes_audit else parts.database.audit)
    facts, limit = verified.survey.facts, parts.database.query_timeout
    return await answered(take_inventory, parts.database, facts, preserve, limit=limit)


async def _vault_plan(job: Job, parts: Parts, compare: Compare | None, *, prune: bool) -> VaultPlan | None:
    if parts.vault is None or compare is None:
        return None
    from ..stages.vault.check import check_vault
    from .pruning import unknown_roots

    client, roots, report = compare.client, parts.vault.roots, compare.report
    extra, why = await _extra(job, parts.vault, compare)
    missing = await check_vault(client, roots, restore=True, prune=prune)
    with_undo = await check_vault(client, roots, restore=True, prune=prune, undo=True)
    return VaultPlan(
        address=parts.vault.address,
        roots=tuple(map(str, roots)),
        new=report.new.count,
        changed=report.changed.count,
        unchanged=report.unchanged,
        unreadable=report.unreadable.count,
        extra=extra.count if extra else None,
        new_paths=tuple(sorted(report.new.paths)),
        changed_paths=tuple(sorted(report.changed.paths)),
        unreadable_paths=tuple(sorted(report.unreadable.paths)),
        extra_paths=tuple(sorted(extra.paths)) if extra else (),
        unreadable_why=report.reason,
        extra_why=why,
        final=tuple([str(root) for root in roots if await client.kv_version(root.mount) == 1]),
        rights_missing=tuple(missing),
        undo_rights_missing=tuple(right for right in with_undo if right not in missing),
        unknown_roots=tuple(unknown_roots(roots, compare.seen)),
    )


async def _extra(job: Job, settings: VaultSettings, compare: Compare) -> tuple[Named | None, str]:
    """The secrets that the archive does not have, and why there may be more; None when no root can be listed."""
    from ..stages.vault.compare import Named
    from ..stages.vault.extras import Extras
    from ..stages.vault.reports import some

    extras, found = Extras(compare.client, settings.roots, compare.known, workers=settings.workers), Named()

    async def note(secrets: Inlet[Secret]) -> None:
        async for secret in secrets:
            found.note(secret.path)

    pipeline = Pipeline()
    pipeline.sink(note, pipeline.source(extras))
    try:
        await job.run(pipeline, secrets=lambda s: s.edge("extras").items)
    except VaultForbidden as exc:
        return None, exc.message
    return found, f"{some(extras.report.unreadable)}." if extras.report.unreadable_count else ""
