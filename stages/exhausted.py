"""What this process ran out of, whichever library met it."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator

from .errors import ConfigurationError

_FULL = {errno.EMFILE: "this process", errno.ENFILE: "this machine"}


def open_files(error: BaseException) -> ConfigurationError | None:
    """The error for one that came of too many open files and sockets; None for any other."""
    for each in _causes(error):
        if isinstance(each, OSError) and (whose := _FULL.get(each.errno or 0)):
            limit = f" ({resource.getrlimit(resource.RLIMIT_NOFILE)[0]})" if each.errno == errno.EMFILE else ""
            return ConfigurationError(
                f"The limit of open files of {whose} was reached{limit}.",
                hint="Raise it: `ulimit -n 1024`, LimitNOFILE= in the unit of systemd, or fs.file-max for the machine.",
            )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what a group of them holds, and what each was made from."""
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        pending += [cause for cause in (*inside, each.__cause__, each.__context__) if cause is not None]
