"""Which file a name stands for; names never lead out of the directory."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ...errors import BucketMissing, ConfigurationError, ObjectExists, ObjectMissing
from ...words import is_unicode
from ..base import ObjectInfo
from .errors import mapped

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.part")


def require_directory(root: Path) -> None:
    """Raise ``BucketMissing`` unless there is a directory; it is not made, for it may be a disk that is not mounted."""
    with mapped(f"look at the directory {root}"):
        if not root.is_dir():
            raise BucketMissing(f"There is no directory {root}.", hint="Create it, or mount what belongs there.")


def require_name(name: str) -> None:
    """Raise ``ConfigurationError`` unless the name is a relative path of plain parts, none of them hidden."""
    if (
        "\0" in name
        or not is_unicode(name, "surrogateescape")
        or any(part in {"", ".", ".."} for part in name.split("/"))
        or _base(name).startswith(".")
    ):
        raise ConfigurationError(
            f"{name!r} cannot be the name of an archive.",
            hint="Names are relative, without .. and without hidden files.",
        )


def file_of(root: Path, name: str) -> Path:
    """The file of a name that is known to be one: names are UTF-8 on the disk, whatever the locale is."""
    return root / os.fsdecode(name.encode(errors="surrogateescape"))


def path_of(root: Path, name: str) -> Path:
    """The file that a name stands for.

    Raises:
        ConfigurationError: the name is none, or leads out of the directory, if only through a symbolic link.
    """
    require_name(name)
    path = file_of(root, name)
    with mapped(f"look at {name}"):
        if not path.parent.resolve().is_relative_to(root.resolve()):
            raise ConfigurationError(
                f"{name} leads out of {root} through a symbolic link.", hint="Choose another prefix."
            )
    return path


def temporary(path: Path) -> Path:
    """A new hidden name in the same directory, for a file that will become ``path``."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def intended(name: str) -> str | None:
    """What the temporary file ``name`` was to become; None for any other file."""
    found = _TEMPORARY.fullmatch(_base(name))
    return name[: len(name) - len(_base(name))] + found[1] if found else None


def info_of(name: str, found: os.stat_result) -> ObjectInfo:
    """A file as the store describes it; size, time and inode pin it.

    Raises:
        ObjectMissing: it is no regular file.
    """
    if not stat.S_ISREG(found.st_mode):
        raise ObjectMissing(f"{name} is no regular file.", hint="Look at the list of archives.")
    modified = datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC)
    return ObjectInfo(name, found.st_size, modified, f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}")


def exists(name: str) -> ObjectExists:
    """The error for a name that is taken."""
    return ObjectExists(
        f"{name} is already there; it was not touched.", hint="Choose another name, or delete it first."
    )


def sync_up(folder: Path, root: Path) -> None:
    """Bring the entries of ``folder``, and of those that contain it up to ``root``, to the disk."""
    for each in (folder, *folder.parents):
        file = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        except OSError as exc:
            if exc.errno not in {errno.EINVAL, errno.ENOTSUP}:  # what cannot do that does without
                raise
        finally:
            os.close(file)
        if each == root:
            return


def walk(root: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file whose name begins with the prefix, temporary files too, in name order."""
    require_directory(root)
    folder = prefix.rpartition("/")[0]
    if folder:
        path_of(root, f"{folder}/name")
    with mapped(f"list {root}"):
        names = sorted(_names(root, folder, prefix))
    for name in names:
        try:
            with mapped(f"look at {name}"):
                found = file_of(root, name).lstat()
        except ObjectMissing:
            continue  # gone meanwhile
        if stat.S_ISREG(found.st_mode):
            yield name, found


def _names(root: Path, folder: str, prefix: str) -> Iterator[str]:
    top = file_of(root, folder)

    def refuse(exc: OSError) -> None:
        # An unreadable folder below, such as lost+found, holds no archive.
        if exc.filename == str(top) and not isinstance(exc, FileNotFoundError):
            raise exc

    for where, _, files in os.walk(str(top), onerror=refuse):
        inside = Path(where).relative_to(root).as_posix()
        base = "" if inside == "." else inside + "/"
        names = (os.fsencode(base + each).decode(errors="surrogateescape") for each in files)
        yield from (name for name in names if _matches(name, prefix))


def _matches(name: str, prefix: str) -> bool:
    original = intended(name) or name
    return original.startswith(prefix) and name.isprintable()


def _base(name: str) -> str:
    return name.rpartition("/")[2]
