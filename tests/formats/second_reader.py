"""A reader of archive format V2, written from its page and sharing no code with the package. It holds all in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any, TypeAlias

import zstandard
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

SEGMENT = 262_144

#: Password and a slot's members to 64 bytes: slot key and check.
Derive: TypeAlias = Callable[[str, dict[str, Any]], bytes]


def argon2id(password: str, slot: dict[str, Any]) -> bytes:
    """What section 4 says."""
    salt = base64.b64decode(slot["salt"], validate=True)
    return hash_secret_raw(password.encode(), salt, slot["t"], slot["m"], slot["p"], 64, Type.ID)


def members(data: bytes, password: str, derive: Derive = argon2id) -> dict[str, bytes]:
    """What stands in an archive's tar, by name and in its order, as it is stored there."""
    with tarfile.open(fileobj=io.BytesIO(payload(data, password, derive))) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def script(found: dict[str, bytes]) -> str:
    """The SQL: what ``tar -xOf … 'db/*' | zstd -d`` gives."""
    return b"".join(_decompressed(data) for name, data in found.items() if name.startswith("db/")).decode()


def secrets(found: dict[str, bytes]) -> dict[str, Any]:
    """Every secret by its path."""
    text = b"".join(_decompressed(data) for name, data in found.items() if name.startswith("kv/"))
    lines = list(map(json.loads, text.splitlines()))
    assert len({line["path"] for line in lines}) == len(lines)
    return {line["path"]: line["value"] for line in lines if "newest" not in line}


def payload(data: bytes, password: str, derive: Derive = argon2id) -> bytes:
    """The tar, the locator behind it included."""
    assert data[:17] == b"KLEIDIA_BACKUP_V2"
    facts_end = 21 + int.from_bytes(data[17:21], "big")
    slots_at = facts_end + 4
    head_end = slots_at + int.from_bytes(data[facts_end:slots_at], "big")
    digest = hashlib.sha256(data[:facts_end]).digest()
    (slot,) = json.loads(data[slots_at:head_end])["slots"]
    derived = derive(password, slot)
    assert derived[32:] == base64.b64decode(slot["check"])
    context = b"kleidia-backup/v2 slot" + digest
    data_key = AESGCM(derived[:32]).decrypt(bytes(12), base64.b64decode(slot["wrapped"]), context)
    mac = hmac.digest(_key(data_key, b"kleidia-backup/v2 header"), data[:head_end], "sha256")
    assert mac == data[head_end : head_end + 32]
    return _open(_key(data_key, b"kleidia-backup/v2 payload"), digest, data[head_end + 32 :])


def _open(key: bytes, aad: bytes, body: bytes) -> bytes:
    """FLOE, of which one key seals more segments than a test ever has."""
    start, tag = body[:42], body[42:74]
    assert start[:10] == b"\0\0" + SEGMENT.to_bytes(4, "big") + (32).to_bytes(4, "big")

    def derive(by: bytes, purpose: bytes, length: int) -> bytes:
        return HKDFExpand(SHA384(), length, start + purpose + aad).derive(by)

    assert tag == derive(key, b"HEADER_TAG:", 32)
    cipher = AESGCM(derive(derive(key, b"MESSAGE_KEY:", 48), b"DEK:" + bytes(8), 32))
    segments = [body[at : at + SEGMENT] for at in range(74, len(body), SEGMENT)]
    plain = []
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        assert segment[:4] == (len(segment).to_bytes(4, "big") if last else b"\xff" * 4)
        plain.append(cipher.decrypt(segment[4:16], segment[16:], number.to_bytes(8, "big") + bytes([last])))
    return b"".join(plain)


def _key(data_key: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, info).derive(data_key)


def _decompressed(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(frame)
