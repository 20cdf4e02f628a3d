"""Archive format V2: who made an archive, by Ed25519 over facts and index (SPEC.md, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ...errors import DamagedArchive

if TYPE_CHECKING:
    from .pairs import SigningKey

_CONTEXT = b"kleidia-backup/v2 signature\n"


def sign(signing_key: SigningKey, facts_digest: bytes, index_digest: bytes) -> bytes:
    """The signature (64 bytes). Both digests are SHA-256, 32 bytes; the index's is over it as stored."""
    return signing_key.sign(_CONTEXT + facts_digest + index_digest)


def check(signer: bytes, signature: bytes, facts_digest: bytes, index_digest: bytes) -> None:
    """Nothing, when ``signer`` (32 bytes) made this signature. Raises ``DamagedArchive`` (layer ``signature``).

    Whether the signer is to be trusted is the caller's question.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(signer)
        key.verify(signature, _CONTEXT + facts_digest + index_digest)
    except (InvalidSignature, ValueError):
        raise DamagedArchive("signature", "The archive's signature is not its signer's.") from None
