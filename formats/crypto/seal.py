"""Key derivation and AES-256-GCM over a stream (SPEC.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ..errors import DamagedArchive, PayloadError, UnsupportedArchive

TAG_SIZE = 16
KEY_SIZE = 32
#: Most plaintext under one nonce: 2^39 - 256 bits (NIST SP 800-38D).
MAX_PLAINTEXT = 2**36 - 32


def derive_key(password: str, salt: bytes) -> bytes:
    """The archive's key: Argon2id, 3 passes, 64 MiB, 4 lanes, over the password as UTF-8. Takes about 0.1 s."""
    return hash_secret_raw(
        password.encode(), salt, time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=KEY_SIZE, type=Type.ID
    )


class Sealer:
    """Encrypts a stream, and ends it with the tag."""

    name = "seal"

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
        self._left = MAX_PLAINTEXT

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Encrypt some bytes. Raises ``PayloadError`` when the payload grows past what one nonce may seal."""
        self._left -= len(data)
        if self._left < 0:
            raise PayloadError(
                "The compressed backup is larger than 64 GiB, the most that archive format V1 can seal.",
                hint="Exclude the audit logs (--no-audit-logs), or back up large tables by other means.",
            )
        return (self._encryptor.update(data),)

    def finish(self) -> Iterable[bytes]:
        """The tag, which ends the ciphertext."""
        return (self._encryptor.finalize() + self._encryptor.tag,)


class Opener:
    """Decrypts a stream. Plaintext comes out before the tag is checked: only ``finish`` authenticates it."""

    name = "open"
    #: Bytes: a chunk with the end of the one before.
    working_set = 1024 * 1024

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).decryptor()
        self._tail = b""
        self._left = MAX_PLAINTEXT

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Decrypt some bytes, holding back what may be the tag. Raises ``UnsupportedArchive`` past 64 GiB."""
        data = self._tail + data
        self._tail = data[-TAG_SIZE:]
        body = memoryview(data)[:-TAG_SIZE]
        self._left -= len(body)
        if self._left < 0:
            raise UnsupportedArchive("The archive's ciphertext is larger than AES-GCM allows for one nonce.")
        return (self._decryptor.update(body),)

    def finish(self) -> Iterable[bytes]:
        """Nothing. Raises ``DamagedArchive`` (layer ``seal``) for the tag of another key, or of other bytes."""
        if len(self._tail) < TAG_SIZE:
            raise _other_tag()
        try:
            self._decryptor.finalize_with_tag(self._tail)
        except InvalidTag:
            raise _other_tag() from None
        return ()


def _other_tag() -> DamagedArchive:
    return DamagedArchive("seal", "The archive's ciphertext does not fit its tag.")
