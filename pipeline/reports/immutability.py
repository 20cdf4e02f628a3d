"""What a store does with archives that are deleted or replaced, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...stages.stores.locks import Allowed


_KEEPS = {
    True: "the bucket keeps versions",
    False: "the bucket keeps no versions",
    None: "whether the bucket keeps versions is not known",
}


def immutability(found: Allowed) -> Iterator[str]:
    """What the bucket does, and what we do with archives."""
    yield _KEEPS[found.versions]
    if found.locks is None:
        yield "whether it can lock objects is not known"
    elif found.locks:
        default = f", and locks each for {found.default_days} days by itself" if found.default_mode != "none" else ""
        yield f"it can lock objects{default}"
    else:
        yield "it cannot lock objects"
    if found.lock_mode != "none":
        yield f"archives are locked for {found.lock_days} days ({found.lock_mode})"


def risks(found: Allowed) -> Iterator[str]:
    """What a thief of our key could do, and what stays that should not."""
    modes = {found.lock_mode, found.default_mode} - {"none"}
    locked = bool(modes)
    if found.lifts_locks and modes == {"governance"}:
        yield (
            "This key may delete what is locked in governance mode, and so may who steals it: take"
            " s3:BypassGovernanceRetention from it, or use compliance."
        )
    if found.locks and not locked:
        yield "The bucket can lock objects, and no archive is locked: set lock_mode and lock_days."
    if found.versions and found.deletes_versions and not locked:
        yield (
            "This key may delete versions, and so may who steals it: lock archives, or take s3:DeleteObjectVersion from"
            " it and let a lifecycle rule of the bucket remove old versions."
        )
    if found.deletes_versions is False:
        yield (
            "This key may not delete versions: what is deleted stays as an older version until a lifecycle rule of the"
            " bucket removes it."
        )
    if found.default_mode != "none":
        yield (
            "The bucket locks every object by itself, also what is no archive, such as the probes of this test. Better"
            " without: lock_mode locks archives alone."
        )
