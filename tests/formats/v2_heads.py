"""Heads of format V2 for tests: from any bytes of facts and slots, by SPEC.md and without the writer."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.keys.pairs import SigningKey
from kleidia_backup.formats.v2.keys.slots import Password, seal_password

#: Stands for the smallest body.
BODY = bytes(74 + 32)
DATA_KEY = bytes(range(32))
PASSWORD = "canary-Pässwörd-7f3a"
SIGNING_KEY = SigningKey(b"s" * 32)

FACTS: dict[str, Any] = {
    "version": 2,
    "id": "6f1c8a52-1d0e-4f0a-9a57-0b7e1f2d3c4b",
    "created_at": "2026-01-17T12:00:00Z",
    "backup_type": "full",
    "includes_db": True,
    "includes_kv": True,
    "includes_audit": False,
    "system": "prod-1",
    "tool": "a test",
    "about": "A sentence.",
}
PLAIN = ArchiveFacts(
    created_at=datetime(2026, 1, 17, 12, tzinfo=UTC),
    backup_type="full",
    includes_db=True,
    includes_kv=True,
    includes_audit=False,
    id="6f1c8a52-1d0e-4f0a-9a57-0b7e1f2d3c4b",
    system="prod-1",
)


def facts(**changes: object) -> bytes:
    """The facts as JSON with members changed; those of ``...`` are left out."""
    return json.dumps({name: value for name, value in (FACTS | changes).items() if value is not ...}).encode()


def digest(raw_facts: bytes) -> bytes:
    """The facts digest."""
    return hashlib.sha256(b"KLEIDIA_BACKUP_V2" + len(raw_facts).to_bytes(4, "big") + raw_facts).digest()


def password(raw_facts: bytes, text: str = PASSWORD, key: bytes = DATA_KEY) -> Password:
    """A slot that costs little."""
    return seal_password(text, key, digest(raw_facts), t=1, m=32, p=4)


def slots(*objects: object, size: int = 4096) -> bytes:
    """The slots, padded."""
    return json.dumps({"slots": objects}).encode().ljust(size)


def head(raw_facts: bytes, raw_slots: bytes, key: bytes = DATA_KEY) -> bytes:
    """A head with the right MAC."""
    raw = b"".join(
        [
            b"KLEIDIA_BACKUP_V2",
            len(raw_facts).to_bytes(4, "big"),
            raw_facts,
            len(raw_slots).to_bytes(4, "big"),
            raw_slots,
        ]
    )
    header_key = HKDF(algorithm=SHA256(), length=32, salt=b"", info=b"kleidia-backup/v2 header").derive(key)
    return raw + hmac.digest(header_key, raw, "sha256")
