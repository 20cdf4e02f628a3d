"""The OpenAPI document that is kept in the repository, in this folder.

``python -m kleidia_backup.service.api.openapi`` writes it anew after a change.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...config.service import ServiceSettings
from ...stages.pg.server.settings import PostgresSettings
from ...stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from ..service import Service
from .app import create_app

FILE = Path(__file__).with_name("openapi.json")


def render(settings: ServiceSettings | None = None) -> str:
    """The document as it is kept."""
    app = create_app(Service(settings or _settings()))
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _settings() -> ServiceSettings:
    """Settings of a service that is never entered."""
    return ServiceSettings(
        control=PostgresSettings("host=localhost"),
        vault=VaultSettings(address="http://localhost:8200", auth=TokenAuth("none"), roots=(Root("", "secret"),)),
        secrets_mount="secret",
        secrets_path="backup-service",
        target="kleidia",
    )


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
