"""Unfinished uploads: what a killed run left, which costs room until it is aborted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.stores.names import is_ours
from ...stages.stores.resuming import Resumable

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectStore, StoreSettings

#: Unfinished uploads of ours older than this are aborted by the next backup.
STALE_UPLOADS = timedelta(days=1)
#: Seconds that count of a job's limit at most; times end in the year 9999.
_LONGEST = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class LeftUpload:
    """An upload that runs or broke off. ``began`` is when, in a directory when it was last written to.

    ``size`` is its bytes so far, None where the store does not say. A backup that begins after ``aborted_after`` aborts
    it; None: it is not one of ours, and stays. ``id`` is what the store knows it by.
    """

    name: str
    began: datetime
    size: int | None
    aborted_after: datetime | None
    id: str


def stale_after(limit: float) -> timedelta:
    """How old an upload is that no job of ``limit`` seconds works on any more."""
    return max(STALE_UPLOADS, 2 * timedelta(seconds=min(limit, _LONGEST)))


async def list_uploads(store: StoreSettings, *, limit: float) -> list[LeftUpload]:
    """The unfinished uploads under the store's prefix, the oldest first; ``limit`` is that of backups, seconds.

    Raises ``ConfigurationError`` for a store that knows none, and the ``StoreError`` tree.
    """
    async with store.open() as target:
        if not isinstance(target, Resumable):
            raise ConfigurationError(f"{store.where} knows no unfinished uploads.", hint="Leave out --uploads.")
        found, after = await target.uploads(), stale_after(limit)
        return sorted(
            (
                LeftUpload(
                    each.name,
                    each.began,
                    each.size,
                    each.began + after if is_ours(each.name, target.prefix) else None,
                    each.id,
                )
                for each in found
            ),
            key=lambda each: (each.began, each.name),
        )


async def abort_left(store: ObjectStore, limit: float) -> tuple[str, ...]:
    """Abort those of ours that no job of ``limit`` seconds works on any more; the names of those.

    None where the store, or the key, cannot. Raises the ``StoreError`` tree.
    """
    after = stale_after(limit)
    if isinstance(store, Resumable):
        return await store.abort_older(after)
    await store.abort_stale(after)
    return ()
