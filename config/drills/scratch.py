"""From the configuration to where drills restore to on servers that are configured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...pipeline.drills.configured import on_servers
from ...stages.pg.server.settings import PostgresSettings
from ...stages.vault.kv.settings import Root, TokenAuth, VaultSettings

if TYPE_CHECKING:
    from ...pipeline.drills.asked import ScratchMaker
    from .settings import DrillSettings


def configured_scratch(
    settings: DrillSettings, database: PostgresSettings | None, vault: VaultSettings | None
) -> ScratchMaker:
    """A scratch database and mount on the servers of [drill], or where it names none on those of the system.

    Raises ``ConfigurationError``.
    """
    if settings.conninfo:
        database = replace(database, conninfo=settings.conninfo) if database else PostgresSettings(settings.conninfo)
    if settings.vault_address and settings.vault_token:
        address, token = settings.vault_address, TokenAuth(settings.vault_token)
        vault = (
            replace(vault, address=address, auth=token)
            if vault
            else VaultSettings(address, token, roots=(Root("", "drill", kv_version=2),))
        )
    elif settings.vault_token and vault is not None:
        vault = replace(vault, auth=TokenAuth(settings.vault_token))
    elif settings.vault_address and vault is not None:
        vault = replace(vault, address=settings.vault_address)
    return on_servers(database, vault)
