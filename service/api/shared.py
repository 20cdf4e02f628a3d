"""What the routes share: the service they belong to, and how their answers are documented."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from ..service import Service
from .auth import AuthenticatedRoute, Caller, admin, viewer
from .problems import MEDIA_TYPE

#: The specification's page (Timeouts and Limits).
PAGE, MOST = 50, 1000
_LARGEST_ID = 2**63 - 1


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]
Viewer = Annotated[Caller, Depends(viewer)]
Admin = Annotated[Caller, Depends(admin)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many, at most.")]
Before = Annotated[int | None, Query(ge=1, le=_LARGEST_ID, description="`next` of the page before.")]
LARGEST_ID = _LARGEST_ID

_WORDS = {
    401: "No token, or one that is not taken",
    403: "The caller's role may not do this",
    404: "There is no such thing",
    409: "What is there does not allow it",
    413: "The request is larger than 1 MiB",
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


def router_of(prefix: str, *tags: str) -> APIRouter:
    """A router whose routes look at the token before anything else."""
    return APIRouter(prefix=prefix, tags=[*tags], route_class=AuthenticatedRoute)


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
    """A path of this API as callers see it, wherever the app is mounted."""
    return f"{request.scope.get('root_path', '')}{request.app.state.prefix}{path}"
