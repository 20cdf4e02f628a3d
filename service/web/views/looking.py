"""Looking into an archive before anything is restored: a preview of the restore, and what the archive holds."""

from fastapi import Request, Response
from pydantic import ValidationError

from ....stages.errors import KleidiaError
from ...api.bodies import inspection_models
from ...api.identity.callers import MayInspect
from ...api.problems import ApiError, told
from ...api.routes import inspections as routes
from ...api.routes.shared import TheService
from ..asked import restore_of
from ..forms import read
from ..frame import framed
from ..route import router_of
from ..templating import ENDED, by_htmx, here, page

router = router_of()


@router.post("/restore/preview")
async def preview(request: Request, response: Response, service: TheService, caller: MayInspect) -> Response:
    """Begin a dry run of what the wizard's form asks for."""
    form = await read(request)
    try:
        begun = await routes.dry_run(request, response, service, caller, restore_of(form))
    except (ApiError, KleidiaError, ValidationError) as exc:
        if not by_htmx(request):
            raise
        return page("_problem.html", request, problem=told(exc))
    return await _shown(request, service, caller, begun)


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
    return page("inspection.html", request, frame=frame, found=found)
