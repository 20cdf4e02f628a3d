"""Looking into archives: contents, differences, and what a restore would do. Nothing that is backed up is changed."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path, Request, Response, status

from ....pipeline.archives.actions import inspect
from ...control.views.inspections import InspectionKind
from ...work.inspecting import Inspected
from .. import combinations, models, rates
from ..bodies import inspection_models
from ..identity.callers import MayInspect
from ..problems import ApiError
from .restores import options_of
from .shared import LARGEST_ID, TheService, address, archive_of, located, problems, router_of

router = router_of("/api/backup", "inspections")

InspectionId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The inspection's number.", examples=[1])]
_BEGUN = {202: located("The inspection", "Where it is told of."), **problems(404, 409, 429, 502)}


@router.post("/contents", status_code=status.HTTP_202_ACCEPTED, responses=_BEGUN)
async def contents(
    request: Request, response: Response, service: TheService, caller: MayInspect, wanted: inspection_models.Contents
) -> inspection_models.InspectionView:
    """List what an archive holds: tables with rows and bytes, kinds of objects, roles, and paths of secrets if asked.

    Of format v1 all of the archive is read. One inspection of a target runs at a time, beside its jobs. Audited.
    """
    options = {"secrets": wanted.secrets}
    return await _begin(request, response, service, caller, wanted, kind="contents", options=options)


@router.post("/diff", status_code=status.HTTP_202_ACCEPTED, responses=_BEGUN)
async def diff(
    request: Request, response: Response, service: TheService, caller: MayInspect, wanted: inspection_models.Comparison
) -> inspection_models.InspectionView:
    """Say what is different between two archives, or from one to the database and the vault as they are.

    Secrets are compared, and named by their paths; no value is shown. As `contents` otherwise.
    """
    return await _begin(request, response, service, caller, wanted, kind="diff", options={})


@router.post("/restore/dry-run", status_code=status.HTTP_202_ACCEPTED, responses=_BEGUN)
async def dry_run(
    request: Request, response: Response, service: TheService, caller: MayInspect, wanted: models.Restore
) -> inspection_models.InspectionView:
    """Say what a restore with the same body would do, and what would stop it (`blockers`). As `contents` otherwise.

    That of tables makes a scratch database for the archive's schema and drops it. What `backup_first` says is not
    looked at.
    """
    combinations.check(wanted)
    options = options_of(service, wanted)
    return await _begin(request, response, service, caller, wanted, kind="dry-run", options=options)


@router.get("/inspections/{id}", responses=problems(404))
async def get_inspection(
    service: TheService,
    _: MayInspect,
    id: InspectionId,  # noqa: A002 - as the path says
) -> inspection_models.InspectionView:
    """One inspection, with what it found. An administrator's: it may name secrets."""
    found = await service.inspections.get(id)
    if found is None:
        raise _missing(id)
    return inspection_models.InspectionView.of(found)


@router.delete("/inspections/{id}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404))
async def delete_inspection(service: TheService, _: MayInspect, id: InspectionId) -> None:  # noqa: A002 - likewise
    """Remove what it found; one that runs is ended within seconds."""
    if not await service.inspections.remove(id):
        raise _missing(id)


async def _begin(
    request: Request,
    response: Response,
    service: TheService,
    caller: MayInspect,
    wanted: inspection_models.Contents | inspection_models.Comparison | models.Restore,
    *,
    kind: InspectionKind,
    options: Mapping[str, object],
) -> inspection_models.InspectionView:
    await rates.take(service, "inspection", caller)
    if wanted.as_of is not None:
        options = {**options, "as_of": wanted.as_of.isoformat()}
    if wanted.from_copy is not None:
        options = {**options, "from_copy": wanted.from_copy}
    store, name = await archive_of(service, wanted.key, wanted.as_of, wanted.from_copy)
    await inspect(name, store)  # what is no archive is said at once
    other = None
    if isinstance(wanted, inspection_models.Comparison) and wanted.other is not None:
        _, other = await archive_of(service, wanted.other, wanted.as_of, wanted.from_copy)
    password = None if wanted.password is None else wanted.password.get_secret_value()
    asked = Inspected(kind=kind, archive=name, other=other, password=password, options=options)
    made = await service.inspector.begin(asked, caller.actor)
    response.headers["Location"] = address(request, f"/api/backup/inspections/{made.id}")
    return inspection_models.InspectionView.of(made)


def _missing(number: int) -> ApiError:
    said = f"There is no inspection {number}, or what it found was removed."
    return ApiError(404, "inspection-missing", "There is no such inspection", said, "Ask for it again.")
