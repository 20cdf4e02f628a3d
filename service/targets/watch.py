"""Whether the files of the configuration have changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ...config.targets.services import TargetServices

Stamp: TypeAlias = "tuple[tuple[str, int, int, int], ...]"


def stamp(read: TargetServices) -> Stamp:
    """The files that were read, as they are now: any change to one makes another stamp.

    Files that hold secrets are not among them: after a change there the configuration is read again by SIGHUP.
    """
    found = []
    for path in _files(read.file, read.directory):
        try:
            about = path.stat()
        except OSError:
            continue
        found.append((str(path), about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(found)


def _files(file: Path | None, directory: Path | None) -> list[Path]:
    files = [] if file is None else [file]
    if directory is not None:
        try:
            files += sorted(Path(each.path) for each in os.scandir(directory) if each.name.endswith(".toml"))
        except OSError:
            return files
    return files
