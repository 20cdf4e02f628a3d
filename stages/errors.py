"""Every error a caller can meet, by who is at fault.

::

    KleidiaError
    ├── ArchiveError                 the archive
    │   ├── NotAnArchive             some other file
    │   ├── UnsupportedArchive       a newer version, or larger than this reader takes
    │   ├── DamagedArchive           truncated, extended, changed; .layer says where it showed
    │   ├── WrongPassword            checksum right, tag wrong; in V2 no slot for this password or key
    │   ├── UnknownSigner            anybody may have made it: nobody whom we trust signed it
    │   ├── OtherSystem              another installation made it
    │   └── PayloadError             data that no archive can hold (while writing)
    ├── ConfigurationError           what the operator configured
    │   └── ToolError                pg_dump missing, or too old
    ├── DatabaseError                PostgreSQL
    │   ├── DatabaseUnreachable      no answer
    │   ├── DatabaseForbidden        wrong password, or a right is missing
    │   ├── DumpFailed               pg_dump ended with an error
    │   └── RestoreFailed            PostgreSQL refused it; rolled back
    │       └── CommitUncertain      the connection was lost during COMMIT: committed, or rolled back
    ├── VaultError                   OpenBao or Vault
    │   ├── VaultUnreachable         no answer, or not in time
    │   ├── VaultSealed              sealed, or not initialised
    │   ├── VaultForbidden           token expired, unknown, or a policy is missing
    │   ├── VaultMountMissing        no such mount, or not a KV engine
    │   ├── VaultUnreadable          some secrets could not be read
    │   └── VaultThreshold           half of the secrets or more could not be written
    ├── StoreError                   S3 or the directory
    │   ├── StoreUnreachable         no answer, or not in time
    │   ├── StoreForbidden           wrong key, or a right is missing
    │   ├── StoreFull                no space left
    │   ├── BucketMissing            no such bucket or directory
    │   ├── ObjectMissing            no archive of that name
    │   ├── ObjectExists             an archive of that name is already there
    │   ├── ObjectChanged            replaced between two readings
    │   └── ObjectRetained           the store's lock keeps it; .until says for how long
    ├── Busy                         another job holds the same target
    ├── Pinned                       somebody wants this archive kept
    ├── UnfinishedRestore            an earlier restore ended in the middle, and its secrets were not put back
    ├── JobTimeout                   the job's own time limit
    └── InternalError                a bug

What code decides by are the class and its fields: ``effect``, ``rights``, ``remedies``. See ``KleidiaError``.
"""

from __future__ import annotations

from datetime import datetime

from ..formats.errors import (
    ArchiveError,
    DamagedArchive,
    Effect,
    KleidiaError,
    NotAnArchive,
    OtherSystem,
    PayloadError,
    Remedy,
    Right,
    UnknownSigner,
    UnsupportedArchive,
    WrongPassword,
)

__all__ = [
    "ArchiveError",
    "BucketMissing",
    "Busy",
    "CommitUncertain",
    "ConfigurationError",
    "DamagedArchive",
    "DatabaseError",
    "DatabaseForbidden",
    "DatabaseUnreachable",
    "DumpFailed",
    "Effect",
    "InternalError",
    "JobTimeout",
    "KleidiaError",
    "NotAnArchive",
    "ObjectChanged",
    "ObjectExists",
    "ObjectMissing",
    "ObjectRetained",
    "OtherSystem",
    "PayloadError",
    "Pinned",
    "Remedy",
    "RestoreFailed",
    "Right",
    "StoreError",
    "StoreForbidden",
    "StoreFull",
    "StoreUnreachable",
    "ToolError",
    "UnfinishedRestore",
    "UnknownSigner",
    "UnsupportedArchive",
    "VaultError",
    "VaultForbidden",
    "VaultMountMissing",
    "VaultSealed",
    "VaultThreshold",
    "VaultUnreachable",
    "VaultUnreadable",
    "WrongPassword",
]


class ConfigurationError(KleidiaError):
    """What the operator configured cannot work."""


class ToolError(ConfigurationError):
    """pg_dump is missing, or too old for this server."""


class DatabaseError(KleidiaError):
    """PostgreSQL is at fault."""


class DatabaseUnreachable(DatabaseError):
    """No answer from the configured address."""


class DatabaseForbidden(DatabaseError):
    """Wrong password, or the role lacks a right."""


class DumpFailed(DatabaseError):
    """pg_dump ended with an error; no archive was made."""

    sentences = KleidiaError.sentences | {"nothing": "Nothing was stored."}
    effect: Effect | None = "nothing"


class RestoreFailed(DatabaseError):
    """PostgreSQL refused the restore; the transaction was rolled back."""

    effect: Effect | None = "nothing"


class CommitUncertain(RestoreFailed):
    """The connection was lost during COMMIT and the server could not be asked whether it took place."""

    effect: Effect | None = "unknown"


class VaultError(KleidiaError):
    """OpenBao or Vault is at fault."""


class VaultUnreachable(VaultError):
    """No answer from the configured address, or not in time."""


class VaultSealed(VaultError):
    """The vault is sealed, or not initialised."""


class VaultForbidden(VaultError):
    """The token is unknown or expired, or a policy is missing."""


class VaultMountMissing(VaultError):
    """There is no such mount, or it is not a KV engine."""


class VaultUnreadable(VaultError):
    """Some secrets could not be read; ``paths`` names them."""

    def __init__(
        self, message: str, *, hint: str = "", rights: tuple[Right, ...] = (), paths: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint, rights=rights)
        self.paths = paths


class VaultThreshold(VaultError):
    """Half of the secrets or more could not be written; ``paths`` names them."""

    def __init__(self, message: str, *, hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class StoreError(KleidiaError):
    """The object store is at fault."""


class StoreUnreachable(StoreError):
    """No answer from the configured endpoint, or not in time."""


class StoreForbidden(StoreError):
    """The access key is wrong, or lacks a right."""


class StoreFull(StoreError):
    """There is no space left."""


class BucketMissing(StoreError):
    """There is no such bucket or directory."""


class ObjectMissing(StoreError):
    """There is no archive of that name."""


class ObjectExists(StoreError):
    """An archive of that name is already there; it was not touched."""


class ObjectChanged(StoreError):
    """The object was replaced between two readings."""


class ObjectRetained(StoreError):
    """The store keeps the object, whoever asks: until ``until``, or while it is on legal hold (``held``)."""

    def __init__(
        self, message: str, *, hint: str = "", said: str = "", until: datetime | None = None, held: bool = False
    ) -> None:
        super().__init__(message, hint=hint, said=said)
        self.until = until
        self.held = held


class Busy(KleidiaError):
    """Another job holds the same target: a restore excludes every other job on its database."""


class Pinned(KleidiaError):
    """The archive is pinned: nobody and nothing deletes it before the pin is removed."""


class UnfinishedRestore(KleidiaError):
    """A restore ended in the middle and left secrets of its archive in the vault, ``count`` at most.

    ``archive`` is its name, ``started`` when it began (RFC 3339, UTC), ``paths`` names secrets that could not be put
    back, if that was tried.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        effect: Effect | None = None,
        remedies: tuple[Remedy, ...] = ("undo", "dismiss"),
        archive: str = "",
        started: str = "",
        count: int = 0,
        paths: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, effect=effect, remedies=remedies)
        self.archive = archive
        self.started = started
        self.count = count
        self.paths = paths


class JobTimeout(KleidiaError):
    """The job did not end within its time limit; everything was undone as after any failure."""


class InternalError(KleidiaError):
    """A bug of this product; the cause is attached."""
