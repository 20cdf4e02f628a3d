"""One encrypted, verified archive of a PostgreSQL database and an OpenBao (or Vault) KV store, and both back.

The public names stand in ``__all__``; each is imported when it is first used. Errors are drawn as a tree in
``kleidia_backup.stages.errors``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .formats.errors import ArchiveError, DamagedArchive, KleidiaError, OtherSystem, UnknownSigner, WrongPassword
    from .formats.v2.keys.pairs import PrivateKey, PublicKey, SigningKey, VerifyKey
    from .pipeline.archives.actions import delete, download, inspect, presign
    from .pipeline.archives.checks import check_connections
    from .pipeline.archives.contents import contents
    from .pipeline.archives.full_contents import full_contents
    from .pipeline.archives.listing import ArchiveInfo, Known, list_archives
    from .pipeline.archives.rewrap import RewrapReport, rewrap
    from .pipeline.backup import backup
    from .pipeline.convert import convert
    from .pipeline.copies.settings import Copy
    from .pipeline.copies.sync import CopyReport, sync_copies
    from .pipeline.diff.run import diff
    from .pipeline.drill import drill
    from .pipeline.drills.asked import DrillCheck, Scratch
    from .pipeline.drills.report import DrillReport
    from .pipeline.parts.keys import Keys
    from .pipeline.plan import plan_restore
    from .pipeline.reports.contents import ArchiveContents, ConvertReport, FullContents
    from .pipeline.reports.diff import DiffReport
    from .pipeline.reports.jobs import BackupReport, Progress, RestoreReport, UndoReport, VerifyReport
    from .pipeline.reports.plan import RestorePlan
    from .pipeline.reports.tables import TablesReport
    from .pipeline.restore import restore
    from .pipeline.tables.restore import restore_tables
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
    from .stages.pg.server.settings import PostgresSettings
    from .stages.stores.directory.store import DirectorySettings
    from .stages.stores.past import store_at
    from .stages.stores.s3.store import S3Settings
    from .stages.vault.kv.settings import AppRoleAuth, KubernetesAuth, Root, TokenAuth, UserpassAuth, VaultSettings
    from .stages.vault.transit import TransitKey

_MODULES = {
    "formats.errors": (
        "ArchiveError",
        "DamagedArchive",
        "KleidiaError",
        "OtherSystem",
        "UnknownSigner",
        "WrongPassword",
    ),
    "formats.v2.keys.pairs": ("PrivateKey", "PublicKey", "SigningKey", "VerifyKey"),
    "pipeline.archives.actions": ("delete", "download", "inspect", "presign"),
    "pipeline.archives.full_contents": ("full_contents",),
    "pipeline.archives.listing": ("ArchiveInfo", "Known", "list_archives"),
    "pipeline.archives.rewrap": ("RewrapReport", "rewrap"),
    "pipeline.archives.contents": ("contents",),
    "pipeline.backup": ("backup",),
    "pipeline.convert": ("convert",),
    "pipeline.copies.settings": ("Copy",),
    "pipeline.copies.sync": ("CopyReport", "sync_copies"),
    "pipeline.drill": ("drill",),
    "pipeline.drills.asked": ("DrillCheck", "Scratch"),
    "pipeline.drills.report": ("DrillReport",),
    "pipeline.reports.contents": ("ArchiveContents", "ConvertReport", "FullContents"),
    "pipeline.archives.checks": ("check_connections",),
    "pipeline.diff.run": ("diff",),
    "pipeline.parts.keys": ("Keys",),
    "pipeline.plan": ("plan_restore",),
    "pipeline.reports.plan": ("RestorePlan",),
    "pipeline.reports.diff": ("DiffReport",),
    "pipeline.reports.tables": ("TablesReport",),
    "pipeline.tables.restore": ("restore_tables",),
    "pipeline.reports.jobs": ("BackupReport", "Progress", "RestoreReport", "UndoReport", "VerifyReport"),
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
    "stages.pg.server.settings": ("PostgresSettings",),
    "stages.stores.directory.store": ("DirectorySettings",),
    "stages.stores.past": ("store_at",),
    "stages.stores.s3.store": ("S3Settings",),
    "stages.vault.kv.settings": ("AppRoleAuth", "KubernetesAuth", "Root", "TokenAuth", "UserpassAuth", "VaultSettings"),
    "stages.vault.transit": ("TransitKey",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AppRoleAuth",
    "ArchiveContents",
    "ArchiveError",
    "ArchiveInfo",
    "BackupReport",
    "ConfigurationError",
    "ConvertReport",
    "Copy",
    "CopyReport",
    "DamagedArchive",
    "DatabaseError",
    "DiffReport",
    "DirectorySettings",
    "DrillCheck",
    "DrillReport",
    "FullContents",
    "JobTimeout",
    "Keys",
    "KleidiaError",
    "Known",
    "KubernetesAuth",
    "OtherSystem",
    "PostgresSettings",
    "PrivateKey",
    "Progress",
    "PublicKey",
    "RestorePlan",
    "RestoreReport",
    "RewrapReport",
    "Root",
    "S3Settings",
    "Scratch",
    "SigningKey",
    "StoreError",
    "TablesReport",
    "TokenAuth",
    "TransitKey",
    "UndoReport",
    "UnfinishedRestore",
    "UnknownSigner",
    "UserpassAuth",
    "VaultError",
    "VaultSettings",
    "VerifyKey",
    "VerifyReport",
    "WrongPassword",
    "backup",
    "check_connections",
    "contents",
    "convert",
    "delete",
    "diff",
    "dismiss_restore",
    "download",
    "drill",
    "full_contents",
    "inspect",
    "list_archives",
    "plan_restore",
    "presign",
    "restore",
    "restore_tables",
    "rewrap",
    "store_at",
    "sync_copies",
    "undo_restore",
    "verify",
    "verify_password",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
