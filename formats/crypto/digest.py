"""The checksum of a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..errors import DamagedArchive


class Sha256:
    """Passes bytes on unchanged; ``hexdigest`` is final when it was finished."""

    name = "sha256"

    def __init__(self, expect: str = "") -> None:
        self._expect = expect
        self._hash = hashlib.sha256()

    @property
    def hexdigest(self) -> str:
        """Lower-case hex SHA-256 over everything so far."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Hash."""
        self._hash.update(data)
        return (data,)

    def finish(self) -> Iterable[bytes]:
        """Nothing. Raises ``DamagedArchive`` (layer ``checksum``) when another digest was expected."""
        if self._expect and self._expect != self.hexdigest:
            raise DamagedArchive("checksum", "The archive's ciphertext does not have the checksum in its header.")
        return ()
