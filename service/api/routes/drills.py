"""Drills and their reports, also as the files that were kept of them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from fastapi import Query, Response
from pydantic import BaseModel, Field

from ....config.drills.reports import reports_directory
from ....pipeline.drills.proven import PATTERN
from ...control.jobs import Job
from ..problems import ApiError
from .jobs import JobId
from .shared import PAGE, Before, Limit, TheService, Viewer, problems, router_of

router = router_of("/api/backup/drills", "drills")

_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}


class DrillView(BaseModel):
    """A drill that has ended. ``verdict`` and ``reason`` are null where it was stopped before it had any."""

    job: int = Field(examples=[1])
    archive: str | None
    started: datetime | None
    ended: datetime | None
    verdict: Literal["proven", "failed", "inconclusive"] | None
    reason: str | None
    evidence: bool = Field(description="Whether a file was kept of its report.")

    @classmethod
    def of(cls, job: Job) -> "DrillView":
        """What its job says."""
        report = job.report or {}
        named = {name: report.get(name) for name in ("verdict", "reason")}
        times = {"started": job.started_at, "ended": job.finished_at}
        return cls.model_validate(
            {"job": job.id, "archive": job.archive, **times, **named, "evidence": bool(report.get("file"))}
        )


class DrillPage(BaseModel):
    """A page of drills, newest first; ``next`` is the ``before`` of the page behind it, null at the end."""

    drills: list[DrillView]
    next: int | None


class DrillReportView(DrillView):
    """A drill with its report; docs/drill.md of the product says what is in it."""

    report: dict[str, Any] | None


@router.get("", responses=problems())
async def list_drills(service: TheService, _: Viewer, limit: Limit = PAGE, before: Before = None) -> DrillPage:
    """The drills that have ended, newest first."""
    found = await service.jobs.page(limit=limit, before=before, kind="drill")
    drills = [DrillView.of(job) for job in found if not job.active]
    return DrillPage(drills=drills, next=found[-1].id if len(found) == limit else None)


@router.get("/{id}", responses=problems(404))
async def get_drill(service: TheService, _: Viewer, id: JobId) -> DrillReportView:  # noqa: A002 - as the path says
    """One drill, by its job's number, with its report."""
    job = await _drill(service, id)
    report = None if job.report is None else {name: value for name, value in job.report.items() if name != "file"}
    return DrillReportView(**DrillView.of(job).model_dump(), report=report)


@router.get(
    "/{id}/evidence",
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/html": {}}},
        **problems(404),
    },
    response_class=Response,
)
async def get_evidence(
    service: TheService,
    _: Viewer,
    id: JobId,  # noqa: A002 - as the path says
    format: Annotated[  # noqa: A002 - likewise
        Literal["json", "html"], Query(description="`json`: as it is chained and signed; `html`: a page to print.")
    ] = "json",
) -> Response:
    """The file that was kept of a drill's report, byte by byte: it names the one before it, and may be signed."""
    job = await _drill(service, id)
    kept = Path(str((job.report or {}).get("file") or ""))
    directory = reports_directory(service.config.drill, service.config.state)
    path = (directory / kept.name).with_suffix(f".{format}")
    try:
        if not Path(kept.name).match(PATTERN):
            raise FileNotFoundError
        content = await anyio.Path(path).read_bytes()
    except OSError:
        where = f" The drill wrote {kept}." if kept.name else ""
        raise ApiError(
            404,
            "evidence-missing",
            "There is no such file here",
            f"No file of the drill {id} is where this replica keeps reports.{where}",
            "Look where the drill ran, or let replicas share the directory.",
        ) from None
    headers = {"Content-Disposition": f'attachment; filename="{path.name}"'}
    return Response(content, media_type=_TYPES[format], headers=headers)


async def _drill(service: TheService, number: int) -> Job:
    job = await service.jobs.get(number)
    if job is None or job.kind != "drill":
        said = f"No drill has the number {number}."
        raise ApiError(404, "drill-missing", "There is no such drill", said, "GET /api/backup/drills shows them.")
    return job
