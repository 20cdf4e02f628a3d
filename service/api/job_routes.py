"""Jobs: what runs, what ran, and ending one."""

from typing import Annotated

from fastapi import Path, Query, status

from ..control.jobs import Job
from . import models
from .problems import ApiError
from .shared import LARGEST_ID, PAGE, Admin, Before, Limit, TheService, Viewer, problems, router_of

router = router_of("/api/backup/jobs", "jobs")

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The job's number.", examples=[1])]


@router.get("", responses=problems())
async def list_jobs(
    service: TheService,
    _: Viewer,
    limit: Limit = PAGE,
    before: Before = None,
    kind: Annotated[models.Kind | None, Query(description="Only backups, or only restores.")] = None,
    status: Annotated[models.Status | None, Query(description="Only those in this state.")] = None,
) -> models.JobPage:
    """Backups and restores, newest first."""
    found = await service.jobs.list(limit=limit, before=before, kind=kind, status=status)
    return models.JobPage(
        jobs=[models.JobView.of(job) for job in found], next=found[-1].id if len(found) == limit else None
    )


@router.get("/running", responses=problems())
async def running_jobs(service: TheService, _: Viewer) -> models.Running:
    """The jobs that wait or run."""
    return models.Running(jobs=[models.JobView.of(job) for job in await service.jobs.running()])


@router.get("/{id}", responses=problems(404))
async def get_job(service: TheService, _: Viewer, id: JobId) -> models.JobView:  # noqa: A002 - as the path says
    """One job."""
    return models.JobView.of(_known(await service.jobs.get(id), id))


@router.post("/{id}/cancel", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409))
async def cancel_job(service: TheService, caller: Admin, id: JobId) -> models.JobView:  # noqa: A002 - likewise
    """End a job: one that waits at once, one that runs after it has cleaned up. It is then failed, "Cancelled by …"."""
    job = await service.cancel(id, caller.actor)
    if job is None:
        known = _known(await service.jobs.get(id), id)
        raise ApiError(
            409,
            "ended",
            "The job has ended",
            f"Job {id} is {known.status}.",
            "Only what waits or runs can be cancelled.",
        )
    return models.JobView.of(job)


def _known(job: Job | None, number: int) -> Job:
    if job is None:
        raise ApiError(
            404, "job-missing", "There is no such job", f"There is no job {number}.", "GET /api/backup/jobs shows them."
        )
    return job
