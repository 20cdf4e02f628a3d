"""The end of a restore that ended in the middle, as a job: undone, or dismissed, where its journal is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....pipeline.reports import words
from ....pipeline.undo import dismiss_restore, undo_restore, unfinished_restore
from ....stages.errors import ConfigurationError

if TYPE_CHECKING:
    from ....config.service import ServiceSettings
    from ....pipeline.job import Logger
    from ....pipeline.reports.jobs import OnProgress, UndoReport
    from ...control.jobs import Job, Jobs
    from ...control.views.unfinished import UnfinishedRestores

#: The options of such jobs.
UNDO, DISMISS = "undo", "dismiss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of an unfinished restore of ``archive`` (empty: a journal that nobody could read)."""

    archive: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def ends(options: Any) -> bool:
    """Whether a job is to end an unfinished restore, and restores nothing."""
    return bool(options.get(UNDO) or options.get(DISMISS))


async def end_unfinished(
    job: Job,
    jobs: Jobs,
    unfinished: UnfinishedRestores,
    config: ServiceSettings,
    replica: str,
    on_progress: OnProgress,
    log: Logger,
) -> Ended:
    """Undo or dismiss, as the job says. One whose state directory no replica has any more can be dismissed alone.

    Raises as ``undo_restore`` and ``dismiss_restore``; where there is no journal, ``ConfigurationError`` says where it
    lies.
    """
    try:
        found = await unfinished_restore(config.state)
    except ConfigurationError:  # nobody can read it: it can only be dismissed
        if not job.options.get(DISMISS):
            raise
        path = await dismiss_restore(config.state)
        return Ended(report={"dismissed": str(path)})
    if found is None:
        return await _elsewhere(job, jobs, unfinished, replica)
    if job.options.get(DISMISS):
        path = await dismiss_restore(config.state)
        return Ended(archive=found.archive, report={"dismissed": str(path)})
    report: UndoReport = await undo_restore(
        vault=config.vault, database=config.database, state=config.state, on_progress=on_progress, log=log
    )
    warnings = () if not report.left_count else (_left(report, replica),)
    return Ended(archive=report.archive, report=words.as_json(report), warnings=warnings)


def _left(report: UndoReport, replica: str) -> str:
    return (
        f"{words.count(report.left_count, 'secret')} could not be put back. Look at them, and undo again, or dismiss "
        f"the restore. All names are in {report.journal} where the replica {replica} ran."
    )


async def _elsewhere(job: Job, jobs: Jobs, unfinished: UnfinishedRestores, replica: str) -> Ended:
    """There is no journal here: it is where the control tables say, if anywhere."""
    rows = await unfinished.of(job.target)
    lost = [row for row in rows if not row.here]
    if job.options.get(DISMISS) and lost:
        row = lost[0]
        await unfinished.forget(row.target, row.place)
        said = f"Its journal was not removed: it was in {row.journal} where the replica {row.replica} ran."
        return Ended(archive=row.archive, report={"dismissed": row.journal}, warnings=(said,))
    where = "".join(f" One is in {row.journal} where the replica {row.replica} ran." for row in rows[:1])
    if not rows:
        failed = await jobs.page(limit=20, before=job.id, kind="restore", status="failed")
        others = (each.replica for each in failed if each.replica not in {None, replica} and not ends(each.options))
        ran = next(others, None)
        where = f" The last restore that failed elsewhere ran on {ran}." if ran else ""
    raise ConfigurationError(
        f"No restore is unfinished in the state directory of the replica {replica}.{where}",
        hint="Replicas that share no state directory end only their own: run `kleidia-backup restore --undo` or "
        "`--dismiss` where the restore ran, with the service's configuration and that directory.",
    )
