"""Reports of drills as bytes: canonical JSON, what is signed, and what chains one to the next.

Canonical: UTF-8, members sorted by name, no white space, the numbers of the report as they are. The signature covers
everything but itself; the chain covers the whole report before, its signature too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from ...formats.v2.keys.pairs import SigningKey

_CONTEXT = b"kleidia-backup/drill report\n"
SIGNATURE = "signature"


def canonical(report: dict[str, Any]) -> bytes:
    """The one text of a report."""
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(report: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON, in hex: what the next report names."""
    return hashlib.sha256(canonical(report)).hexdigest()


def signed(report: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """The report with its signature (Ed25519)."""
    public = key.public
    value = base64.b64encode(key.sign(_CONTEXT + canonical(_bare(report)))).decode()
    return _bare(report) | {SIGNATURE: {"algorithm": "Ed25519", "key": public.text, "value": value}}


def check_signature(report: dict[str, Any], public: bytes) -> bool:
    """Whether the key (32 bytes) made the report's signature."""
    try:
        value = base64.b64decode(report[SIGNATURE]["value"], validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(value, _CONTEXT + canonical(_bare(report)))
    except (KeyError, TypeError, ValueError, InvalidSignature):
        return False
    return True


def _bare(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != SIGNATURE}
