"""The sink that makes a file on this machine, which appears only when it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ...pipeline.engine import Inlet, in_thread
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_existing(
    path: Path, hint: str = "Name another file, or remove that one.", *, overwrite: bool = False
) -> None:
    """Raise ``ConfigurationError`` when something of this name is there; with ``overwrite``, when that is no file.

    A link, a device or a pipe would not be written to, but replaced.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise ConfigurationError(f"{path} exists already.", hint=hint)
    if path.is_symlink() or not path.is_file():
        raise ConfigurationError(f"{path} is no regular file, and is not replaced.", hint="Name another file.")


class FileSink:
    """Writes a file under a temporary name beside its own, and gives it that when the input ended.

    It is readable by its owner alone. One of that name is left as it is, unless ``overwrite`` is asked for. ``size`` is
    in bytes. Raises ``ConfigurationError``.
    """

    name = "file"

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.size = 0
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
        self._overwrite = overwrite

    async def __call__(self, chunks: Inlet[bytes]) -> None:
        """Write."""
        try:
            await self._write(chunks)
        except OSError as exc:
            raise ConfigurationError(f"{self._path} cannot be written: {exc.strerror}.", hint="Name another.") from exc
        finally:
            with suppress(OSError):
                self._part.unlink()

    async def _write(self, chunks: Inlet[bytes]) -> None:
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for chunk in chunks:
                self.size += await in_thread(file.write, chunk)
            await in_thread(file.flush)  # a full disk shows here at the latest
            await in_thread(os.fsync, file.fileno())
        if self._overwrite:
            self._part.replace(self._path)
        else:
            os.link(self._part, self._path)
