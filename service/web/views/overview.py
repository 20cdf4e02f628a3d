"""All targets at a glance; where there is one alone, its history."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from ...api.identity.address import base_path
from ...api.identity.roles import allowed
from ...api.routes import targets as routes
from ...api.routes.shared import PAGE, targets_of
from ..route import router_of
from ..templating import page

router = router_of()


@router.get("/")
async def front(request: Request, caller: routes.Anybody) -> Response:
    """What somebody gets who types the service's address alone."""
    held = targets_of(request)
    alone = len(held.held()) == 1 and allowed(caller.principal, "read", held.default)
    return RedirectResponse(f"{base_path(request)}/{'history' if alone else 'targets'}", 303)


@router.get("/targets")
async def overview(
    request: Request, caller: routes.Anybody, offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0
) -> Response:
    """Every target that the caller may read: how it is, what runs, what is next."""
    found = await routes.list_targets(request, caller, PAGE, offset)
    return page("targets.html", request, caller=caller, found=found)


@router.get("/switch")
async def switch(
    request: Request,
    _: routes.Anybody,
    target: Annotated[str, Query(max_length=200)],
    view: Literal["settings", "history", "restore", "audit"] = "history",
) -> Response:
    """To the same view of another target. Whether there is one of that name, and for whom, that view says."""
    return RedirectResponse(f"{base_path(request)}/targets/{quote(target.strip(), safe='')}/{view}", 303)
