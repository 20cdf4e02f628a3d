"""What a command was asked for, and what became of it, as the control tables keep jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...formats.facts import ARCHIVE_NAME
from ...pipeline.drills.report import DrillReport
from ...pipeline.reports import words
from ...pipeline.reports.jobs import Amounts, BackupReport, RestoreReport, VerifyReport
from ...pipeline.reports.stopped import left_by
from ...pipeline.reports.tables import TablesReport
from ...service.control.jobs import NewJob
from ...service.control.of_commands.jobs import Ended
from ...service.work.proofs.drilling import judged_by_drill
from ...service.work.proofs.verifying import Judged, judged_by, judged_whole, type_of
from ...service.work.running import RunningJob

if TYPE_CHECKING:
    from argparse import Namespace

    from ...pipeline.archives.listing import ArchiveInfo
    from ...pipeline.reports.jobs import Progress
    from ...service.control.audit import Actor
    from ...service.control.jobs import Job
    from ...stages.errors import KleidiaError

#: What of a restore's options is kept: as the service names it, and as the command does.
_OPTIONS = {
    "only": "only",
    "prune": "prune",
    "tables": "table",
    "as": "copy",
    "secrets": "secret",
    "to": "to",
    "into_database": "into_database",
    "create": "create",
    "into_mount": "into_mount",
    "fresh": "fresh",
    "policies": "policies",
    "backup_first": "backup_first",
    "undo": "undo",
}


def new_job(given: Namespace, archive: str | None, found: ArchiveInfo | None, by: Actor) -> NewJob:
    """The job that a command is. ``found`` is the archive that it looks at, as the store lists it."""
    match = None if archive is None else ARCHIVE_NAME.fullmatch(archive, max(0, archive.rfind("backup-")))
    kind = given.command
    options = {name: getattr(given, each, None) for name, each in _OPTIONS.items()} if kind == "restore" else {}
    backup_type: Any
    if found is not None:
        backup_type = type_of(found)
    else:
        backup_type = given.type if kind == "backup" else match[1] if match else "full"
    return NewJob(
        kind=kind,
        backup_type=backup_type,
        requested_by=by.user_id,
        requested_by_name=by.user_name,
        ip=by.ip,
        workstation=by.workstation,
        archive=archive,
        options={name: value for name, value in options.items() if value} | _elsewhere(given) | {"command": True},
    )


def _elsewhere(given: Namespace) -> dict[str, str]:
    """The copy that is read, and the time of which; empty for the store as it is."""
    found = {name: getattr(given, name, None) for name in ("from_copy", "as_of")}
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in found.items()
        if value is not None
    }


def of_the_store(new: NewJob) -> bool:
    """Whether what a job says of an archive is said of the one that listings show."""
    return not {"from_copy", "as_of"} & new.options.keys()


def judged(result: object, archive: ArchiveInfo | None) -> Judged | None:
    """What a verification or a drill, or its error, says of the archive; None of any other job."""
    if archive is None:
        return None
    if isinstance(result, VerifyReport):
        return judged_whole(result, archive)
    return judged_by_drill(result, archive) if isinstance(result, DrillReport) else None


def judged_wrong(error: KleidiaError, archive: ArchiveInfo | None) -> Judged | None:
    """What an error says of the archive that a job looked at; None of any other job."""
    return None if archive is None else judged_by(error, archive)


def of_judged(said: Judged) -> Ended:
    """How a verification or a drill ended."""
    return Ended(
        status="completed" if said.good else "failed",
        archive=said.archive.name,
        size=said.archive.size if said.good else None,
        checksum=(said.checksum or None) if said.good else None,
        error=None if said.good else said.error,
        hint=None if said.good else said.hint,
        warnings=said.warnings,
        progress=said.amounts.row(),
        report=said.report,
    )


def completed(made: object, job: Job | None) -> Ended:
    """How a job ended that has ``made`` a report."""
    values = {name: value for name, value in words.as_json(made).items() if name != "stages"}
    warnings = tuple(getattr(made, "warnings", ()))
    if isinstance(made, BackupReport | RestoreReport):
        checksum = made.checksum if isinstance(made, BackupReport) else made.header.checksum or None
        done = Amounts.of(made).row() if job is None else RunningJob(job, "").done(made)
        return Ended(
            status="completed",
            archive=made.name,
            size=made.size,
            checksum=checksum,
            warnings=warnings,
            progress=done,
            report=values,
        )
    progress: dict[str, Any] = {}
    if isinstance(made, TablesReport):
        read = made.archive_bytes
        progress = Amounts(seconds=made.seconds["total"], archive_bytes=read, archive_total=read).row()
    archive = getattr(made, "name", None) or getattr(made, "archive", None)
    return Ended(status="completed", archive=archive, warnings=warnings, progress=progress, report=values)


def failed(error: KleidiaError, last: Progress | None) -> Ended:
    """How a job ended by an error."""
    return Ended(status="failed", error=error.summary, hint=error.advice, **_far(last))


def stopped(new: NewJob, last: Progress | None, reason: str, error: BaseException) -> Ended:
    """How a job ended that a signal stopped, somebody cancelled, or a bug ended."""
    if isinstance(error, Exception):
        said = f"The command failed in a way nobody expected: {type(error).__name__}."
        return Ended(status="failed", error=said, hint="Run it again with --verbose.", **_far(last))
    left = left_by(new.kind, last.phase if last else None, undoing=bool(new.options.get("undo")))
    said = f"{reason or 'The command was stopped.'} {left.text}"
    return Ended(status="failed", error=said, hint="Run the command again when it suits.", **_far(last))


def _far(last: Progress | None) -> dict[str, Any]:
    return {} if last is None else {"phase": last.phase, "progress": last.row()}
