"""The secrets of a vault as a part: read by a backup, written by a restore that can put them back, compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...stages.errors import VaultForbidden
from ...stages.vault import surroundings
from ...stages.vault.compare import Compare
from ...stages.vault.extras import Extras
from ...stages.vault.incremental.taking import Taking
from ...stages.vault.kv.check import check_vault, try_roots
from ...stages.vault.kv.client import VaultClient
from ...stages.vault.kv.rights import ASKING
from ...stages.vault.kv.roots import locate, owns
from ...stages.vault.lacking import Lacking, summary
from ...stages.vault.metadata.bring_back import BringBack
from ...stages.vault.metadata.gather import Gather
from ...stages.vault.path_set import PathSet
from ...stages.vault.reports import Named, some
from ...stages.vault.sink import VaultSink
from ...stages.vault.source import VaultSource
from ...stages.words import VAULT, count
from ..engine import Inlet, Pipeline
from ..reports import incremental
from ..reports.plan import VaultPlan
from . import pruning
from .part import BackupPart, DryRunPart, RestorePart, Rights, Transaction
from .undoing import undone_on_failure

if TYPE_CHECKING:
    from ...formats.secret import Secret
    from ...stages.vault.incremental.earlier import Found
    from ...stages.vault.kv.settings import VaultSettings
    from ...stages.vault.undo.journal import Journal
    from ..archives.reading import Verified
    from ..job import Job
    from ..reports.findings import Findings
    from .request import RestoreRequest


_EMPTY = "Correct the mount or path of that root, or say allow_empty = true there: a backup refuses it as it is."


class VaultBackup(BackupPart["Secret"]):
    """By workers that list and read; with ``metadata`` all that the vault keeps besides the newest value."""

    used = True
    asks = VAULT
    source: VaultSource
    _client: VaultClient
    _gather: Gather | None = None
    _taking: Taking | None = None

    def __init__(self, settings: VaultSettings, *, allow_unreadable: bool, metadata: bool) -> None:
        self._settings = settings
        self._allow_unreadable = allow_unreadable
        self._metadata = metadata and settings.metadata
        self._policies = metadata and settings.policies
        self._left_out = metadata and not settings.metadata
        self._lacking: list[Lacking] = []
        self._unrecorded: list[str] = []

    async def check(self, stack: AsyncExitStack) -> None:
        """As in ``BackupPart``."""
        settings = self._settings
        client = self._client = await stack.enter_async_context(VaultClient(settings))
        if self._metadata:
            self._gather = Gather(client, settings.versions)
        if self._metadata or self._left_out:
            self.recorded, self._lacking, self._unrecorded = await surroundings.record(
                client, settings.roots, options=self._metadata, policies=self._policies
            )
        self.source = VaultSource(
            client,
            settings.roots,
            workers=settings.workers,
            allow_unreadable=self._allow_unreadable,
            own=settings.own,
            gather=self._gather,
            refuse_empty=True,
        )
        if self._left_out:
            self.source.report.carries_metadata = None

    def report(self) -> dict[str, Any]:
        """As in ``BackupPart``."""
        found = self.source.report
        return {
            "deleted": found.deleted,
            "unreadable_count": found.unreadable.count,
            "unreadable": tuple(path for path, _ in found.unreadable.names),
            "own_secrets": tuple(found.own_secrets.names),
            "incremental": self._taking and self._taking.outcome(found, self._gather),
        }

    async def look_back(self, find: Callable[[], Awaitable[Found]]) -> None:
        """As in ``BackupPart``."""
        now = self.recorded.vault
        if self._gather is None or now is None:
            self._taking = Taking.nothing("metadata_off")
            return
        found = await find()
        self._taking = await Taking.begin(self._client, self._settings.roots, now, found)
        if self._taking.roots and found.earlier is not None:
            self.source.take_from(found.earlier, self._taking.roots)

    def warnings(self) -> list[str]:
        """As in ``BackupPart``."""
        found = [*self.source.report.warnings(), *self._unrecorded]
        lacking = self._lacking
        if self._gather:
            found += self._gather.report.warnings()
            lacking = [*self._gather.report.lacking(), *lacking]
        taken = self._taking.outcome(self.source.report, self._gather) if self._taking else None
        return [*found, *summary(lacking), *incremental.warnings(taken)]


class VaultRestore(RestorePart["Secret"]):
    """By workers that write what differs, with a journal of what was there before."""

    used = True
    asks = VAULT
    sink: VaultSink
    _client: VaultClient
    _journal: Journal
    _back: BringBack

    def __init__(self, settings: VaultSettings, request: RestoreRequest) -> None:
        self._settings = replace(settings, adaptive=False)  # who restores has nobody to wait for
        self._prune, self._state, self._chosen = request.prune, request.state, bool(request.secrets)
        self._known = PathSet()  # the archive's paths, for a prune
        self._seen: set[str] = set()  # the prefixes of the roots of which the archive has secrets
        self._pruned = pruning.Pruned()

    async def check(self, stack: AsyncExitStack) -> None:
        """As in ``RestorePart``."""
        self._client = await stack.enter_async_context(VaultClient(self._settings))
        missing = await check_vault(self._client, self._settings.roots, restore=True)
        # A token that may not even ask for its rights is found out when it writes.
        if lacking := tuple(right for right in missing if right != ASKING):
            raise VaultForbidden(
                f"The token may not write what is to be restored: it lacks {', '.join(map(str, lacking))}.",
                hint="Grant it, or restore with another token; `kleidia-backup test-connection` shows all rights.",
                rights=lacking,
            )
        if self._prune:
            await pruning.check_rights(self._client, self._settings)

    async def guard(self, job: Job, stack: AsyncExitStack, archive: str, rolled_back: Callable[[], bool]) -> None:
        """As in ``RestorePart``: the secrets are put back after the deciding transaction has ended."""
        undo = undone_on_failure(job, self._client, archive, self._state, rolled_back)
        self._journal = await stack.enter_async_context(undo)

    async def look(self, secrets: Inlet[Secret]) -> None:
        """Refuse a path that no root takes, and remember what a prune must know."""
        while batch := await secrets.batch():
            for secret in batch:
                root, path = locate(self._settings.roots, secret.path)
                if not owns(self._settings.own, root.mount, path):
                    self._seen.add(root.prefix)
                if self._prune and not secret.gone:
                    self._known.add(secret.path)

    def check_archive(self) -> None:
        """Refuse to remove everything."""
        if self._prune:
            pruning.check_archive(self._settings.roots, self._seen)

    async def open(self, stack: AsyncExitStack, verified: Verified) -> None:  # noqa: ARG002 - nothing to close
        """As in ``RestorePart``; nothing is written before the sink's first secret."""
        self._back = BringBack(self._client, self._journal)
        self.sink = VaultSink(
            self._client,
            self._settings.roots,
            workers=self._settings.workers,
            journal=self._journal,
            own=self._settings.own,
            back=self._back,
            total=0 if self._chosen else verified.secrets,
        )

    def progress(self) -> dict[str, int]:
        """As in ``RestorePart``: the edge's counter is ahead of the workers by what waits for them."""
        return {"secrets": self.sink.report.total}

    async def committing(self, transaction: Transaction | None) -> None:
        """As in ``RestorePart``."""
        if transaction is not None:
            await self._journal.committing(*transaction)

    def committed(self) -> None:
        """As in ``RestorePart``."""
        self._journal.remove()

    async def finish(self, job: Job, seconds: float) -> None:
        """Remove what the archive does not have, if that was asked for."""
        if self._prune:
            self._pruned = await pruning.prune(job, self._client, self._settings, self._known, seconds)

    def report(self, verified: Verified) -> dict[str, Any]:  # noqa: ARG002 - the sink has counted
        """As in ``RestorePart``."""
        done, pruned = self.sink.report, self._pruned
        return {
            "secrets": done.total,
            "written": done.written,
            "unchanged": done.unchanged,
            "failed_count": done.failed.count,
            "failed": tuple(path for path, _ in done.failed.names),
            "own_secrets": tuple(done.own_secrets.names),
            "pruned_count": pruned.count,
            "pruned": pruned.paths,
            "unpruned_count": pruned.left,
        }

    def warnings(self) -> list[str]:
        """As in ``RestorePart``."""
        return [*self.sink.report.warnings(), *self._back.report.warnings(), *self._pruned.warnings]


