"""What stands beside the jobs: how second copies are, and a restore that ended in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...pipeline.undo import look_at_state
from . import words

if TYPE_CHECKING:
    from ..control.copies.runs import CopyRun
    from ..control.views.unfinished import UnfinishedRow
    from ..service import Service


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is said of restores that ended in the middle, and whether one can be undone now."""

    said: tuple[str, ...]
    undo: bool


async def unfinished(service: Service) -> Unfinished | None:
    """Restores that ended in the middle, on whichever replica; None where there are none, or one runs now."""
    if any(job.kind == "restore" for job in await service.jobs.running()):
        return None
    here = await look_at_state(service.config.state)
    own = here.unreadable or (here.unfinished.error().message if here.unfinished is not None else "")
    rows = [row for row in await service.unfinished.of(service.target) if row.place != here.name]
    if not own and not rows:
        return None
    said = tuple(_of_another(row) for row in rows)
    return Unfinished((own, *said) if own else said, bool(own) or any(row.here for row in rows))


def _of_another(row: UnfinishedRow) -> str:
    what = row.message or (
        f"The restore of {row.archive} (job {row.job_id}) ended with the replica that ran it. "
        "Which secrets it had written, its journal says."
    )
    if row.here:
        return f"{what} Its journal is {row.journal}, which the replica {row.replica} has: that one ends it."
    return (
        f"{what} Its journal is {row.journal}, where the replica {row.replica} ran, and no replica that runs has it: "
        f"start one there, or run `kleidia-backup restore --undo` there. Seen last {words.ago(row.seen_at)}."
    )


async def copies(service: Service) -> tuple[str, list[str]]:
    """How many stores have a good copy of everything, as ``1/2`` (empty where there are none), and who lags, in words.

    The store itself counts as the first.
    """
    if not service.config.copies:
        return "", []
    runs = {run.copy: run for run in await service.copy_runs.all()}
    good, behind = 1, []
    for each in service.config.copies:
        run = runs.get(each.name)
        good += run is not None and _whole(run)
        if run is not None and run.lag > each.lag:
            why = f" {run.error}" if run.error else ""
            behind.append(f"The copy {each.name} is behind by {words.duration(run.lag)}.{why}")
    return f"{good}/{len(service.config.copies) + 1}", behind


def _whole(run: CopyRun) -> bool:
    """Whether it has all that it should have."""
    return (
        run.checked_at is not None
        and not run.error
        and not any(run.states[name] for name in run.states if name != "ok")
    )
