"""A drill: an archive is restored into scratch servers, and what is there is compared with what the archive says.

    read the archive to its last byte ─ make scratch servers ─ restore ─ compare ─ the operator's checks ─ clean up

What is expected is gathered while the archive is read (``stages/pg/proof``), so the live system is never asked for it:
that has moved on since. Nothing is written to what the configuration backs up (``drills/apart.py``).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ..stages.errors import ConfigurationError, KleidiaError, ObjectMissing
from ..stages.pg.proof.expected import Expected
from ..stages.pg.proof.roles import make_roles
from .archives.listing import newest
from .archives.opening import full_name, opened_archive
from .drills.apart import refuse_live
from .drills.asked import DrillCheck, DrillRequest, Scratch, ScratchMaker, Trigger
from .drills.compare import compare_database, compare_vault, failures, run_checks, vault_version
from .drills.digest import object_digest
from .drills.directories import held_directory
from .drills.judging import judge
from .drills.kept import keep
from .drills.report import DrilledArchive, DrillReport, Failure
from .drills.state import DrillState
from .engine import in_thread
from .job import JOB_TIMEOUT, Job, Logger, within
from .parts.choice import comparisons
from .parts.keys import NO_KEYS, Keys
from .parts.names import LATEST
from .parts.request import RestoreRequest
from .reports.findings import Findings
from .restore import run_restore

if TYPE_CHECKING:
    from ..stages.pg.server.settings import PostgresSettings
    from ..stages.stores.base import StoreSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .archives.reading import OpenArchive, Verified
    from .reports.jobs import OnProgress

#: Bytes that a scratch system needs besides its data: an empty cluster, an empty vault, logs.
_BASE = 256 << 20


async def drill(
    name: str = LATEST,
    *,
    store: StoreSettings,
    scratch: ScratchMaker,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    checks: tuple[DrillCheck, ...] = (),
    reports: Path | None = None,
    restore_within: float | None = None,
    not_older_than: float | None = None,
    show_paths: bool = False,
    trigger: Trigger = "manual",
    requested_by: str = "",
    on_progress: OnProgress = None,
    log: Logger | None = None,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> DrillReport:
    """Restore an archive (``latest``: the newest) into scratch servers, compare, clean up, and say what is proven.

    ``scratch`` makes the servers, such as ``demo.scratch.embedded`` and ``drills.configured.on_servers``. ``database``
    and ``vault`` are the live ones: they are asked who they are, and never written to. ``checks`` are the operator's.
    ``restore_within`` and ``not_older_than`` are seconds to hold the restore's time and the archive's age against. The
    report is kept in the directory ``reports`` (None: nowhere), chained to the one before and signed with the signing
    key among ``keys``. Paths of secrets that differ are in it only with ``show_paths``.

    Whatever goes wrong with the archive or the scratch servers is the report's verdict. Raised are only
    ``ConfigurationError``, when the scratch side is what is backed up or no report could be kept, and ``StoreError``,
    when there is no such archive. Cancellation leaves a report and passes through.
    """
    request = DrillRequest(
        name=name,
        store=store,
        scratch=scratch,
        password=password,
        keys=keys,
        database=database,
        vault=vault,
        checks=checks,
        reports=reports,
        restore_within=restore_within,
        not_older_than=not_older_than,
        show_paths=show_paths,
        trigger=trigger,
        requested_by=requested_by,
        timeout=timeout,
    )
    return await run_drill(request, on_progress, log)


async def run_drill(request: DrillRequest, on_progress: OnProgress = None, log: Logger | None = None) -> DrillReport:
    """As ``drill``, for what is asked in one piece."""
    job = Job(on_progress, log)
    state = DrillState(request, await _find(request), job.meter)
    work = _Drill(request, state, job, on_progress, log)
    try:
        await within(request.timeout, work.run, work.job)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await _keep(request, state.report("inconclusive", "cancelled", "The drill was stopped."))
        raise
    except KleidiaError as exc:
        if work.refused:
            raise
        verdict, cause = judge(exc)
        if cause == "archive":
            state.failures = (Failure(check="the archive cannot be restored", name=exc.message),)
        return await _keep(request, state.report(verdict, cause, exc.message, exc.hint))
    if state.failures:
        return await _keep(request, state.report("failed", "archive", "Not everything came back."))
    if any(not check.passed for check in state.checks):
        return await _keep(request, state.report("failed", "check", "A check of the configuration did not pass."))
    return await _keep(request, state.report("proven", ""))


async def _keep(request: DrillRequest, report: DrillReport) -> DrillReport:
    return await in_thread(keep, report, request.reports, request.keys.signing_key)


async def _find(request: DrillRequest) -> DrilledArchive:
    """The archive that is meant. Raises ``StoreError``."""
    async with request.store.open() as store:
        name = full_name(store, request.name)
        try:
            last = await newest(store)
        except ObjectMissing:  # none that says when it was made
            if request.name == LATEST:
                raise
            last = ""
        info = await store.head(last if request.name == LATEST else name)
        where = request.store.where
        return DrilledArchive(key=info.name, size=info.size, store=where, newest=info.name == last)


class _Drill:
    """The steps, in their order. ``refused``: nothing was done, for it would have written to what is backed up."""

    def __init__(
        self, request: DrillRequest, state: DrillState, job: Job, on_progress: OnProgress, log: Logger | None
    ) -> None:
        self.refused = False
        self.job = job
        self._request = request
        self._state = state
        self._on_progress = on_progress
        self._log = log

    async def run(self) -> None:
        """Drill. Raises what ends it early; everything is cleaned up then too."""
        request, state = self._request, self._state
        async with AsyncExitStack() as stack:
            with state.step("open"):
                opened = opened_archive(self.job, request.store, state.archive.key, request.password, request.keys)
                archive = await stack.enter_async_context(opened)
                state.opened(archive)
                archive.check_signer(request.keys)
            with state.step("digest of the object"):
                state.archive = replace(state.archive, sha256=await object_digest(self.job, archive))
            expected = Expected(os.urandom(32))
            with state.step("read to the last byte"):
                verified = await archive.verify(self.job, expected)
            needed = _BASE + 3 * verified.sql_bytes + 2 * archive.info.size
            async with self._scratch(archive, needed) as scratch:
                await self._on_scratch(scratch, archive, verified, expected)

    @asynccontextmanager
    async def _scratch(self, archive: OpenArchive, needed: int) -> AsyncIterator[Scratch]:
        """The scratch servers; what cannot be removed at the end is noted, and changes no verdict."""
        state = self._state
        maker = self._request.scratch(archive.header, needed)
        with state.step("make scratch servers"):
            scratch = await maker.__aenter__()
        try:
            yield scratch
        finally:
            with anyio.CancelScope(shield=True), state.step("clean up"):
                try:
                    await maker.__aexit__(None, None, None)
                except KleidiaError as exc:
                    state.left_behind = f"{exc.message} {exc.hint}".rstrip()

    async def _on_scratch(self, scratch: Scratch, archive: OpenArchive, verified: Verified, expected: Expected) -> None:
        request, state = self._request, self._state
        state.on(scratch)
        try:
            await refuse_live(request, scratch)
        except ConfigurationError:
            self.refused = True
            raise
        header = archive.header
        if (header.includes_db and scratch.database is None) or (header.includes_kv and scratch.vault is None):
            raise ConfigurationError(
                f"The archive is of type {header.backup_type}, and there is no scratch server for a part of it.",
                hint="Name it in [drill], or use the embedded ones: --target embedded.",
            )
        with held_directory("state") as directory:
            restoring = RestoreRequest(
                name=state.archive.key,
                store=request.store,
                password=request.password,
                keys=request.keys,
                database=scratch.database if header.includes_db else None,
                vault=scratch.vault if header.includes_kv else None,
                state=directory,
                from_other_system=True,  # nothing of any system is overwritten
                timeout=request.timeout,
            )
            with state.step("prepare"):
                await self._prepare(restoring, scratch, archive, verified)
            with state.step("restore"):
                restored = await run_restore(restoring, self._on_progress, self._log)
            state.warnings += restored.warnings
            await scratch.restored()
            if restoring.database is not None:
                with state.step("compare the database"):
                    state.database = await compare_database(self.job, archive, verified, expected, restoring.database)
            if restoring.vault is not None:
                with state.step("compare the secrets"):
                    state.vault = await compare_vault(self.job, archive, restoring, show_paths=request.show_paths)
                    state.vault_version = await vault_version(restoring.vault)
            await archive.check_unchanged()
            state.failures = tuple(failures(state.database, state.vault))
            if request.checks:
                with state.step("checks"):
                    state.checks = await run_checks(request.checks, scratch)

    async def _prepare(
        self, restoring: RestoreRequest, scratch: Scratch, archive: OpenArchive, verified: Verified
    ) -> None:
        """Make the roles that the archive names, and refuse servers that lack what it needs.

        Raises ``ConfigurationError``.
        """
        if restoring.database is None:
            return
        if scratch.own:
            await in_thread(make_roles, restoring.database, sorted(verified.facts.roles | verified.facts.owners))
        findings = Findings()
        async with AsyncExitStack() as stack:
            part = comparisons(archive.header, restoring).database
            await part.check(stack)
            self.job.begin("plan")
            await part.compare(self.job, verified, findings)
        if findings.blockers:
            raise ConfigurationError(
                f"The drill's database cannot take this archive: {' '.join(findings.blockers)}",
                hint="Give it what is missing.",
            )
