"""Jobs: what runs, what ran, and ending one."""

from typing import Annotated

from fastapi import Path, Query, Request, status

from ...control.jobs import Job
from .. import models
from ..identity.auth import check
from ..identity.callers import MayCancel
from ..identity.roles import cancelling
from ..problems import ApiError
from .shared import LARGEST_ID, PAGE, Before, Limit, TheService, Viewer, polled, problems, router_of

router = router_of("/api/backup/jobs", "jobs")

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The job's number.", examples=[1])]


@router.get("", responses=problems())
async def list_jobs(
    service: TheService,
    _: Viewer,
    limit: Limit = PAGE,
    before: Before = None,
    kind: Annotated[models.Kind | None, Query(description="Only jobs of this kind.")] = None,
    status: Annotated[models.Status | None, Query(description="Only those in this state.")] = None,
) -> models.JobPage:
    """Backups, restores, verifications and drills, newest first."""
    found = await service.jobs.page(limit=limit, before=before, kind=kind, status=status)
    return models.JobPage(
        jobs=[models.JobView.of(job) for job in found], next=found[-1].id if len(found) == limit else None
    )


@router.get("/running", responses=problems())
@polled
async def running_jobs(service: TheService, _: Viewer) -> models.Running:
    """The jobs that wait or run."""
    return models.Running(jobs=[models.JobView.of(job) for job in await service.jobs.running()])


@router.get("/{id}", responses=problems(404))
@polled
async def get_job(service: TheService, _: Viewer, id: JobId) -> models.JobView:  # noqa: A002 - as the path says
    """One job."""
    return models.JobView.of(await find_job(service, id))


@router.post("/{id}/cancel", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409))
async def cancel_job(
    request: Request,
    service: TheService,
    caller: MayCancel,
    id: JobId,  # noqa: A002 - likewise
) -> models.JobView:
    """End a job: one that waits at once, one that runs after it has cleaned up. It is then failed, "Cancelled by …".

    A backup leaves no archive. A restore puts back the secrets that it wrote, and leaves the database as it was; while
    it commits it goes on to its end, and its job is completed. An undo may be asked for again. An inspection is no job:
    `DELETE` ends it.

    An operator ends what operators can start: backups, verifications and drills.
    """
    check(request, caller, cancelling((await find_job(service, id)).kind))
    job = await service.cancel(id, caller.actor)
    if job is None:
        known = await find_job(service, id)
        raise ApiError(
            409,
            "ended",
            "The job has ended",
            f"Job {id} is {known.status}.",
            "Only what waits or runs can be cancelled.",
        )
    return models.JobView.of(job)


async def find_job(service: TheService, number: int) -> Job:
    """A job by its number. Raises ``ApiError`` where there is none."""
    job = await service.jobs.get(number)
    if job is None:
        raise ApiError(
            404, "job-missing", "There is no such job", f"There is no job {number}.", "GET /api/backup/jobs shows them."
        )
    return job
