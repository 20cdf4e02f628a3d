"""The dry run of a restore: the archive is held against what is there now.

    download ─ read ─┬─ the end of the SQL, which is surveyed in passing
                     └─ comparison with the vault, 20 workers

An archive of format V1 is verified to its last byte by this; of V2 the rows are not read, and its index counts them.

Then the database is asked about what the survey found, and the vault for what the archive does not have. Nothing is
written anywhere, and nobody has to wait for it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .archives.opening import opened_archive
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.choice import chosen, comparisons, importing
from .parts.keys import NO_KEYS, Keys
from .parts.request import RestoreRequest
from .reports.estimate import estimate
from .reports.findings import Findings
from .reports.plan import RestorePlan
from .undo import unfinished_restore

if TYPE_CHECKING:
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.stores.base import StoreSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .parts.names import PartName
    from .reports.jobs import OnProgress


async def plan_restore(
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
        state=state,
        timeout=timeout,
    )
    return await run_plan(request, on_progress, log)


async def run_plan(request: RestoreRequest, on_progress: OnProgress = None, log: Logger | None = None) -> RestorePlan:
    """As ``plan_restore``, for what is asked in one piece."""
    job = Job(on_progress, log)

    async def work() -> RestorePlan:
        async with AsyncExitStack() as stack:
            opened = opened_archive(job, request.store, request.name, request.password, request.keys, chosen(request))
            with importing(request):
                archive = await stack.enter_async_context(opened)
            archive.check_signer(request.keys)
            if not request.from_other_system:
                archive.check_system(request.system)
            parts = comparisons(archive.header, request)
            await parts.each(job, lambda part: part.check(stack))
            only: PartName | None = "vault" if request.secrets else None
            verified = await archive.look(job, parts.vault.look, characters=parts.database.characters, only=only)
            job.begin("plan")
            findings = Findings()
            findings.parts(parts.left_alone)
            findings.unfinished(await unfinished_restore(request.state))
            await parts.each(job, lambda part: part.compare(job, verified, findings))
            seconds = job.finish()
            load = parts.fields(lambda part: part.load(verified))
            return RestorePlan(
                name=archive.info.name,
                header=archive.header,
                size=archive.info.size,
                sql_bytes=verified.sql_bytes,
                tables=verified.tables,
                rows=verified.rows,
                secrets=verified.secrets,
                prune=request.prune,
                expected=estimate(seconds["verify"], sql_first=verified.sql_first, **load),
                blockers=tuple(findings.blockers),
                warnings=tuple(findings.warnings),
                left_alone=parts.left_alone,
                seconds=seconds,
                load=job.meter.load(),
                **parts.fields(lambda part: part.report()),
            )

    return await within(request.timeout, work, job)
