"""Locking objects that are there, and whether a bucket can."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ....errors import ObjectMissing, StoreError
from ..rules import NotSupported, RightMissing
from .fields import mode_of

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import GetObjectLockConfigurationOutputTypeDef, ObjectLockRetentionTypeDef

    from ...locks import Lock, LockMode
    from ..bucket import Bucket, Stored

#: By how much a store may round a date.
_ROUNDED = timedelta(seconds=2)


async def require_locked(bucket: Bucket, stored: Stored, lock: Lock) -> None:
    """See that an object is locked at least as asked; a store that took no notice is asked once more.

    A key may not be allowed to see it: what counts then is that the store takes the request.
    Raises ``StoreError`` where it does not.
    """
    name, version, found = stored.info.name, stored.info.version, stored.lock
    enough = lock.until is None or (found.until is not None and found.until >= lock.until - _ROUNDED)
    try:
        if lock.until is not None and not (enough and found.mode in {lock.mode, "compliance"}):
            if not version:  # without versions there are no locks
                raise _unlocked(bucket, name)
            await _retain(bucket, name, version, lock.mode, lock.until)
        if lock.held and not found.held:
            await set_hold(bucket, name, on=True)
    except (RightMissing, NotSupported) as exc:
        raise _unlocked(bucket, name) from exc


async def _retain(bucket: Bucket, name: str, version: str, mode: LockMode, until: datetime) -> None:
    wanted: ObjectLockRetentionTypeDef = {
        "Mode": "COMPLIANCE" if mode == "compliance" else "GOVERNANCE",
        "RetainUntilDate": until,
    }
    retain = partial(bucket.client.put_object_retention, Bucket=bucket.bucket, Key=name, VersionId=version)
    await bucket.call("PutObjectRetention", name, lambda: retain(Retention=wanted))


def _unlocked(bucket: Bucket, name: str) -> StoreError:
    return StoreError(
        f"{bucket.settings.where} stored {name} without the lock that was asked for.",
        hint='`kleidia-backup test-connection` says what the bucket can do; without locks: lock_mode = "none".',
    )


async def set_hold(bucket: Bucket, name: str, on: bool) -> None:
    """Put an object on legal hold, or take it off. Raises ``ObjectMissing``, and ``StoreError`` where it cannot."""
    await bucket.head(name)  # of an object that is not there, some stores say that they have failed
    put = partial(bucket.client.put_object_legal_hold, Bucket=bucket.bucket, Key=name)
    await bucket.call("PutObjectLegalHold", name, lambda: put(LegalHold={"Status": "ON" if on else "OFF"}))


async def default_lock(bucket: Bucket) -> tuple[LockMode, int] | None:
    """How the bucket locks each object by itself, and for how many days; None where it cannot lock any.

    Raises ``RightMissing``, ``NotSupported`` and the rest of the ``StoreError`` tree.
    """
    ask = bucket.client.get_object_lock_configuration
    try:
        answer: GetObjectLockConfigurationOutputTypeDef = await bucket.call(
            "GetObjectLockConfiguration", "", lambda: ask(Bucket=bucket.bucket)
        )
    except ObjectMissing:  # how S3 says that there is no such configuration
        return None
    found = answer.get("ObjectLockConfiguration", {})
    if found.get("ObjectLockEnabled") != "Enabled":
        return None
    rule = found.get("Rule", {}).get("DefaultRetention", {})
    days = rule.get("Days") or 365 * (rule.get("Years") or 0)
    return mode_of(rule.get("Mode", "")), days
