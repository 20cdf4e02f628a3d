"""What stands beside the jobs: how second copies are, and a restore that ended in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.undo import unfinished_restore
from ...stages.errors import ConfigurationError
from . import words

if TYPE_CHECKING:
    from ..control.copies.runs import CopyRun
    from ..service import Service


async def unfinished(service: Service) -> str:
    """What is said of a restore that ended in the middle, on this replica; empty where none did, or one runs now."""
    try:
        found = await unfinished_restore(service.config.state)
    except ConfigurationError as exc:  # a journal that nobody can read
        return exc.message
    if found is None or any(job.kind == "restore" for job in await service.jobs.running()):
        return ""
    return found.message


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
