"""What the routes share: the service they belong to, its store and jobs, and how their answers are documented."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime

from ....pipeline.archives.listing import newest_in
from ....pipeline.archives.opening import full_name
from ....pipeline.copies.settings import find_copy
from ....pipeline.parts.names import LATEST
from ....stages.errors import Busy, ConfigurationError, ObjectMissing
from ....stages.stores.base import StoreSettings
from ....stages.stores.past import store_at
from ...control.jobs import READING, NewJob
from ...service import Service
from ...targets.held import Targets
from .. import models
from ..identity import callers
from ..identity.auth import AuthenticatedRoute, Caller
from ..problems import MEDIA_TYPE, ApiError

#: The specification's page (Timeouts and Limits).
PAGE, MOST = 50, 1000
LARGEST_ID = 2**63 - 1


#: Where the routes of the default target begin (the specification's), and those of each by its name.
DEFAULT, EACH = "/api/backup", "/api/targets/{target}/backup"


def targets_of(request: Request) -> Targets:
    """All targets of the app."""
    targets: Targets = request.app.state.targets
    return targets


def _service(request: Request) -> Service:
    """The target that a path names, or the default one. Raises ``ApiError`` where there is none."""
    try:
        return targets_of(request).find(request.path_params.get("target"))
    except KeyError:
        raise ApiError(
            404, "target-missing", "There is no such target", "No target has that name.", "GET /api/targets shows them."
        ) from None


TheService = Annotated[Service, Depends(_service)]
Viewer: TypeAlias = callers.Viewer
Admin: TypeAlias = callers.Admin
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many, at most.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many to pass over.")]
AsOf = Annotated[
    AwareDatetime | None,
    Query(description="The store as it was then, with what was deleted or replaced since; it must keep versions."),
]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next` of the page before.")]

_WORDS = {
    401: "No token, or one that is not taken",
    403: "The caller's role may not do this",
    404: "There is no such thing",
    409: "What is there does not allow it",
    413: "The request is larger than 64 KiB",
    416: "The archive has no such bytes",
    422: "A part of the request cannot be used",
    429: "Too many requests; Retry-After says when to ask again",
    500: "Unexpected; logged under `incident`",
    502: "The store or the vault refuses",
    503: "The database, the store or the vault cannot be reached",
    504: "It took too long",
}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}
#: Every route may answer these.
_ALWAYS = (401, 403, 422, 500, 503)


Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


def polled(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that pages ask again and again, and whose answer is the same for everybody with a role."""
    endpoint.polled = True  # type: ignore[attr-defined]
    return endpoint


def router_of(prefix: str, *tags: str) -> APIRouter:
    """A router whose routes check the token before anything else.

    ``prefix`` is the specification's path; the app includes the router below ``DEFAULT`` and below ``EACH``.
    """
    assert prefix.startswith(DEFAULT), prefix
    return APIRouter(prefix=prefix.removeprefix(DEFAULT), tags=[*tags], route_class=AuthenticatedRoute)


def problems(*statuses: int, always: tuple[int, ...] = _ALWAYS) -> dict[int | str, dict[str, Any]]:
    """The documentation of the problems that a route may answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _WORDS[status],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in sorted({*always, *statuses})
    }


def located(description: str, where: str) -> dict[str, Any]:
    """The documentation of a 202 with a Location header."""
    return {"description": description, "headers": {"Location": {"description": where, "schema": {"type": "string"}}}}


def address(request: Request, path: str) -> str:
    """A path of this API as callers see it, with its mount; of the target that the request names."""
    if target := request.path_params.get("target"):
        path = path.replace(DEFAULT, EACH.replace("{target}", target), 1)
    return f"{request.scope.get('root_path', '')}{request.app.state.prefix}{path}"


async def store_of(service: TheService, key: str) -> StoreSettings:
    """The store, when it may have an archive of that name at all."""
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise ObjectMissing("No archive has such a name.", hint="GET /api/backup/list shows the archives.")
    return await service.settings.store()


async def archive_of(
    service: TheService, key: str, as_of: datetime | None = None, from_copy: str | None = None
) -> tuple[StoreSettings, str]:
    """The store, as it was then, and the full name of its archive that ``key`` means: ``latest`` is the newest.

    ``from_copy`` names a copy instead, in which the archive has its name without the store's prefix. Raises
    ``ObjectMissing`` where there is no such copy.
    """
    first = await store_of(service, key)
    if from_copy is not None:
        try:
            copy = find_copy(service.config.copies, from_copy).store
        except ConfigurationError as exc:
            raise ObjectMissing(exc.message, hint=exc.hint) from None
        key, first = key.removeprefix(first.prefix), copy
    store = store_at(first, as_of)
    return store, await newest_in(store) if key == LATEST else full_name(store, key)


def new_job(caller: Caller, **values: Any) -> NewJob:
    """A job that a caller asks for."""
    return NewJob(
        requested_by=caller.principal.subject,
        requested_by_name=caller.principal.name,
        ip=caller.ip,
        workstation=caller.workstation,
        **values,
    )


async def submit(request: Request, service: TheService, new: NewJob, **more: Any) -> models.JobView:
    """Start a job; a conflict names the job that runs."""
    try:
        return models.JobView.of(await service.submit(new, **more))
    except Busy as exc:
        running = [job for job in await service.jobs.running() if (job.kind in READING) == (new.kind in READING)]
        shown = {"job": models.JobView.of(running[0]).model_dump(mode="json")} if running else {}
        headers = {"Location": address(request, f"/api/backup/jobs/{running[0].id}")} if running else {}
        title = "Another job holds the same target"
        raise ApiError(409, "busy", title, exc.message, exc.hint, headers=headers, **shown) from None


def unusable(error: ConfigurationError) -> ApiError:
    """Settings in a request that cannot work."""
    return ApiError(422, "invalid", "A part of the request cannot be used", error.message, error.hint)
