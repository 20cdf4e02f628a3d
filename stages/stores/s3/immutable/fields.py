"""A lock as requests and answers of S3 write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypedDict

from ...locks import Lock, LockMode
from ...names import is_archive

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import HeadObjectOutputTypeDef

    from ..settings import S3Settings

NO_LOCK = Lock()
_MODES: dict[str, LockMode] = {"GOVERNANCE": "governance", "COMPLIANCE": "compliance"}


class LockFields(TypedDict, total=False):
    """The fields of PutObject and CreateMultipartUpload."""

    ObjectLockMode: Literal["GOVERNANCE", "COMPLIANCE"]
    ObjectLockRetainUntilDate: datetime
    ObjectLockLegalHoldStatus: Literal["ON"]


def lock_fields(lock: Lock) -> LockFields:
    """The fields that lock an object; none for no lock."""
    fields: LockFields = {}
    if lock.until is not None and lock.mode != "none":
        fields["ObjectLockMode"] = "COMPLIANCE" if lock.mode == "compliance" else "GOVERNANCE"
        fields["ObjectLockRetainUntilDate"] = lock.until
    if lock.held:
        fields["ObjectLockLegalHoldStatus"] = "ON"
    return fields


def lock_by(answer: HeadObjectOutputTypeDef) -> Lock:
    """What an answer says; a key that may not know it hears nothing of it."""
    until: datetime | None = answer.get("ObjectLockRetainUntilDate")
    return Lock(
        mode_of(answer.get("ObjectLockMode", "")),
        until.astimezone(UTC) if until else None,
        held=answer.get("ObjectLockLegalHoldStatus") == "ON",
    )


def mode_of(text: str) -> LockMode:
    """The mode by its name in S3."""
    return _MODES.get(text, "none")


def lock_for(settings: S3Settings, name: str) -> Lock:
    """What a new object is locked by: archives as the settings say, and nothing else, for all else may have to go."""
    if settings.lock_mode == "none" or not is_archive(name):
        return NO_LOCK
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=settings.lock_days)
    return Lock(settings.lock_mode, until)


def carried(old: Lock, new: Lock) -> Lock:
    """The lock of what takes an object's place: a new one's, never shorter than the old one's, and held as it was."""
    if old.until is not None and (new.until is None or old.until > new.until):
        return old
    return Lock("compliance" if old.holds and old.mode == "compliance" else new.mode, new.until, old.held)
