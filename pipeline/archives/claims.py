"""Names for new archives: no two backups on this machine work for the same.

The store shows a name only when its archive is complete, which may be hours after it was chosen. So a running backup
holds an abstract socket of that name, which the kernel lets go with the process. Where there is no such socket (other
systems than Linux, other network namespaces, other machines) the store refuses the second archive when it is complete.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from errno import EADDRINUSE
from typing import TYPE_CHECKING

import anyio

from ...formats.facts import BackupType, archive_name
from ...stages.errors import ConfigurationError, ObjectExists, ObjectMissing
from ...stages.stores.names import is_directly_under
from .opening import full_name

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectStore, StoreSettings


@asynccontextmanager
async def free_name(
    settings: StoreSettings, store: ObjectStore, name: str | None, kind: BackupType
) -> AsyncIterator[tuple[str, datetime]]:
    """A new archive's full name, claimed until left, and its time.

    A ``name`` that is taken, or that a running backup will take, raises ``ObjectExists``; one that is made here (None)
    waits for the next second. The store refuses again at the end, where it can.
    """
    if name is not None and not is_directly_under(full_name(store, name), store.prefix):
        raise ConfigurationError(
            f"The name {name!r} has a folder, and listings show what lies directly under the prefix only.",
            hint="Leave the folder out, or make it the prefix in [store].",
        )
    while True:
        now = datetime.now(UTC)
        full = archive_name(store.prefix, kind, now) if name is None else full_name(store, name)
        with claimed(settings, full) as ours:
            if (taken := await _taken(store, full, ours=ours)) is None:
                yield full, now
                return
        if name is not None:
            raise taken
        await anyio.sleep(1)


async def _taken(store: ObjectStore, full: str, *, ours: bool) -> ObjectExists | None:
    try:
        await store.head(full)
    except ObjectMissing:
        if ours:
            return None
        return ObjectExists(
            f"Another backup is running that will be named {full}.", hint="Choose another name, or wait for it."
        )
    return ObjectExists(f"There is an archive named {full} already.", hint="Choose another name, or delete that one.")


@contextmanager
def claimed(store: StoreSettings, name: str) -> Iterator[bool]:
    """Claim an archive's full name in a store until left; gives False when another backup has claimed it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        yield _bind(claim, f"{store.place}\0{name}")


def _bind(claim: socket.socket, key: str) -> bool:
    if sys.platform != "linux":
        return True
    try:
        claim.bind(b"\0kleidia-backup-" + hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest().encode())
    except OSError as exc:  # a sandbox may know no such sockets
        return exc.errno != EADDRINUSE
    return True
