"""Archive format V2: keys that open archives and keys that sign them (SPEC.md, sections 4 and 9)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256, shake_256
from typing import Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from .text import InvalidKey, key_text, parse_key

Kem: TypeAlias = Literal["x25519", "mlkem768-x25519"]
KEMS: tuple[Kem, ...] = ("x25519", "mlkem768-x25519")
#: Bytes of a public key of each KEM, and of what it encapsulates.
PUBLIC_SIZES: dict[Kem, int] = {"x25519": 32, "mlkem768-x25519": 1216}
ENCAPSULATED_SIZES: dict[Kem, int] = {"x25519": 32, "mlkem768-x25519": 1120}
#: Bytes of every secret key: a scalar, a seed of the hybrid, a seed of Ed25519.
SECRET_SIZE = 32

_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64


class UnsupportedKey(InvalidKey):
    """A key of an algorithm that the installed cryptographic library does not have."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A recipient's key, as its KEM encodes it: 32 bytes, or 1,216 of the hybrid. It seals and opens nothing.

    Raises ``InvalidKey`` for bytes that are no such key, and ``UnsupportedKey``.
    """

    kem: Kem
    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_SIZES[self.kem]:
            raise InvalidKey(f"A public key for {self.kem} has {PUBLIC_SIZES[self.kem]} bytes.")
        self._handle()

    @property
    def id(self) -> str:
        """Hex of the first 8 bytes of SHA-256 over the key: what a slot names it by."""
        return sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """One line for a file or a setting."""
        return key_text(f"kleidia-public-{self.kem}", self.raw)

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read the line, or a file with it and lines that begin with ``#``. Raises ``InvalidKey``."""
        kem, raw = parse_key(text, {f"kleidia-public-{kem}": (kem, PUBLIC_SIZES[kem]) for kem in KEMS})
        return cls(kem, raw)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """HPKE in mode base: the encapsulated key and the ciphertext. Raises ``InvalidKey`` for a weak key."""
        try:
            return _suite(self.kem).encrypt(plaintext, self._handle(), info=info)
        except ValueError:
            raise InvalidKey(f"Nothing can be encrypted for this public key for {self.kem}.") from None

    def _handle(self) -> X25519PublicKey | MLKEM768X25519PublicKey:
        x25519 = X25519PublicKey.from_public_bytes(self.raw[-32:])
        if self.kem == "x25519":
            return x25519
        try:
            return MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC]), x25519)
        except UnsupportedAlgorithm:
            raise _no_mlkem() from None
        except ValueError:
            raise InvalidKey("This public key for mlkem768-x25519 is no key of ML-KEM-768.") from None


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that opens slots: 32 bytes, never in ``repr``. Raises ``InvalidKey`` and ``UnsupportedKey``."""

    kem: Kem
    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != SECRET_SIZE:
            raise InvalidKey(f"A secret key for {self.kem} has {SECRET_SIZE} bytes.")
        self._handle()

    @classmethod
    def generate(cls, kem: Kem) -> PrivateKey:
        """A new key. Raises ``UnsupportedKey``: what was asked for is never replaced by something weaker."""
        return cls(kem, os.urandom(SECRET_SIZE))

    @property
    def public(self) -> PublicKey:
        """What archives are sealed for."""
        x25519, mlkem = self._halves()
        raw = x25519.public_key().public_bytes_raw()
        return PublicKey(self.kem, mlkem.public_key().public_bytes_raw() + raw if mlkem else raw)

    def to_text(self) -> str:
        """One line for a file that nobody else may read."""
        return key_text(f"kleidia-secret-{self.kem}", self.raw)

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Read the line, or a file with it and lines that begin with ``#``. Raises ``InvalidKey``."""
        kem, raw = parse_key(text, {f"kleidia-secret-{kem}": (kem, SECRET_SIZE) for kem in KEMS})
        return cls(kem, raw)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """What ``PublicKey.seal`` sealed. Raises ``cryptography.exceptions.InvalidTag``."""
        return _suite(self.kem).decrypt(sealed, self._handle(), info=info)

    def _handle(self) -> X25519PrivateKey | MLKEM768X25519PrivateKey:
        x25519, mlkem = self._halves()
        return MLKEM768X25519PrivateKey(mlkem, x25519) if mlkem else x25519

    def _halves(self) -> tuple[X25519PrivateKey, MLKEM768PrivateKey | None]:
        if self.kem == "x25519":
            return X25519PrivateKey.from_private_bytes(self.raw), None
        seeds = shake_256(self.raw).digest(_MLKEM_SEED + 32)
        try:
            mlkem = MLKEM768PrivateKey.from_seed_bytes(seeds[:_MLKEM_SEED])
        except UnsupportedAlgorithm:
            raise _no_mlkem() from None
        return X25519PrivateKey.from_private_bytes(seeds[_MLKEM_SEED:]), mlkem


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """An Ed25519 public key (32 bytes): a signer whom somebody trusts. Raises ``InvalidKey``."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise InvalidKey("A public key of Ed25519 has 32 bytes.")

    @property
    def text(self) -> str:
        """One line for a file or a setting."""
        return key_text("kleidia-public-ed25519", self.raw)

    @classmethod
    def parse(cls, text: str) -> VerifyKey:
        """Read the line, or a file with it and lines that begin with ``#``. Raises ``InvalidKey``."""
        return cls(parse_key(text, {"kleidia-public-ed25519": ("ed25519", 32)})[1])


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs archives: a seed of 32 bytes, never in ``repr``. Raises ``InvalidKey``."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != SECRET_SIZE:
            raise InvalidKey(f"A secret key of Ed25519 has {SECRET_SIZE} bytes.")

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        return cls(os.urandom(SECRET_SIZE))

    @property
    def public(self) -> VerifyKey:
        """What the facts name as ``signer``, and others trust."""
        return VerifyKey(Ed25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw())

    def to_text(self) -> str:
        """One line for a file that nobody else may read."""
        return key_text("kleidia-secret-ed25519", self.raw)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read the line, or a file with it and lines that begin with ``#``. Raises ``InvalidKey``."""
        return cls(parse_key(text, {"kleidia-secret-ed25519": ("ed25519", SECRET_SIZE)})[1])

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(message)


def _suite(kem: Kem) -> Suite:
    kems: dict[Kem, KEM] = {"x25519": KEM.X25519, "mlkem768-x25519": KEM.MLKEM768_X25519}
    return Suite(kems[kem], KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _no_mlkem() -> UnsupportedKey:
    return UnsupportedKey(
        "The installed cryptography package has no ML-KEM-768: keys of mlkem768-x25519 cannot be used here."
    )
