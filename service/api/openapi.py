"""The OpenAPI document: made from the routes, completed, and kept in the repository beside this module.

``python -m kleidia_backup.service.api.openapi`` writes it anew after a change.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .problems import Problem

if TYPE_CHECKING:
    from ..service_settings import ServiceSettings

FILE = Path(__file__).with_name("openapi.json")

_DESCRIPTION = """Encrypted backups of a PostgreSQL database and an OpenBao (or Vault) KV store, and their restore.

Every error is RFC 9457 problem details with a `next_step`. Work that takes longer is a job: it is answered with 202,
and followed at `GET /api/backup/jobs/{id}`. A viewer may read; everything else, and downloads, is an administrator's.
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


def _complete(document: dict[str, Any]) -> None:
    """Problems have one schema; FastAPI's own for validation errors is never answered."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                _add_body_problems(operation["responses"])


def _add_body_problems(responses: dict[str, Any]) -> None:
    """Whatever takes a body may find it unreadable, or too large."""
    for status, text in (("400", "The request cannot be read"), ("413", "The request is larger than 1 MiB")):
        responses[status] = {**responses["422"], "description": text}


def render(settings: "ServiceSettings | None" = None) -> str:
    """The document as it is kept."""
    from ..service import Service
    from .app import create_app

    app = create_app(Service(settings or _settings()))
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _settings() -> "ServiceSettings":
    """Settings of a service that is never entered."""
    from ...stages.pg.settings import PostgresSettings
    from ...stages.vault.settings import Root, TokenAuth, VaultSettings
    from ..service_settings import ServiceSettings

    return ServiceSettings(
        control=PostgresSettings("host=localhost"),
        vault=VaultSettings(address="http://localhost:8200", auth=TokenAuth("none"), roots=(Root("", "secret"),)),
        secrets_mount="secret",
        secrets_path="backup-service",
        target="kleidia",
    )


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
