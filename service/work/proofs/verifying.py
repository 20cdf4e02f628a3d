"""Jobs that look at an archive: which one, and what a verification says of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from ....formats.facts import BackupType
from ....pipeline.archives.listing import line_of, list_archives, newest_in
from ....pipeline.drills.judging import NEXT_STEP, judge
from ....pipeline.reports import words
from ....pipeline.reports.jobs import Amounts
from ....pipeline.verify import verify
from ....stages.errors import KleidiaError
from ...control.proofs.verifications import Verification

if TYPE_CHECKING:
    from ....config.service import ServiceSettings
    from ....pipeline.archives.listing import ArchiveInfo
    from ....pipeline.drills.report import Cause
    from ....pipeline.job import Logger
    from ....pipeline.reports.jobs import OnProgress, VerifyReport
    from ....stages.stores.base import StoreSettings
    from ...control.jobs import Job
    from ...control.proofs.verifications import Verdict, Verifications

_TYPES: dict[str, BackupType] = {each: each for each in get_args(BackupType)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a job says of the archive that it looked at, as the store listed that before.

    ``error`` and ``hint`` are the job's where the ``verdict`` is not good. ``amounts`` are what was done.
    """

    archive: ArchiveInfo
    verdict: Verdict
    cause: Cause = ""
    error: str = ""
    hint: str = ""
    checksum: str = ""
    evidence: str = ""
    report: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    amounts: Amounts = field(default_factory=Amounts)

    @property
    def good(self) -> bool:
        """Whether the job has succeeded."""
        return self.verdict in {"verified", "proven"}

    def row(self, job: Job) -> Verification:
        """As it is kept."""
        assert job.kind in {"verify", "drill"}
        archive = self.archive
        return Verification(
            kind="drill" if job.kind == "drill" else "verify",
            archive=archive.name,
            backup_type=job.backup_type,
            size=archive.size,
            etag=archive.etag,
            modified=archive.modified,
            verdict=self.verdict,
            job_id=job.id,
            checksum=self.checksum,
            cause=self.cause,
            error=self.error,
            evidence=self.evidence,
        )


def type_of(archive: ArchiveInfo) -> BackupType:
    """The type of an archive as a job has it; of one that does not say it: full."""
    return _TYPES.get(archive.backup_type, "full")


async def chosen(job: Job, store: StoreSettings, verifications: Verifications) -> ArchiveInfo:
    """The archive that a job looks at: the one it was asked for, or the one whose turn it is.

    The schedule drills the newest. It verifies each in turn: the newest that was never verified as it is now, else the
    one whose turn is longest ago. One that had another password is passed over, if there are others.

    Raises ``ObjectMissing`` where there is none, the ``StoreError`` tree, and what ``Control.connection`` raises.
    """
    if job.archive is not None:
        return await line_of(store, job.archive)
    archives = [] if job.kind == "drill" else await list_archives(store, limit=sys.maxsize, locks=False)
    if not archives:
        return await line_of(store, await newest_in(store))
    found = await verifications.recorded(archives)
    archives = [each for each in archives if not found[each.name].unopened] or archives
    for each in archives:
        if found[each.name].tried is None:
            return each
    return min(archives, key=lambda each: found[each.name].tried or each.modified)


async def verify_archive(
    archive: ArchiveInfo,
    config: ServiceSettings,
    store: StoreSettings,
    password: str | None,
    on_progress: OnProgress,
    log: Logger,
) -> Judged:
    """Read an archive to its last byte. Raises only what nobody expected; cancellation passes through."""
    try:
        report = await verify(
            archive.name,
            store=store,
            password=password,
            keys=config.keys,
            on_progress=on_progress,
            log=log,
            timeout=config.job_timeout,
        )
    except KleidiaError as exc:
        return judged_by(exc, archive)
    return judged_whole(report, archive)


def judged_whole(report: VerifyReport, archive: ArchiveInfo) -> Judged:
    """What is said of an archive that was read to its last byte and is whole."""
    values = {name: value for name, value in words.as_json(report).items() if name != "stages"}
    return Judged(
        archive=archive,
        verdict="verified",
        checksum=report.header.checksum,
        report=values | {"verdict": "verified"},
        amounts=Amounts.of(report),
    )


def judged_by(error: KleidiaError, archive: ArchiveInfo) -> Judged:
    """What an error says of the archive."""
    verdict, cause = judge(error)
    word = "Failed" if verdict == "failed" else "Inconclusive"
    return Judged(
        archive=archive,
        verdict="failed" if verdict == "failed" else "inconclusive",
        cause=cause,
        error=f"{word}: {error.summary}",
        hint=" ".join(filter(None, (error.hint, NEXT_STEP[cause]))),
        report={"name": archive.name, "verdict": verdict, "cause": cause, "reason": error.message},
    )
