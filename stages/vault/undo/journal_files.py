"""The state directory: its journal, its lock, and who may change them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from ...errors import Busy, ConfigurationError

JOURNAL, LOCK, PLACE = "restore.journal", "restore.lock", "place"

_HINT = "Set state_dir in [backup], or KLEIDIA_STATE_DIR, to a directory of this user's own with space in it."


def state_directory(state: Path | None = None) -> Path:
    """Where journals lie: ``state``, else ``KLEIDIA_STATE_DIR``, else the usual place for this user."""
    if state is not None:
        return state
    if named := os.environ.get("KLEIDIA_STATE_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/kleidia-backup")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "kleidia-backup"


def unusable(path: Path, what: str, reason: OSError) -> ConfigurationError:
    """The error for a path that cannot be read, written or whatever ``what`` says."""
    return ConfigurationError(f"{path} cannot be {what}: {os.strerror(reason.errno or 0)}.", hint=_HINT)


def exists(directory: Path) -> bool:
    """Whether there is a journal. Raises ``ConfigurationError`` when it cannot be read."""
    try:
        (directory / JOURNAL).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise unusable(directory, "read", exc) from None
    return True


def place(directory: Path, *, mark: bool = False) -> str:
    """A name for the directory that is the same on every machine that shares it, and no other's.

    It is in a file there, which ``mark`` makes; where there is none, machine and path name the directory.
    """
    path = directory / PLACE
    if mark:
        with contextlib.suppress(OSError):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_once(path, secrets.token_hex(16).encode())
    try:
        named = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        named = ""
    return named if len(named) == 32 else f"{socket.gethostname()}:{directory}"


def _make_once(path: Path, content: bytes) -> None:
    """Make a file with its content at once, unless there is one."""
    own = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        own.write_bytes(content)
        with contextlib.suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink(missing_ok=True)


def hold(directory: Path) -> int:
    """Make the directory if need be, and lock it until the descriptor is closed or the process ends.

    Raises ``Busy`` when another process does, ``ConfigurationError`` when it cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise unusable(directory, "used for state", exc) from None
    try:
        _check_private(directory)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ConfigurationError:
        os.close(lock)
        raise
    except OSError as exc:
        os.close(lock)
        if exc.errno not in {errno.EAGAIN, errno.EACCES}:
            raise unusable(directory, "locked", exc) from None
        raise Busy(
            f"Another restore, or its undo, is running with the state directory {directory}.",
            hint="Wait until it ended, then start again. Systems restored at once need a directory each.",
        ) from None
    return lock


def _check_private(directory: Path) -> None:
    """Refuse a directory in which another user could remove or replace a journal."""
    found = directory.stat()
    if found.st_uid not in {os.geteuid(), 0} or found.st_mode & 0o022:
        raise ConfigurationError(f"{directory} is not this user's own, or others may write there.", hint=_HINT)


def create(path: Path, first_line: bytes) -> int:
    """A new file with its first line, both on the disk; its descriptor. It replaces one in which nothing happened."""
    try:
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(file, 0o600)  # not as the umask says
            append(file, 0, first_line)
            os.fsync(file)
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise unusable(path, "written", exc) from None
    return file


def reopen(path: Path) -> int:
    """Open a file to go on with it, without the line that was being written when its process died."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        try:
            os.ftruncate(file, sum(map(len, lines(path))))
        except BaseException:
            os.close(file)
            raise
    except OSError as exc:
        raise unusable(path, "opened", exc) from None
    return file


def append(file: int, size: int, line: bytes) -> None:
    """Add a line to a file of this size, or raise ``OSError`` and leave it as it was."""
    try:
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


def boot() -> str:
    """The boot id of the machine; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def check_owner(path: Path) -> None:
    """Refuse a journal that others could have written: it says what to overwrite. Raises ``ConfigurationError``."""
    status = path.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ConfigurationError(f"{path} belongs to another user, or others may change it.", hint=_HINT)


def lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
