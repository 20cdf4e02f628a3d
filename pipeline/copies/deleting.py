"""Removing an archive's copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...stages.errors import KleidiaError, ObjectMissing
from ..retention.pins import refuse_pinned
from .records import forget

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectStore
    from .settings import Copy


async def delete_copies(archive: str, copies: Sequence[Copy]) -> tuple[list[str], list[str]]:
    """Remove an archive, by its name without a prefix, from each copy: where it was removed, and warnings."""
    gone, warnings = [], []
    for copy in copies:
        try:
            async with copy.store.open() as store:
                if await delete_copy(store, archive):
                    gone.append(copy.name)
        except KleidiaError as exc:
            warnings.append(f"The copy in {copy.name} was not deleted: {exc.message} {exc.hint}")
    return gone, warnings


async def delete_copy(store: ObjectStore, archive: str) -> bool:
    """Remove one copy and what is recorded of it; whether it was there.

    Raises ``Pinned`` when it has a pin there, and the ``StoreError`` tree.
    """
    await refuse_pinned(store, store.prefix + archive)
    try:
        # Not pinned by what a listing says: some stores list another ETag than they read.
        await store.delete(store.prefix + archive, pin=await store.head(store.prefix + archive))
    except ObjectMissing:
        there = False
    else:
        there = True
    await forget(store, archive)
    return there
