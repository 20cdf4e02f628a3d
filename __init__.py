"""One encrypted, verified archive of a PostgreSQL database and an OpenBao (or Vault) KV store, and both back.

The public names stand in ``__all__``; each is imported when it is first used. Errors are drawn as a tree in
``kleidia_backup.stages.errors``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .formats.errors import ArchiveError, DamagedArchive, KleidiaError, WrongPassword
    from .pipeline.archives import check_connections, delete, download, inspect, list_archives, presign
    from .pipeline.backup import backup
    from .pipeline.plan import plan_restore
    from .pipeline.plan_report import RestorePlan
    from .pipeline.report import BackupReport, Progress, RestoreReport, UndoReport, VerifyReport
    from .pipeline.restore import restore
    from .pipeline.undo import dismiss_restore, undo_restore
    from .pipeline.verify import verify, verify_password
    from .stages.errors import (
        ConfigurationError,
        DatabaseError,
        JobTimeout,
        StoreError,
        UnfinishedRestore,
        VaultError,
    )
    from .stages.pg.settings import PostgresSettings
    from .stages.stores.directory import DirectorySettings
    from .stages.stores.s3 import S3Settings
    from .stages.vault.settings import AppRoleAuth, KubernetesAuth, Root, TokenAuth, UserpassAuth, VaultSettings

_MODULES = {
    "formats.errors": ("ArchiveError", "DamagedArchive", "KleidiaError", "WrongPassword"),
    "pipeline.archives": ("check_connections", "delete", "download", "inspect", "list_archives", "presign"),
    "pipeline.backup": ("backup",),
    "pipeline.plan": ("plan_restore",),
    "pipeline.plan_report": ("RestorePlan",),
    "pipeline.report": ("BackupReport", "Progress", "RestoreReport", "UndoReport", "VerifyReport"),
    "pipeline.restore": ("restore",),
    "pipeline.undo": ("dismiss_restore", "undo_restore"),
    "pipeline.verify": ("verify", "verify_password"),
    "stages.errors": (
        "ConfigurationError",
        "DatabaseError",
        "JobTimeout",
        "StoreError",
        "UnfinishedRestore",
        "VaultError",
    ),
    "stages.pg.settings": ("PostgresSettings",),
    "stages.stores.directory": ("DirectorySettings",),
    "stages.stores.s3": ("S3Settings",),
    "stages.vault.settings": ("AppRoleAuth", "KubernetesAuth", "Root", "TokenAuth", "UserpassAuth", "VaultSettings"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AppRoleAuth",
    "ArchiveError",
    "BackupReport",
    "ConfigurationError",
    "DamagedArchive",
    "DatabaseError",
    "DirectorySettings",
    "JobTimeout",
    "KleidiaError",
    "KubernetesAuth",
    "PostgresSettings",
    "Progress",
    "RestorePlan",
    "RestoreReport",
    "Root",
    "S3Settings",
    "StoreError",
    "TokenAuth",
    "UndoReport",
    "UnfinishedRestore",
    "UserpassAuth",
    "VaultError",
    "VaultSettings",
    "VerifyReport",
    "WrongPassword",
    "backup",
    "check_connections",
    "delete",
    "dismiss_restore",
    "download",
    "inspect",
    "list_archives",
    "plan_restore",
    "presign",
    "restore",
    "undo_restore",
    "verify",
    "verify_password",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
