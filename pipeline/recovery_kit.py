"""The recovery kit: what opens archives on the day on which this program cannot be had."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ..stages.errors import ConfigurationError, ObjectMissing
from .engine import in_thread

if TYPE_CHECKING:
    from ..stages.stores.base import StoreSettings

#: The folder in a store, below its prefix. Listings of archives do not look into it.
FOLDER = "recovery-kit/"
#: The file with the checksums of the others.
SUMS = "SHA256SUMS"

#: The names of the files, and where they lie in the package.
_FILES = {
    "HOW-TO.txt": ("formats", "HOW-TO.txt"),
    "recover.py": ("formats.v2", "recover.py"),
    "recover_v1.py": ("formats.v1", "recover.py"),
    "SPEC-v1.md": ("formats.v1", "SPEC.md"),
    "SPEC-v2.md": ("formats.v2", "SPEC.md"),
}


def recovery_kit() -> dict[str, bytes]:
    """The files of the kit by their names, ``SHA256SUMS`` last; blocks."""
    package = __package__.rpartition(".")[0]
    files = {name: (resources.files(f"{package}.{room}") / file).read_bytes() for name, (room, file) in _FILES.items()}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return {**files, SUMS: sums.encode()}


def checksums(files: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file, in hex: what belongs on paper."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


async def write_recovery_kit(directory: Path) -> dict[str, str]:
    """Write the kit into a directory, which is made if it is not there; returns SHA-256 of each file.

    Files of an older kit are replaced, each in one step, when all are written: a full disk changes nothing. Raises
    ``ConfigurationError`` when it cannot be written.
    """
    return await in_thread(_write, directory)


def _write(directory: Path) -> dict[str, str]:
    files = recovery_kit()
    parts = {name: directory / f".{name}.{os.urandom(4).hex()}.part" for name in files}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in files.items():
                parts[name].write_bytes(data)
            for name, part in parts.items():
                part.replace(directory / name)
        finally:
            for part in parts.values():
                with suppress(OSError):
                    part.unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigurationError(
            f"The recovery kit cannot be written to {directory}: {exc.strerror}.",
            hint="Make room there, or name another directory.",
        ) from exc
    return checksums(files)


async def store_recovery_kit(store: StoreSettings) -> dict[str, str]:
    """Put the kit into a store, in the folder ``recovery-kit/`` below its prefix; returns SHA-256 of each file.

    Files of an older kit are replaced, one after the other. Raises the ``StoreError`` tree.
    """
    files = await in_thread(recovery_kit)
    async with store.open() as target:
        for name, data in files.items():
            full = f"{target.prefix}{FOLDER}{name}"
            with suppress(ObjectMissing):
                await target.delete(full)
            await target.put(full, bytearray(data))
    return checksums(files)
