"""Opening an archive of any format, by its first bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from ...formats.v2.head import Head
from ...stages.archive.download import read_head
from ...stages.words import STORE
from ..parts.keys import NO_KEYS, Keys
from ..parts.names import LATEST
from .listing import newest
from .v1 import OpenV1
from .v2 import OpenV2

if TYPE_CHECKING:
    from ...stages.extract.choose import Choose
    from ...stages.stores.base import ObjectStore, StoreSettings
    from ..job import Job
    from .reading import OpenArchive


async def open_archive(
    store: ObjectStore, name: str, password: str | None, keys: Keys = NO_KEYS, choose: Choose | None = None
) -> OpenArchive:
    """Read what stands in front of an archive and find its key. ``name`` is as in ``find_name``.

    With ``choose`` the other secrets are passed over, and not even read where an index says where the chosen ones are.

    Who signed it is not asked here: see ``OpenArchive.check_signer``.

    Raises the ``ArchiveError`` and ``StoreError`` trees.
    """
    info, head = await read_head(store, await find_name(store, name))
    if isinstance(head, Head):
        return await OpenV2.open(store, info, head, password, keys, choose)
    return await OpenV1.open(store, info, head, password, choose)


@asynccontextmanager
async def opened_archive(
    job: Job, store: StoreSettings, name: str, password: str | None, keys: Keys = NO_KEYS, choose: Choose | None = None
) -> AsyncIterator[OpenArchive]:
    """An archive whose store is open until this is left. Raises as ``open_archive``."""
    async with AsyncExitStack() as stack:
        with job.asking(STORE):
            archive = await open_archive(await stack.enter_async_context(store.open()), name, password, keys, choose)
        yield archive


async def find_name(store: ObjectStore, name: str) -> str:
    """An archive's full name: given with or without the store's prefix, or as ``latest``, the one made last.

    Raises ``ObjectMissing`` for ``latest`` where there is none, and the ``StoreError`` tree.
    """
    return await newest(store) if name == LATEST else full_name(store, name)


def full_name(store: ObjectStore | StoreSettings, name: str) -> str:
    """An archive's name in the store, given with or without the store's prefix."""
    # With a prefix that is no folder, such as "backup-", a short name may begin like it.
    prefix = store.prefix if "/" in store.prefix else f"{store.prefix}backup-"
    return name if name.startswith(prefix) else store.prefix + name
