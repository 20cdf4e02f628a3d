"""Every error as RFC 9457 problem details (``application/problem+json``), with a ``next_step``.

The one place that knows which status an error of our tree has. Nothing that a caller sent is repeated, for a password
could be in it; nothing unexpected is shown, it is logged under an id.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from ...stages import errors

MEDIA_TYPE = "application/problem+json"
#: What the type of every problem begins with; they name, and lead nowhere.
TYPE = "urn:kleidia-backup:problem:"


class InvalidField(BaseModel):
    """One part of a request that cannot be used; what was sent is not repeated."""

    field: str = Field(examples=["body.retention_days"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class Right(BaseModel):
    """A right that is missing."""

    verb: str = Field(examples=["list"])
    path: str = Field(examples=["secret/metadata/app/"])


class Problem(BaseModel):
    """RFC 9457 problem details. ``next_step`` says what to do about it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[f"{TYPE}object-missing"])
    title: str = Field(examples=["There is no archive of that name"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no archive backups/backup-full-20260101-020000.enc."])
    instance: str = Field(examples=["/api/backup/restore"])
    next_step: str = Field(examples=["GET /api/backup/list shows the archives."])
    effect: errors.Effect | None = Field(None, description="What became of the data, where that is known.")
    rights: list[Right] | None = Field(None, description="Rights that are missing, where they are known.")
    remedies: list[errors.Remedy] | None = Field(
        None, description="`kleidia-backup restore --undo` or `--dismiss` end an unfinished restore."
    )
    invalid: list[InvalidField] | None = None
    job: dict[str, Any] | None = Field(None, description="With a conflict: the job that runs.")
    incident: str | None = Field(None, description="With an unexpected error: the id under which it was logged.")


class ApiError(Exception):
    """An error of the API itself, ready to be answered. ``more`` are further members of the problem."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        next_step: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.next_step = next_step
        self.headers = dict(headers or {})
        self.more = more


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of an error, whichever way it is shown. ``more`` are further members of a problem."""

    status: int
    kind: str
    title: str
    detail: str
    next_step: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


#: Status, type and title of our errors: the first class that fits.
_KINDS: tuple[tuple[type[errors.KleidiaError], int, str, str], ...] = (
    (errors.Busy, 409, "busy", "Another job holds the same target"),
    (errors.Pinned, 409, "pinned", "The archive is pinned"),
    (errors.UnfinishedRestore, 409, "unfinished-restore", "An earlier restore ended in the middle"),
    (errors.NotAnArchive, 404, "not-an-archive", "It is no archive"),
    (errors.WrongPassword, 422, "wrong-password", "The password does not open the archive"),
    (errors.ArchiveError, 422, "archive", "The archive cannot be used"),
    (errors.ObjectMissing, 404, "object-missing", "There is no archive of that name"),
    (errors.ObjectExists, 409, "object-exists", "An archive of that name is already there"),
    (errors.ObjectRetained, 409, "object-retained", "The store's lock keeps the archive"),
    (errors.ObjectChanged, 409, "object-changed", "The archive was replaced meanwhile"),
    (errors.StoreUnreachable, 503, "store-unreachable", "The object store does not answer"),
    (errors.StoreError, 502, "store", "The object store refuses"),
    (errors.VaultUnreachable, 503, "vault-unreachable", "The vault does not answer"),
    (errors.VaultSealed, 503, "vault-sealed", "The vault is sealed"),
    (errors.VaultError, 502, "vault", "The vault refuses"),
    (errors.DatabaseError, 503, "database", "The database cannot be used"),
    (errors.ConfigurationError, 409, "not-configured", "The configuration does not allow it"),
    (errors.JobTimeout, 504, "timeout", "It took too long"),
)
#: Title and next step of what the framework refuses.
_FRAMEWORK = {
    400: ("bad-request", "The request cannot be read", "Send JSON, with Content-Type: application/json."),
    401: ("not-authenticated", "Who you are is not known", "Send Authorization: Bearer with a valid token."),
    403: ("forbidden", "Your role may not do this", "Ask an administrator."),
    404: ("not-found", "There is nothing at this address", "/docs lists every address."),
    405: ("method-not-allowed", "This address does not take this method", "/docs lists the methods of every address."),
    413: ("too-large", "The request is too large", "No request to this API needs more than 64 KiB."),
    415: ("media-type", "The request is not JSON", "Send JSON, with Content-Type: application/json."),
}


class ProblemResponse(JSONResponse):
    """A problem as an answer."""

    media_type = MEDIA_TYPE


def answer(
    request: Request,
    status: int,
    kind: str,
    title: str,
    detail: str,
    next_step: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> ProblemResponse:
    """The answer with a problem."""
    content = {
        "type": TYPE + kind,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": _sendable(request.scope["path"]),
        "next_step": next_step,
        **more,
    }
    return ProblemResponse(content, status, headers=dict(headers or {}))


def fields(error: errors.KleidiaError) -> dict[str, Any]:
    """What a program may decide by, besides the type: the members of a problem that has any of them."""
    rights = [{"verb": right.verb, "path": right.path} for right in error.rights]
    found = {"effect": error.effect, "rights": rights, "remedies": list(error.remedies)}
    return {name: value for name, value in found.items() if value}


def told(error: Exception) -> Told:
    """What is said of an error of the API, of our tree, of the framework or of a request's body.

    Raises the error itself if it is none of them.
    """
    if isinstance(error, ApiError):
        return Told(error.status, error.kind, error.title, str(error), error.next_step, error.headers, error.more)
    if isinstance(error, HTTPException):
        kind, title, step = _FRAMEWORK.get(error.status_code, ("refused", "The request was refused", "See /docs."))
        return Told(error.status_code, kind, title, f"{title}.", step, dict(error.headers or {}))
    if isinstance(error, (RequestValidationError, ValidationError)):
        return _invalid(error)
    for kind_, status, name, title in _KINDS:
        if isinstance(error, kind_):
            if error.said:
                structlog.get_logger("kleidia_backup.api").warning("what the server said", error=name, said=error.said)
            headers = {"Retry-After": "10"} if status == 503 else {}
            step = error.hint or "Try again, or ask an operator."
            return Told(status, name, title, error.summary, step, headers, fields(error))
    raise error


def _invalid(error: RequestValidationError | ValidationError) -> Told:
    found = [{"field": _place(each), "message": _message(each)} for each in error.errors()]
    names = ", ".join(dict.fromkeys(each["field"] for each in found))
    title, step = "A part of the request cannot be used", "Correct what is named; /docs shows what is expected."
    return Told(422, "invalid", title, f"Not usable: {names}.", step, more={"invalid": found})


def install(app: FastAPI) -> None:
    """Answer every error that a route or the framework raises as a problem."""

    async def answered(request: Request, exc: Exception) -> ProblemResponse:
        return _answer(request, told(exc))

    for kind in (ApiError, errors.KleidiaError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answered)


def _answer(request: Request, said: Told) -> ProblemResponse:
    return answer(request, said.status, said.kind, said.title, said.detail, said.next_step, said.headers, **said.more)


def _place(error: Mapping[str, Any]) -> str:
    """The place of an error. A name that is not known is the caller's text, and may be a secret: it is not repeated."""
    location = [str(each) for each in error["loc"]]
    if error["type"] == "extra_forbidden":
        location[-1] = "(unknown)"
    return ".".join(location)


def _sendable(text: str) -> str:
    """What JSON can escape and UTF-8 cannot hold is replaced."""
    return text.encode(errors="replace").decode()


def _message(error: Mapping[str, Any]) -> str:
    """Pydantic's words, except where they would hold what was sent."""
    if error["type"] == "json_invalid":
        return "It is not JSON."
    if error["type"] == "string_pattern_mismatch":
        return "It holds characters that cannot be used."
    if error["type"] in {"value_error", "assertion_error"} or "input" in str(error.get("ctx", "")):
        return "It cannot be used."
    return str(error["msg"])[:200]


def frames(error: BaseException) -> list[str]:
    """Where an unexpected error came from, without its text, which may quote what must not be in a log."""
    return [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(error.__traceback__)]
