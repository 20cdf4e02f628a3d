"""Looking into an archive before anything is restored: a preview of the restore, and what the archive holds."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from pydantic import ValidationError

from ....stages.errors import KleidiaError
from ...api import models
from ...api.bodies import inspection_models
from ...api.identity.callers import MayInspect
from ...api.problems import ApiError, told
from ...api.routes import backups
from ...api.routes import inspections as routes
from ...api.routes.shared import MOST, TheService, targets_of
from ..asked import ASKED, restore_of
from ..command import restore_command
from ..forms import Form, read
from ..frame import framed
from ..route import router_of
from ..templating import ENDED, by_htmx, here, page

router = router_of()

Key = Annotated[models.Key, Query()]


@router.post("/restore/preview")
async def preview(request: Request, response: Response, service: TheService, caller: MayInspect) -> Response:
    """Begin a dry run of what the wizard's form asks for."""
    form = await read(request)
    try:
        wanted = restore_of(form)
        begun = await routes.dry_run(request, response, service, caller, wanted)
    except (ApiError, KleidiaError, ValidationError) as exc:
        if not by_htmx(request):
            raise
        return page("_problem.html", request, problem=told(exc))
    if by_htmx(request):
        return page("_preview.html", request, found=begun, command=_command(request, service, wanted))
    # What was asked for goes on in the address, without the password.
    asked = urlencode({name: text for name, text in form.items() if name in ASKED})
    return Response(status_code=303, headers={"Location": f"{here(request)}/inspections/{begun.id}?{asked}"})


def _command(request: Request, service: TheService, wanted: models.Restore) -> str:
    several = len(targets_of(request).held()) > 1
    return restore_command(wanted, service.target if several else "")


def _command_of_address(request: Request, service: TheService, found: inspection_models.InspectionView) -> str:
    """The command of a preview whose options its address has; nothing where they are not of this archive."""
    asked = Form({name: text for name, text in request.query_params.items() if name in ASKED and text})
    if found.kind != "dry-run" or not asked:
        return ""
    try:
        wanted = restore_of(asked)
    except ValidationError:
        return ""
    return _command(request, service, wanted) if found.archive.endswith(wanted.key) else ""


@router.get("/restore/compare")
async def ask_compare(request: Request, service: TheService, caller: MayInspect, key: Key) -> Response:
    """With what to compare an archive."""
    return await _comparing(request, service, caller, key)


@router.post("/restore/compare")
async def compare(request: Request, response: Response, service: TheService, caller: MayInspect) -> Response:
    """Begin to compare it with another one, or with what there is now."""
    form = await read(request)
    other = form.text("older") or form.text("other") or None
    wanted = {"key": form.text("key"), "other": other, "password": form.get("password") or None}
    asked = inspection_models.Comparison.model_validate(wanted)
    try:
        begun = await routes.diff(request, response, service, caller, asked)
    except (ApiError, KleidiaError) as exc:
        return await _comparing(request, service, caller, asked.key, form, exc)
    return Response(status_code=303, headers={"Location": f"{here(request)}/inspections/{begun.id}"})


async def _comparing(
    request: Request,
    service: TheService,
    caller: MayInspect,
    key: str,
    form: Form | None = None,
    problem: Exception | None = None,
) -> Response:
    found = await backups.list_backups(service, caller, MOST)
    said = None if problem is None else told(problem)
    return page(
        "compare.html",
        request,
        200 if said is None else said.status,
        frame=await framed(request, service, caller, "restore"),
        key=key,
        others=[each for each in found.backups if each.key != key],
        more=found.next is not None,
        given={} if form is None else {name: form.text(name) for name in ("other", "older")},
        problem=said,
        passwords=service.config.passwords_in_requests,
    )


@router.post("/restore/contents")
async def contents(request: Request, response: Response, service: TheService, caller: MayInspect) -> Response:
    """Begin to list what an archive holds."""
    form = await read(request)
    wanted = {"key": form.text("key"), "password": form.get("password") or None, "secrets": True}
    asked = inspection_models.Contents.model_validate(wanted)
    begun = await routes.contents(request, response, service, caller, asked)
    return await _shown(request, service, caller, begun)


@router.get("/inspections/{id}")
async def inspection(request: Request, service: TheService, caller: MayInspect, id: routes.InspectionId) -> Response:  # noqa: A002 - as the path says
    """What it found, or that it runs."""
    return await _shown(request, service, caller, await routes.get_inspection(service, caller, id))


async def _shown(
    request: Request, service: TheService, caller: MayInspect, found: inspection_models.InspectionView
) -> Response:
    if by_htmx(request):
        status = 200 if found.status == "running" or request.method == "POST" else ENDED
        return page("_inspection.html", request, status, found=found)
    if request.method == "POST":
        return Response(status_code=303, headers={"Location": f"{here(request)}/inspections/{found.id}"})
    frame = await framed(request, service, caller, "restore")
    command = _command_of_address(request, service, found)
    return page("inspection.html", request, frame=frame, found=found, command=command)
