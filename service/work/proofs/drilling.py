"""A drill that the service runs: what is asked for, and what its report says of the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....config.drills.reports import reports_directory
from ....pipeline.drill import run_drill
from ....pipeline.drills.asked import DrillRequest
from ....pipeline.drills.kept import as_document
from ....pipeline.reports.jobs import Amounts
from ....stages.errors import KleidiaError
from .verifying import Judged, judged_by

if TYPE_CHECKING:
    from ....config.service import ServiceSettings
    from ....pipeline.archives.listing import ArchiveInfo
    from ....pipeline.drills.asked import ScratchMaker
    from ....pipeline.drills.report import DrillReport
    from ....pipeline.job import Logger
    from ....pipeline.reports.jobs import OnProgress
    from ....stages.stores.base import StoreSettings
    from ...control.jobs import Job

#: Differences that a job's error names; the report has them all.
_NAMED = 3


async def drill_archive(
    job: Job,
    archive: ArchiveInfo,
    config: ServiceSettings,
    store: StoreSettings,
    password: str | None,
    scratch: ScratchMaker,
    on_progress: OnProgress,
    log: Logger,
) -> Judged:
    """Restore an archive into scratch servers and compare. Raises as ``verify_archive``.

    When it is cancelled, what it made is removed, and its report says so.
    """
    settings = config.drill
    try:
        request = DrillRequest(
            name=archive.name,
            store=store,
            scratch=scratch,
            password=password,
            keys=config.keys,
            database=config.database,
            vault=config.vault,
            checks=settings.checks,
            reports=reports_directory(settings, config.state),
            restore_within=settings.restore_within,
            not_older_than=settings.not_older_than,
            trigger="manual" if job.scheduled_for is None else "schedule",
            requested_by=job.requested_by_name or "",
            timeout=config.job_timeout,
        )
        report = await run_drill(request, on_progress, log)
    except KleidiaError as exc:
        return judged_by(exc, archive)
    return judged_by_drill(report, archive)


def judged_by_drill(report: DrillReport, archive: ArchiveInfo) -> Judged:
    """What a drill's report says of the archive, as the store listed that before."""
    left = (f"Not cleaned up: {report.left_behind}",) if report.left_behind else ()
    return Judged(
        archive=archive,
        verdict=report.verdict,
        cause=report.cause,
        error="" if report.verdict == "proven" else _error(report),
        hint=report.next_step,
        checksum=report.archive.checksum,
        evidence=report.file,
        report=as_document(report) | {"file": report.file},
        warnings=(*report.warnings, *left),
        amounts=_done(report),
    )


def _error(report: DrillReport) -> str:
    """The verdict, its reason, and the first differences."""
    word = "Failed" if report.verdict == "failed" else f"Inconclusive ({report.cause})"
    named = [f"{each.check}: {each.name}" for each in report.failures if each.name != report.reason]
    named += [each.name for each in report.checks if not each.passed]
    more = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return f"{word}: {report.reason} {'; '.join([*named[:_NAMED], *more])}".rstrip()


def _done(report: DrillReport) -> Amounts:
    secrets = report.vault.secrets_in_archive if report.vault is not None else 0
    return Amounts(
        seconds=round((report.ended - report.started).total_seconds(), 3),
        secrets=secrets,
        secrets_total=None if report.vault is None else secrets,
        archive_bytes=report.archive.size,
        archive_total=report.archive.size,
    )
