"""What a bucket does with objects that are deleted, and what our key could do: found out by probes of our own.

A probe is a small object with a name that nothing else has. One is locked in governance mode for a minute: whether our
key deletes it all the same is what a thief of the key could do with every archive. What could not be removed at once
lies there as an older version until the next time, when it can.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ....errors import ObjectRetained, StoreError, StoreUnreachable
from ...locks import Allowed, Lock
from ...names import probe_name, probes
from ..rules import RightMissing
from .fields import NO_LOCK
from .history import keeps_versions, versions
from .locking import default_lock

if TYPE_CHECKING:
    from ...base import ObjectInfo
    from ..bucket import Bucket

_PROBE = b"kleidia-backup tries whether this can be deleted. It can go."
#: For how long a probe is locked.
_LOCKED = timedelta(minutes=1)


async def allowed(bucket: Bucket, prefix: str) -> Allowed:
    """As ``locks.Locking.allowed``."""
    kept = await keeps_versions(bucket)
    try:
        default = await default_lock(bucket)
        locks: bool | None = default is not None
    except StoreUnreachable:
        raise
    except StoreError:
        default = locks = None
    mode, days = default or ("none", 0)
    deletes = lifts = None
    if kept:
        await _clean(bucket, prefix)
        if mode == "none":  # else it would be locked
            deletes = await _deletes(bucket, prefix)
        if locks is not False:  # one that may not be asked may lock all the same
            locks, lifts = await _lifts(bucket, prefix, locks)
    ours = bucket.settings.lock_mode
    return Allowed(
        versions=kept,
        locks=locks,
        default_mode=mode,
        default_days=days,
        lock_mode=ours,
        lock_days=0 if ours == "none" else bucket.settings.lock_days,
        deletes_versions=deletes,
        lifts_locks=lifts,
    )


async def _deletes(bucket: Bucket, prefix: str) -> bool | None:
    """Whether the key deletes a version; what is left otherwise is hidden."""
    stored = await _put(bucket, prefix, NO_LOCK)
    if stored is None:
        return None
    try:
        await bucket.delete(stored.name, stored.version)
    except (RightMissing, ObjectRetained):
        await _hide(bucket, stored.name)
        return False
    return True


async def _lifts(bucket: Bucket, prefix: str, locks: bool | None) -> tuple[bool | None, bool | None]:
    """Whether a lock keeps an object (so far: ``locks``), and whether the key deletes it all the same."""
    until = datetime.now(UTC).replace(microsecond=0) + _LOCKED
    stored = await _put(bucket, prefix, Lock("governance", until))
    if stored is None:
        return locks, None
    try:
        await bucket.delete(stored.name, stored.version)
    except (RightMissing, ObjectRetained):
        pass
    else:
        return False, None  # the store takes locks, and keeps none
    lift = partial(
        bucket.client.delete_object,
        Bucket=bucket.bucket,
        Key=stored.name,
        VersionId=stored.version,
        BypassGovernanceRetention=True,
    )
    try:
        await bucket.call("BypassGovernanceRetention", stored.name, lift)
    except StoreUnreachable:
        raise
    except StoreError:
        await _hide(bucket, stored.name)
        return True, False
    return True, True


async def _put(bucket: Bucket, prefix: str, lock: Lock) -> ObjectInfo | None:
    """Store a probe; None where that is not allowed, or it has no version."""
    name = probe_name(prefix)
    try:
        await bucket.put(name, bytearray(_PROBE), secrets.token_hex(16), lock)
        stored = (await bucket.head(name)).info
    except StoreUnreachable:
        raise
    except StoreError:
        return None
    return stored if stored.version else None


async def _hide(bucket: Bucket, name: str) -> None:
    with suppress(StoreError):
        await bucket.delete(name)


async def _clean(bucket: Bucket, prefix: str) -> None:
    """Remove what earlier probes left; what is still locked, or may not be removed, stays."""
    with suppress(StoreError):
        old = [each.info async for each in versions(bucket, probes(prefix))]
        limit = datetime.now(UTC) - _LOCKED
        for info in old:
            if info.modified < limit:  # none of a try that runs at the same time
                with suppress(ObjectRetained):
                    await bucket.delete(info.name, info.version)
