"""The OpenAPI document of the app: made from the routes, and completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from .problems import Problem
from .routes.shared import problems

if TYPE_CHECKING:
    from fastapi import FastAPI

_DESCRIPTION = """Encrypted backups of a PostgreSQL database and an OpenBao (or Vault) KV store, and their restore.

Every error is RFC 9457 problem details with a `next_step`. Work that takes longer is a job: it is answered with 202,
and followed at `GET /api/backup/jobs/{id}`. A viewer may read; an operator backs up, verifies and drills, and
cancels that; everything else, and downloads, is an administrator's. Roles may be of some targets alone.

Where one service has several targets, `/api/backup/…` means the default one, `/api/targets/{target}/backup/…` each.
"""


def describe(app: FastAPI) -> None:
    """Let the app give the completed document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title="kleidia-backup", version="1", description=_DESCRIPTION, routes=app.routes, license_info=_LICENSE
            )
            _complete(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}


#: Which target a path names. Every route of a target has it, and none asks for it (``routes/shared.py`` does).
_TARGET = {
    "name": "target",
    "in": "path",
    "required": True,
    "description": "The target's name, as `GET /api/targets` gives it.",
    "schema": {"type": "string"},
    "example": "kleidia",
}
_WITHOUT_TARGET = problems(404, always=())[404]


def _complete(document: dict[str, Any]) -> None:
    """Problems have one schema; FastAPI's own for validation errors is never answered."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    for name, path in document["paths"].items():
        for operation in path.values():
            if "{target}" in name:
                operation["parameters"] = [_TARGET, *operation.get("parameters", [])]
                operation["responses"].setdefault("404", _WITHOUT_TARGET)
            if "requestBody" in operation:
                _add_body_problems(operation["responses"])


def _add_body_problems(responses: dict[str, Any]) -> None:
    """Whatever takes a body may find it unreadable, or too large."""
    for status, text in (("400", "The request cannot be read"), ("413", "The request is larger than 64 KiB")):
        responses[status] = {**responses["422"], "description": text}
