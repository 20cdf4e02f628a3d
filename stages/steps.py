"""The steps between a payload and what is stored of it; each drives one object of ``formats``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..formats.errors import DamagedArchive
from ..formats.gzip import GzipDecoder, GzipEncoder
from ..formats.seal import Opener, Sealer, TagMismatch
from ..pipeline.engine import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Compress:
    """Anything to one gzip member."""

    name = "compress"

    def __init__(self) -> None:
        self._encoder = GzipEncoder()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Compress."""
        return (self._encoder.update(data),)

    def finish(self) -> Iterable[bytes]:
        """The rest of the member."""
        return (self._encoder.finish(),)


class Decompress:
    """Gzip members to what they hold, a chunk at a time however strong the compression."""

    name = "decompress"

    def __init__(self) -> None:
        self._decoder = GzipDecoder(MAX_CHUNK)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress. Raises ``DamagedArchive`` (layer ``gzip``)."""
        while True:
            yield self._decoder.update(data)  # perhaps nothing: there may be any number of empty members
            if not self._decoder.pending:
                return
            data = b""

    def finish(self) -> Iterable[bytes]:
        """Nothing. Raises ``DamagedArchive`` unless a member ended here."""
        self._decoder.finish()
        return ()


class Seal:
    """Anything to ciphertext and tag (SPEC.md, section 4)."""

    name = "seal"

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._sealer = Sealer(key, nonce)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Encrypt. Raises ``PayloadError`` past 64 GiB."""
        return (self._sealer.update(data),)

    def finish(self) -> Iterable[bytes]:
        """The tag."""
        return (self._sealer.finish(),)


class Open:
    """Ciphertext and tag to what they seal; what it gives is authentic only once it was finished."""

    name = "open"

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._opener = Opener(key, nonce)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Decrypt."""
        return (self._opener.update(data),)

    def finish(self) -> Iterable[bytes]:
        """Nothing. Raises ``DamagedArchive`` (layer ``seal``) when the tag does not fit."""
        try:
            self._opener.finish()
        except TagMismatch:
            raise DamagedArchive("seal", "The archive's ciphertext does not fit its tag.") from None
        return ()


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