class VaultDryRun(DryRunPart["Secret"]):
    """By reading the live value of every secret of the archive, and listing what it does not have."""

    used = True
    asks = VAULT
    look: Compare
    #: What compares: a drill compares more.
    stage: type[Compare] = Compare
    _plan: VaultPlan

    def __init__(self, settings: VaultSettings, *, prune: bool, chosen: bool = False) -> None:
        self._settings = settings
        self._prune = prune
        self._chosen = chosen

    async def check(self, stack: AsyncExitStack) -> None:
        """As in ``DryRunPart``."""
        settings = self._settings
        client = await stack.enter_async_context(VaultClient(settings))
        self.look = self.stage(client, settings.roots, workers=settings.workers, own=settings.own)

    async def compare(self, job: Job, verified: Verified, findings: Findings) -> None:  # noqa: ARG002 - it has looked
        """As in ``DryRunPart``."""
        client, roots, report = self.look.client, self._settings.roots, self.look.report
        extra, why = await self._extra(job)
        missing = await check_vault(client, roots, restore=True, prune=self._prune)
        with_undo = await check_vault(client, roots, restore=True, prune=self._prune, undo=True)
        self._plan = VaultPlan(
            address=self._settings.address,
            roots=tuple(map(str, roots)),
            new=report.new.count,
            changed=report.changed.count,
            unchanged=report.unchanged,
            unreadable=report.unreadable.count,
            extra=extra.count if extra else None,
            new_paths=tuple(sorted(report.new.names)),
            changed_paths=tuple(sorted(report.changed.names)),
            unreadable_paths=tuple(sorted(report.unreadable.names)),
            extra_paths=tuple(sorted(extra.names)) if extra else (),
            unreadable_why=report.reason,
            extra_why=why,
            final=tuple([str(root) for root in roots if await client.kv_version(root.mount) == 1]),
            rights_missing=tuple(missing),
            undo_rights_missing=tuple(right for right in with_undo if right not in missing),
            unknown_roots=() if self._chosen else tuple(pruning.unknown_roots(roots, self.look.seen)),
            own_secrets=tuple(sorted(report.own_secrets.names)),
        )
        findings.vault(self._plan, prune=self._prune)

    async def _extra(self, job: Job) -> tuple[Named[str] | None, str]:
        """The secrets that the archive does not have, and why there may be more; None when no root can be listed.

        Of chosen secrets nobody asks that.
        """
        if self._chosen:
            return Named(), ""
        settings = self._settings
        extras = Extras(self.look.client, settings.roots, self.look.known, workers=settings.workers, own=settings.own)
        found: Named[str] = Named()

        async def note(secrets: Inlet[Secret]) -> None:
            async for secret in secrets:
                found.add(secret.path)

        pipeline = Pipeline()
        paths = pipeline.source(extras)
        pipeline.sink(note, paths)
        try:
            await job.run(pipeline, lambda: {"secrets": paths.items})
        except VaultForbidden as exc:
            return None, exc.message
        return found, f"{some(extras.report.unreadable.names)}." if extras.report.unreadable.count else ""

    def report(self) -> dict[str, Any]:
        """As in ``DryRunPart``."""
        return {"vault": self._plan}

    def load(self, verified: Verified) -> dict[str, Any]:  # noqa: ARG002 - the comparison has counted
        """As in ``DryRunPart``."""
        return {"compared": self.look.report}


async def rights(settings: VaultSettings) -> Rights:
    """What the token may do below the roots, and whether one secret of each can be read. Raises ``VaultError``."""
    async with VaultClient(settings, hasty=True) as client:
        backup = await check_vault(client, settings.roots, restore=False)
        restore = await check_vault(client, settings.roots, restore=True, undo=True)
        tried = await try_roots(client, settings.roots, own=settings.own)
    known = {(right.verb, right.path.removesuffix("*")) for right in backup}
    met = [right for right in tried.lacking if (right.verb, right.path.removesuffix("*")) not in known]
    empty = [root for root in tried.empty if not root.allow_empty]
    where = f"{settings.address}, {count(len(settings.roots), 'root')}"
    return Rights(
        backup=(*map(str, [*backup, *met]), *(f"a secret in {root}, which is empty" for root in empty)),
        restore=tuple(map(str, restore)),
        detail=where,
        hint=_EMPTY if empty else "",
    )
