"""Which archives stay: pins, and what the rules of the settings' form would delete."""

from fastapi import Request, Response

from ....stages.errors import KleidiaError
from ...api.bodies import keeping
from ...api.identity.callers import MayPin
from ...api.problems import ApiError, told
from ...api.routes import retention as routes
from ...api.routes.shared import Admin, TheService
from ..asked import key_of
from ..forms import read
from ..frame import framed
from ..route import router_of, seen
from ..templating import by_htmx, page

router = router_of()


@router.post("/restore/pin")
async def pin(request: Request, service: TheService, caller: MayPin) -> Response:
    """Keep an archive whatever the rules say."""
    form = await read(request)
    await routes.pin(service, caller, key_of(form), keeping.Pinning(reason=form.text("reason")))
    return seen(request, "/restore")


@router.post("/restore/unpin")
async def unpin(request: Request, service: TheService, caller: MayPin) -> Response:
    """Leave it to the rules again."""
    form = await read(request)
    await routes.unpin(service, caller, key_of(form))
    return seen(request, "/restore")


@router.post("/settings/retention")
async def preview(request: Request, service: TheService, caller: Admin) -> Response:
    """What the rules in the form would delete now, before they are saved. Nothing is deleted."""
    form = await read(request)
    typed = {name: text for name in keeping.WantedRules.model_fields if (text := form.text(name))}
    try:
        found = await routes.preview_retention(service, caller, keeping.WantedRules.model_validate(typed))
    except (ApiError, KleidiaError, ValueError) as exc:
        if not by_htmx(request):
            raise
        return page("_problem.html", request, problem=told(exc))
    frame = await framed(request, service, caller, "settings")
    name = "_retention.html" if by_htmx(request) else "retention.html"
    return page(name, request, frame=frame, found=found)
