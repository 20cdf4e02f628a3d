"""Names that running backups will give to their archives: no two on this machine work for the same.

The store shows a name only when its archive is complete, which may be hours after it was chosen. So a running backup
holds an abstract socket of that name, which the kernel lets go with the process. Where there is no such socket (other
systems than Linux, other network namespaces, other machines) the store refuses the second archive when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from contextlib import contextmanager
from errno import EADDRINUSE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings


@contextmanager
def claimed(store: S3Settings | DirectorySettings | ObjectStore, name: str) -> Iterator[bool]:
    """Claim an archive's full name in a store until left; gives False when another backup has claimed it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        yield _bind(claim, f"{_place(store)}\0{name}")


def _bind(claim: socket.socket, key: str) -> bool:
    if sys.platform != "linux":
        return True
    try:
        claim.bind(b"\0kleidia-backup-" + hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest().encode())
    except OSError as exc:  # a sandbox may know no such sockets
        return exc.errno != EADDRINUSE
    return True


def _place(store: S3Settings | DirectorySettings | ObjectStore) -> str:
    """The same text for the same store."""
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings

    if isinstance(store, DirectorySettings):
        return f"directory\0{os.path.realpath(store.path)}"
    if isinstance(store, S3Settings):
        return f"s3\0{store.endpoint_url or ''}\0{store.bucket}"
    return f"object\0{os.getpid()}\0{id(store)}"
