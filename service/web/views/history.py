"""History: what runs and ran, a backup now, cancelling, one job in full, and the audit log."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from ....stages.errors import KleidiaError
from ...api import models
from ...api.identity.callers import MayBackup, MayCancel
from ...api.problems import ApiError
from ...api.routes import backups, jobs, schedules
from ...api.routes.shared import PAGE, Before, TheService, Viewer
from ...control.jobs import Measured
from .. import charts, evidence, words
from ..forms import read
from ..frame import framed, viewpoint
from ..route import router_of, seen
from ..templating import ENDED, by_htmx, page

router = router_of()

#: Backups that the charts show.
_CHARTED = 90
#: Days of the strip, and the colours of their states.
_DAYS = 30
_KINDS = {"ok": "completed", "failed": "failed", "missed": "missed", "none": "none"}


@router.get("/history")
async def history(
    request: Request,
    service: TheService,
    caller: Viewer,
    before: Before = None,
    kind: Annotated[models.Kind | Literal[""], Query()] = "",
    status: Annotated[models.Status | Literal[""], Query()] = "",
) -> Response:
    """The jobs, newest first, under what runs. A list's "all" is an empty text."""
    found = await service.jobs.page(limit=PAGE, before=before, kind=kind or None, status=status or None)
    made = await service.jobs.measured(_CHARTED)
    return page(
        "history.html",
        request,
        frame=await framed(request, service, caller, "history"),
        running=await service.jobs.running(),
        jobs=found,
        next=found[-1].id if len(found) == PAGE else None,
        chosen={"kind": kind, "status": status},
        charts=_charts(made),
        days=await _days(service, caller),
    )


async def _days(service: TheService, caller: Viewer) -> charts.Chart | None:
    """The last thirty days; None while the settings cannot be read, which say when a day begins."""
    try:
        found = await schedules.statistics(service, caller, _DAYS)
    except KleidiaError:
        return None
    return charts.strip([charts.Point(0, _said(day), _KINDS[day.state]) for day in found.days])


def _said(day: schedules.Day) -> str:
    """What a day of the strip says: its state, and the numbers behind it."""
    parts = [
        f"{number} {each.kind} {word}"
        for each in day.jobs
        for number, word in ((each.completed, "completed"), (each.failed, "failed"), (each.missed, "missed"))
        if number
    ]
    return f"{day.date}: {', '.join(parts) or 'nothing'}"


def _charts(made: list[Measured]) -> list[tuple[str, charts.Chart]]:
    """What backups became over time: a title and bars for each measure."""
    ends = [f"{each.ended:%Y-%m-%d %H:%M}" for each in made]
    return [
        _chart("Size of the last full backups", [each.size for each in made], ends, words.size),
        _chart("How long they took", [each.seconds for each in made], ends, words.duration),
    ]


def _chart(
    title: str, values: Sequence[float], ends: list[str], say: Callable[[float], str]
) -> tuple[str, charts.Chart]:
    """One of them; its title says between what its bars are, for it has no axis."""
    points = [charts.Point(value, f"{end}: {say(value)}") for value, end in zip(values, ends, strict=True)]
    said = f"{title}: {say(min(values))} to {say(max(values))}" if values else title
    return said, charts.bars(points)


@router.get("/history/running")
async def running(request: Request, service: TheService, caller: Viewer) -> Response:
    """The part of the page that is asked for again while something runs; 286 ends the asking."""
    found = await service.jobs.running()
    answer = page("_running.html", request, frame=await viewpoint(service, caller), running=found)
    if not found:
        answer.status_code = ENDED
        answer.headers["HX-Trigger"] = "ended"
    return answer


@router.post("/history/backup")
async def back_up(request: Request, response: Response, service: TheService, caller: MayBackup) -> Response:
    """Run Backup Now: always a full one, as the specification has it."""
    await read(request)
    await backups.trigger(request, response, service, caller, None)
    return seen(request, "/history")


@router.get("/jobs/{id}")
async def job(request: Request, service: TheService, caller: Viewer, id: jobs.JobId) -> Response:  # noqa: A002 - as the path says
    """One job in full; while it runs, only its part is asked for again."""
    found = await jobs.find_job(service, id)
    new = [] if found.active else await service.jobs.new_warnings(found)
    if by_htmx(request):
        part, status = await viewpoint(service, caller), 200 if found.active else ENDED
        return page("_job.html", request, status, frame=part, job=found, new=new)
    return page("job.html", request, frame=await framed(request, service, caller, "history"), job=found, new=new)


@router.get("/jobs/{id}/report")
async def report(request: Request, service: TheService, caller: Viewer, id: jobs.JobId) -> Response:  # noqa: A002 - likewise
    """What a verification or a drill found, as tables to read and to print."""
    found = await jobs.find_job(service, id)
    frame = await framed(request, service, caller, "history")
    said = found.report or {}
    if found.kind not in {"verify", "drill"} or "verdict" not in said:
        raise ApiError(
            404,
            "report-missing",
            "There is no such report",
            f"The job {id} has no report of an archive.",
            "Look at the job: it may run, or have ended before it had any.",
        )
    return page(
        "report.html",
        request,
        frame=frame,
        job=found,
        verdict=said["verdict"],
        said=evidence.VERDICTS.get(said["verdict"], said["verdict"]),
        reason=found.error or said.get("reason") or "",
        sections=evidence.sections(found, frame),
    )


@router.post("/jobs/{id}/cancel")
async def cancel(request: Request, service: TheService, caller: MayCancel, id: jobs.JobId) -> Response:  # noqa: A002 - likewise
    """Ask for its end."""
    await read(request)
    await jobs.cancel_job(request, service, caller, id)
    return seen(request, f"/jobs/{id}")
