"""A second writer of the archive format, made from ``formats/SPEC.md`` alone: it shares no code with the package.

It can also write what the format forbids. Salt, nonce and time are fixed, and DEFLATE is written by hand, so the
same bytes come out everywhere; a real writer must never fix its salt and nonce.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

PASSWORD = "correct horse battery staple"
SALT = bytes(range(32))
NONCE = bytes(range(100, 112))
MAGIC = b"KLEIDIA_BACKUP_V1"

#: The clear-text header, but for its checksum.
OUTER: dict[str, Any] = {
    "version": 1,
    "created_at": "2026-01-17T12:00:00Z",
    "backup_type": "full",
    "checksum": "",
    "includes_db": True,
    "includes_kv": True,
    "includes_audit": True,
}
#: The header inside the payload.
INNER: dict[str, Any] = {
    "version": 1,
    "created_at": "2026-01-17T12:00:00Z",
    "backup_type": "full",
    "includes_db": True,
    "includes_kv": True,
    "includes_audit_logs": True,
}
#: Stands in a header text where the checksum belongs.
CHECKSUM = b"<checksum>"


@dataclass(frozen=True)
class Run:
    """One byte, many times: what becomes small when it is compressed."""

    byte: bytes
    count: int


Part = bytes | Run


def expand(*parts: Part) -> bytes:
    """The bytes that some parts stand for."""
    return b"".join(part.byte * part.count if isinstance(part, Run) else part for part in parts)


# Compression ----------------------------------------------------------------------------------------------------


def gzip_member(*parts: Part, header: bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", trailer: bytes | None = None) -> bytes:
    """One gzip member: plain bytes stored, runs compressed as far as DEFLATE can (1032 : 1)."""
    if trailer is None:
        data = expand(*parts)
        trailer = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return header + deflate(*parts) + trailer


def deflate(*parts: Part) -> bytes:
    """A DEFLATE stream (RFC 1951)."""
    blocks = [_run(part) if isinstance(part, Run) else _stored(part) for part in parts]
    return b"".join(blocks) + b"\x01\x00\x00\xff\xff"  # the final block: stored and empty


def _stored(data: bytes) -> bytes:
    pieces = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)]
    return b"".join(b"\x00" + struct.pack("<HH", len(piece), len(piece) ^ 0xFFFF) + piece for piece in pieces)


def _run(run: Run) -> bytes:
    """Some bytes stored, then a block of nothing but copies: 258 bytes from one byte ago, in two bits each."""
    copies, plain = divmod(run.count - 1, 258)
    bits = "0" + "01"  # not final; dynamic Huffman codes
    bits += _number(286 - 257, 5) + _number(2 - 1, 5) + _number(18 - 4, 4)
    # The lengths of the codes that spell the code lengths: a bit for 18 (zeros) and for 1, none for the others.
    order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1]
    bits += "".join(_number(int(symbol in (1, 18)), 3) for symbol in order)
    one = "0"
    bits += _zeros(138) + _zeros(118) + one  # a bit for 256: the block's end
    bits += _zeros(28) + one  # a bit for 285: copy 258 bytes
    bits += one + one  # a bit each for the distances 1 and 2
    bits += "10" * copies + "0"
    bits += "0" + "00"  # an empty stored block, which begins at a whole byte
    packed = int(bits[::-1], 2).to_bytes((len(bits) + 7) // 8, "little")
    return _stored(run.byte * (1 + plain)) + packed + b"\x00\x00\xff\xff"


def _number(value: int, width: int) -> str:
    return f"{value:0{width}b}"[::-1]


def _zeros(count: int) -> str:
    return "1" + _number(count - 11, 7)


# Sealing --------------------------------------------------------------------------------------------------------


@lru_cache
def _key(password: str) -> bytes:
    kdf = Argon2id(salt=SALT, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    return kdf.derive(password.encode())


def seal(plaintext: bytes, password: str = PASSWORD) -> bytes:
    """The ciphertext: AES-256-GCM and its tag."""
    return AESGCM(_key(password)).encrypt(NONCE, plaintext, None)


def to_json(value: object) -> bytes:
    """Compact JSON with as few escapes as possible."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def archive(ciphertext: bytes, outer: Mapping[str, Any] | bytes = OUTER, *, length: int | None = None) -> bytes:
    """A file around a ciphertext. ``outer`` is the clear-text header, or its bytes with ``CHECKSUM`` in them.

    An empty checksum is filled in; ``length`` replaces the header's length.
    """
    digest = hashlib.sha256(ciphertext).hexdigest()
    if isinstance(outer, bytes):
        header = outer.replace(CHECKSUM, digest.encode())
    else:
        header = to_json({**outer, "checksum": digest} if outer.get("checksum") == "" else outer)
    size = struct.pack(">I", len(header) if length is None else length)
    return MAGIC + size + header + SALT + NONCE + ciphertext


def document(inner: Mapping[str, Any], sql: str, secrets: Mapping[str, bytes]) -> bytes:
    """A payload as section 6 wants it; the values of the secrets are JSON text."""
    members = b",".join(to_json(path) + b":" + value for path, value in secrets.items())
    return b"".join(
        [b'{"header":', to_json(inner), b',"database_sql":', to_json(sql), b',"vault_secrets":{', members, b"}}"]
    )
