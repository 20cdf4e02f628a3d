"""What the operating system's errors mean for a directory of archives."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import (
    ConfigurationError,
    KleidiaError,
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)

_MEANINGS: dict[int, tuple[type[KleidiaError], str]] = {
    errno.ENOSPC: (StoreFull, "Make room there, or shorten the retention."),
    errno.EDQUOT: (StoreFull, "Raise the quota, or shorten the retention."),
    errno.EFBIG: (StoreFull, "Neither the file system nor the process's limits take files that large."),
    errno.EACCES: (StoreForbidden, "Give this user the right to read and write there."),
    errno.EPERM: (StoreForbidden, "Give this user the right to read and write there."),
    errno.EROFS: (StoreForbidden, "The file system is mounted read-only."),
    errno.ENOENT: (ObjectMissing, "Look at the list of archives."),
    errno.ELOOP: (ObjectMissing, "Symbolic links are not followed; put the archive itself there."),
    errno.EIO: (StoreUnreachable, "Check the disk and the system log."),
    errno.ESTALE: (StoreUnreachable, "Check the network file system."),
    errno.ETIMEDOUT: (StoreUnreachable, "Check the network file system."),
    errno.ENOTCONN: (StoreUnreachable, "Check the network file system."),
    errno.EHOSTDOWN: (StoreUnreachable, "Check the network file system."),
    errno.ENAMETOOLONG: (ConfigurationError, "Choose a shorter name or prefix."),
    errno.ENOTDIR: (ObjectMissing, "Part of its name is a file, not a folder."),
    errno.EISDIR: (ObjectMissing, "That is a folder."),
}


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Raise our errors for every ``OSError``; ``doing`` completes "could not …"."""
    try:
        yield
    except OSError as exc:
        error, hint = _MEANINGS.get(exc.errno or 0, (StoreError, "Check the directory and its file system."))
        raise error(f"Could not {doing}: {exc.strerror or exc}.", hint=hint) from exc
