"""What a job's row, the settings and the configuration say of a backup, as the request that the engine takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...pipeline.parts.request import BackupRequest

if TYPE_CHECKING:
    from ...config.service import ServiceSettings
    from ...formats.facts import BackupType
    from ...stages.stores.base import StoreSettings
    from ..control.backup_settings import BackupSettings


def backup_request(
    config: ServiceSettings,
    store: StoreSettings,
    password: str | None,
    wanted: BackupSettings,
    *,
    backup_type: BackupType = "full",
    options: Mapping[str, Any] = MappingProxyType({}),
) -> BackupRequest:
    """A backup of this type; ``options`` of a job go before the settings. Raises ``ConfigurationError``."""
    return BackupRequest(
        store=store,
        password=password,
        keys=config.keys,
        database=config.database if backup_type != "vault" else None,
        vault=config.vault if backup_type != "database" else None,
        include_audit=options.get("include_audit", wanted.include_audit_logs),
        part_size=config.part_size,
        format=options.get("format") or wanted.format,
        level=config.level,
        system=config.system,
        incremental=config.incremental,
        timeout=config.job_timeout,
    )
