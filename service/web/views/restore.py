"""Restore: the archives, what can be done with each, and the steps to a restore."""

from typing import Annotated

from fastapi import Query, Request, Response

from ....stages.errors import KleidiaError
from ....stages.stores.directory.store import DirectorySettings
from ...api import models
from ...api.identity.auth import Caller
from ...api.identity.callers import (
    MayDelete,
    MayDownload,
    MayDrill,
    MayRestore,
    MayUndo,
    MayValidatePassword,
    MayVerify,
)
from ...api.problems import ApiError, told
from ...api.routes import backups, restores, verifications
from ...api.routes.shared import PAGE, Offset, TheService, Viewer
from ..asked import key_of, restore_of
from ..forms import Form, read
from ..frame import framed
from ..route import router_of, seen
from ..templating import by_htmx, page

router = router_of()

_Key = Annotated[models.Key, Query()]


@router.get("/restore")
async def archives(request: Request, service: TheService, caller: Viewer, offset: Offset = 0) -> Response:
    """The archives, newest first. A store that does not answer is said in their place."""
    found, problem = None, None
    try:
        found = await backups.list_backups(service, caller, PAGE, offset)
    except KleidiaError as exc:
        problem = told(exc)
    frame = await framed(request, service, caller, "restore")
    return page("restore.html", request, frame=frame, found=found, problem=problem)


@router.get("/restore/archive")
async def wizard(request: Request, service: TheService, caller: MayRestore, key: _Key) -> Response:
    """The steps to a restore of one archive."""
    return await _wizard(request, service, caller, key)


@router.post("/restore/validate")
async def validate(request: Request, service: TheService, caller: MayValidatePassword) -> Response:
    """Validate Password."""
    form = await read(request)
    try:
        candidate = models.Candidate.model_validate({"key": form.text("key"), "password": form.get("password", "")})
        said = await restores.validate_password(request, service, caller, candidate)
    except (ApiError, KleidiaError, ValueError) as exc:
        if not by_htmx(request):
            return await _wizard(request, service, caller, form.text("key"), form, exc)
        return page("_problem.html", request, problem=told(exc))
    if by_htmx(request):
        return page("_validated.html", request, validation=said)
    return await _wizard(request, service, caller, form.text("key"), form, validation=said)


@router.post("/restore/start")
async def start(request: Request, response: Response, service: TheService, caller: MayRestore) -> Response:
    """Restore Now: for who typed the target's name and a reason."""
    form = await read(request)
    try:
        if form.text("confirm") != service.target:
            raise ApiError(
                422,
                "not-confirmed",
                "The name that was typed is not the target's",
                "Nothing was started: the name that was typed is not the target's.",
                f"Type {service.target} to restore it.",
            )
        job = await restores.restore(request, response, service, caller, restore_of(form))
    except (ApiError, KleidiaError, ValueError) as exc:
        return await _wizard(request, service, caller, form.text("key"), form, exc)
    return seen(request, f"/jobs/{job.id}")


@router.post("/restore/undo")
async def undo(request: Request, response: Response, service: TheService, caller: MayUndo) -> Response:
    """Put back what a restore wrote that ended in the middle."""
    await read(request)
    job = await restores.undo_restore(request, response, service, caller)
    return seen(request, f"/jobs/{job.id}")


@router.post("/restore/dismiss")
async def dismiss(request: Request, response: Response, service: TheService, caller: MayUndo) -> Response:
    """Forget it; what it wrote stays."""
    await read(request)
    job = await restores.dismiss_restore(request, response, service, caller)
    return seen(request, f"/jobs/{job.id}")


@router.post("/restore/verify")
async def verify(request: Request, response: Response, service: TheService, caller: MayVerify) -> Response:
    """Read one to its last byte."""
    return await _look(request, response, service, caller, "verify")


@router.post("/restore/drill")
async def drill(request: Request, response: Response, service: TheService, caller: MayDrill) -> Response:
    """Bring one back into scratch servers."""
    return await _look(request, response, service, caller, "drill")


@router.post("/restore/download")
async def download(request: Request, service: TheService, caller: MayDownload) -> Response:
    """A link with which the encrypted archive is fetched: the policy of our pages lets no form lead elsewhere."""
    key = key_of(await read(request))
    made = None
    if not isinstance(await service.settings.store(), DirectorySettings):  # which has no URLs: we send it ourselves
        made = await backups.download(service, caller, key)
    frame = await framed(request, service, caller, "restore")
    return page("download.html", request, frame=frame, key=key, made=made)


@router.get("/restore/delete")
async def ask_delete(request: Request, service: TheService, caller: MayDelete, key: _Key) -> Response:
    """Ask once more."""
    frame = await framed(request, service, caller, "restore")
    return page("delete.html", request, frame=frame, key=key, problem=None)


@router.post("/restore/delete")
async def delete(request: Request, service: TheService, caller: MayDelete) -> Response:
    """Delete one for good, for who typed its name."""
    form = await read(request)
    key = key_of(form)
    try:
        if form.text("confirm") != key:
            raise ApiError(
                422,
                "not-confirmed",
                "The name that was typed is another",
                "Nothing was deleted.",
                "Type its whole name.",
            )
        await backups.delete(service, caller, key)
    except (ApiError, KleidiaError) as exc:
        said = told(exc)
        frame = await framed(request, service, caller, "restore")
        return page("delete.html", request, said.status, frame=frame, key=key, problem=said)
    return seen(request, "/restore")


async def _look(request: Request, response: Response, service: TheService, caller: Caller, kind: str) -> Response:
    form = await read(request)
    wanted = models.Reading.model_validate({"key": form.text("key")})
    act = verifications.verify if kind == "verify" else verifications.drill
    job = await act(request, response, service, caller, wanted)
    return seen(request, f"/jobs/{job.id}")


async def _wizard(
    request: Request,
    service: TheService,
    caller: Caller,
    key: str,
    form: Form | None = None,
    error: Exception | None = None,
    validation: models.Validation | None = None,
) -> Response:
    said = None if error is None else told(error)
    return page(
        "wizard.html",
        request,
        200 if said is None else said.status,
        frame=await framed(request, service, caller, "restore"),
        key=key,
        given={} if form is None else {name: text for name, text in form.items() if name != "password"},
        problem=said,
        validation=validation,
        passwords=service.config.passwords_in_requests,
    )
