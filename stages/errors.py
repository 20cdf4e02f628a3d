"""Every error a caller can meet, by who is at fault.

::

    KleidiaError
    ├── ArchiveError                 the archive
    │   ├── NotAnArchive             some other file
    │   ├── UnsupportedArchive       a newer version, or larger than this reader takes
    │   ├── DamagedArchive           truncated, extended, changed; .layer says where it showed
    │   ├── WrongPassword            checksum right, tag wrong
    │   └── PayloadError             data that no archive can hold (while writing)
    ├── ConfigurationError           what the operator configured
    │   └── ToolError                pg_dump or psql missing, or too old
    ├── DatabaseError                PostgreSQL
    │   ├── DatabaseUnreachable      nobody answers there
    │   ├── DatabaseForbidden        wrong password, or a right is missing
    │   ├── DumpFailed               pg_dump ended with an error
    │   └── RestoreFailed            psql ended with an error; rolled back
    │       └── CommitUncertain      the connection was lost during COMMIT: committed, or rolled back
    ├── VaultError                   OpenBao or Vault
    │   ├── VaultUnreachable         nobody answers there, or not in time
    │   ├── VaultSealed              sealed, or not initialised
    │   ├── VaultForbidden           token expired, unknown, or a policy is missing
    │   ├── VaultMountMissing        no such mount, or not a KV engine
    │   ├── VaultUnreadable          some secrets could not be read
    │   └── VaultThreshold           half of the secrets or more could not be written
    ├── StoreError                   S3 or the directory
    │   ├── StoreUnreachable         nobody answers there, or not in time
    │   ├── StoreForbidden           wrong key, or a right is missing
    │   ├── StoreFull                no space left
    │   ├── BucketMissing            no such bucket or directory
    │   ├── ObjectMissing            no archive of that name
    │   ├── ObjectExists             an archive of that name is already there
    │   └── ObjectChanged            replaced between two readings
    ├── Busy                         another job holds the same target
    ├── UnfinishedRestore            an earlier restore ended in the middle, and its secrets were not put back
    ├── JobTimeout                   the job's own time limit
    └── InternalError                a bug of ours
"""

from __future__ import annotations

from ..formats.errors import (
    ArchiveError,
    DamagedArchive,
    KleidiaError,
    NotAnArchive,
    PayloadError,
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
    "InternalError",
    "JobTimeout",
    "KleidiaError",
    "NotAnArchive",
    "ObjectChanged",
    "ObjectExists",
    "ObjectMissing",
    "PayloadError",
    "RestoreFailed",
    "StoreError",
    "StoreForbidden",
    "StoreFull",
    "StoreUnreachable",
    "ToolError",
    "UnfinishedRestore",
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
    """pg_dump or psql is missing, or too old for this server or this archive."""


class DatabaseError(KleidiaError):
    """PostgreSQL is at fault."""


class DatabaseUnreachable(DatabaseError):
    """Nobody answers at the configured address."""


class DatabaseForbidden(DatabaseError):
    """Wrong password, or the role lacks a right."""


class DumpFailed(DatabaseError):
    """pg_dump ended with an error; no archive was made."""


class RestoreFailed(DatabaseError):
    """psql ended with an error; the transaction was rolled back."""


class CommitUncertain(RestoreFailed):
    """The connection was lost during COMMIT and the server could not be asked whether it took place."""


class VaultError(KleidiaError):
    """OpenBao or Vault is at fault."""


class VaultUnreachable(VaultError):
    """Nobody answers at the configured address, or not in time."""


class VaultSealed(VaultError):
    """The vault is sealed, or not initialised."""


class VaultForbidden(VaultError):
    """The token is unknown or expired, or a policy is missing."""


class VaultMountMissing(VaultError):
    """There is no such mount, or it is not a KV engine."""


class VaultUnreadable(VaultError):
    """Some secrets could not be read; ``paths`` names them."""

    def __init__(self, message: str, *, hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class VaultThreshold(VaultError):
    """Half of the secrets or more could not be written; ``paths`` names them."""

    def __init__(self, message: str, *, hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class StoreError(KleidiaError):
    """The object store is at fault."""


class StoreUnreachable(StoreError):
    """Nobody answers at the configured endpoint, or not in time."""


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


class Busy(KleidiaError):
    """Another job holds the same target: a restore excludes every other job on its database."""


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
        archive: str = "",
        started: str = "",
        count: int = 0,
        paths: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.archive = archive
        self.started = started
        self.count = count
        self.paths = paths


class JobTimeout(KleidiaError):
    """The job did not end within its time limit; everything was undone as after any failure."""


class InternalError(KleidiaError):
    """A bug of ours; the cause is attached."""
