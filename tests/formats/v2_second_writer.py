"""A second writer of V2 archives, made from ``formats/v2/SPEC.md`` alone: it shares no code with the package.

It can also write what the format forbids: each layer is made by a function of its own, whose bytes may be changed
before the next one gets them. Whatever should be random is fixed, and zstd frames are written by hand, so the same
bytes come out everywhere; a real writer must never fix a salt, a key or an IV.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .v2_zstd import zstd_frame

Json = dict[str, Any]
Hook = Callable[[bytes], bytes]

PASSWORD = "correct horse battery staple"
DATA_KEY = bytes(range(32))
#: The recipient of the vectors; the text form is for tests of programs.
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
EPHEMERAL = X25519PrivateKey.from_private_bytes(bytes(range(96, 128)))
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(128, 160)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(160, 192)))
SEGMENT = 262_144
MAGIC = b"KLEIDIA_BACKUP_V2"

FACTS: Json = {
    "version": 2,
    "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "created_at": "2026-01-17T12:00:00Z",
    "backup_type": "full",
    "includes_db": True,
    "includes_kv": True,
    "includes_audit": True,
}


def same(data: bytes) -> bytes:
    """The hook that changes nothing."""
    return data


def to_json(value: object) -> bytes:
    """Compact JSON with as few escapes as possible."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def flip(data: bytes, at: int, bit: int = 1) -> bytes:
    """The same with one bit changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


# Keys -----------------------------------------------------------------------------------------------------------


def hkdf(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 with an empty salt, 32 bytes."""
    return HKDFExpand(SHA256(), 32, info).derive(hmac.digest(bytes(32), key, "sha256"))


@lru_cache
def argon2(password: str, salt: bytes, t: int, m: int, p: int) -> bytes:
    return Argon2id(salt=salt, length=64, iterations=t, lanes=p, memory_cost=m).derive(password.encode())


def password_slot(
    digest: bytes, password: str = PASSWORD, *, salt: bytes = bytes(range(16)), t: int = 1, m: int = 64, p: int = 1
) -> Json:
    """A slot for a password, far cheaper than a real one."""
    key = argon2(password, salt, t, m, p)
    wrapped = AESGCM(key[:32]).encrypt(bytes(12), DATA_KEY, b"kleidia-backup/v2 slot" + digest)
    kdf = {"kdf": "argon2id", "t": t, "m": m, "p": p}
    return {"type": "password", **kdf, "salt": b64(salt), "check": b64(key[32:]), "wrapped": b64(wrapped)}


def x25519_slot(digest: bytes, public: X25519PublicKey | None = None) -> Json:
    """A slot for a public key."""
    public = public or PRIVATE.public_key()
    sealed = hpke_seal(public, DATA_KEY, b"kleidia-backup/v2 slot" + digest)
    return {"type": "x25519", "key": hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16], "sealed": b64(sealed)}


def hpke_seal(public: X25519PublicKey, plaintext: bytes, info: bytes) -> bytes:
    """RFC 9180, section 6.1, with the ephemeral key fixed: encapsulated key and ciphertext."""
    encapsulated, recipient = EPHEMERAL.public_key().public_bytes_raw(), public.public_bytes_raw()
    kem = b"KEM" + struct.pack(">H", 0x20)
    suite = b"HPKE" + struct.pack(">HHH", 0x20, 1, 2)

    def extract(suite_id: bytes, salt: bytes, label: str, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label.encode() + ikm, "sha256")

    def labeled(suite_id: bytes, prk: bytes, label: str, text: bytes, length: int) -> bytes:
        full = struct.pack(">H", length) + b"HPKE-v1" + suite_id + label.encode() + text
        return HKDFExpand(SHA256(), length, full).derive(prk)

    prk = extract(kem, b"", "eae_prk", EPHEMERAL.exchange(public))
    shared = labeled(kem, prk, "shared_secret", encapsulated + recipient, 32)
    context = b"\0" + extract(suite, b"", "psk_id_hash", b"") + extract(suite, b"", "info_hash", info)
    secret = extract(suite, shared, "secret", b"")
    nonce = labeled(suite, secret, "base_nonce", context, 12)
    return encapsulated + AESGCM(labeled(suite, secret, "key", context, 32)).encrypt(nonce, plaintext, None)


# Body (FLOE) ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floe:
    """What FLOE is told, and a hook for each of its parts."""

    key: bytes
    aad: bytes
    segment: int = SEGMENT
    iv: bytes = bytes(range(200, 232))
    header: Hook = same
    #: Changes the list of encrypted segments.
    order: Callable[[list[bytes]], list[bytes]] = lambda segments: segments

    @property
    def parameters(self) -> bytes:
        return struct.pack(">BBII", 0, 0, self.segment, 32)

    def kdf(self, key: bytes, purpose: bytes, length: int) -> bytes:
        return HKDFExpand(SHA384(), length, self.parameters + self.iv + purpose + self.aad).derive(key)

    def seal(self, payload: bytes) -> bytes:
        """Header and segments."""
        header = self.parameters + self.iv + self.kdf(self.key, b"HEADER_TAG:", 32)
        message_key, room = self.kdf(self.key, b"MESSAGE_KEY:", 48), self.segment - 32
        pieces = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
        last = len(pieces) - 1
        segments = [self._segment(message_key, at, piece, at == last) for at, piece in enumerate(pieces)]
        return self.header(header) + b"".join(self.order(segments))

    def _segment(self, message_key: bytes, at: int, piece: bytes, final: bool) -> bytes:
        key = self.kdf(message_key, b"DEK:" + struct.pack(">Q", at >> 20 << 20), 32)
        iv = struct.pack(">IQ", 7, at)
        sealed = AESGCM(key).encrypt(iv, piece, struct.pack(">QB", at, final))
        return struct.pack(">I", 32 + len(piece) if final else 0xFFFFFFFF) + iv + sealed


# Payload --------------------------------------------------------------------------------------------------------


def tar_header(name: str, size: int, time: int) -> bytes:
    """A member's header in its one form (section 6)."""
    octal = b"%07o\0"
    head = (
        name.encode().ljust(100, b"\0") + octal % 0o600 + octal % 0 + octal % 0 + b"%011o\0" % size + b"%011o\0" % time
    )
    rest = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(32) + bytes(32) + octal % 0 + octal % 0 + bytes(155 + 12)
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(rest)) + rest


@dataclass(frozen=True)
class Chunk:
    """A chunk, as it should be; ``stored`` and ``line`` replace what the payload and the index say of it."""

    kind: str
    raw: bytes
    more: bool = False
    t: int = 0
    rows: int = 0
    head: int = 0
    tail: int = 0
    secrets: int = 0
    frame: bytes | None = None
    line: Json = field(default_factory=dict)
    #: Changes the stored bytes after their hash was taken.
    damage: Hook = same
    #: Changes the tar header.
    header: Hook = same
    #: Changes what pads the member to 512 bytes.
    padding: Hook = same

    @property
    def stored(self) -> bytes:
        return zstd_frame(self.raw) if self.frame is None else self.frame

    def name(self, number: int) -> str:
        room = "kv" if self.kind == "kv" else "db"
        middle = {"sql": ".sql", "rows": f".t{self.t:04}", "kv": ".jsonl"}[self.kind]
        return f"{room}/{number:08}{middle}.zst"

    def entry(self) -> Json:
        """Its line of the index."""
        line: Json = {"k": self.kind, "n": len(self.stored), "raw": len(self.raw), "h": sha256(self.stored)}
        if self.kind == "rows":
            line |= {"t": self.t, "rows": self.rows, "head": self.head, "tail": self.tail}
        if self.kind == "kv":
            line |= {"secrets": self.secrets}
        if self.more:
            line |= {"more": True}
        return line | self.line


def key_text(name: str, key: bytes) -> str:
    """A key as a line of text (section 12)."""
    return f"{name}:{b64(key + hashlib.sha256(f'{name}:'.encode() + key).digest()[:4])}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Archive:
    """An archive, made layer by layer; every hook changes the bytes of one."""

    facts: Json = field(default_factory=lambda: dict(FACTS))
    chunks: Sequence[Chunk] = ()
    totals: Json = field(default_factory=dict)
    #: Makes the slots of the facts digest.
    slots: Callable[[bytes], list[Json]] = lambda digest: [password_slot(digest)]
    sign: Ed25519PrivateKey | None = None
    begin: Json = field(default_factory=lambda: {"facts": FACTS, "tool": "second writer"})

    magic: Hook = same
    facts_text: Hook = same
    facts_length: Hook = same
    slots_text: Hook = same
    slots_length: Hook = same
    mac: Hook = same
    lines: Callable[[list[Json]], list[Json]] = lambda lines: lines
    index_text: Hook = same
    index: Hook = same
    signature: Hook = same
    locator: Hook = same
    #: Between the locator's hash of the index and its place in the tar: a fault of the index's own bytes.
    index_damage: Hook = same
    index_header: Hook = same
    begin_header: Hook = same
    begin_damage: Hook = same
    between: bytes = b""  # extra blocks in front of the index's header
    zeros: Hook = same
    payload_hook: Hook = same
    floe: Callable[[Floe], Floe] = lambda floe: floe
    whole: Hook = same

    # The head

    def head_of_facts(self) -> bytes:
        facts = self.facts
        if self.sign and "signer" not in facts:
            facts = facts | {"signer": b64(self.sign.public_key().public_bytes_raw())}
        text = self.facts_text(to_json(facts))
        return self.magic(MAGIC) + self.facts_length(struct.pack(">I", len(text))) + text

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.head_of_facts()).digest()

    # The payload

    def entries(self) -> list[Json]:
        """The index as objects."""
        begin = to_json(self.begin)
        lines: list[Json] = [{"k": "begin", "n": len(begin), "h": sha256(begin)}]
        copies = copy_lines(self.chunks)
        lines += [chunk.entry() for chunk in self.chunks] + copies
        end: Json = {"k": "end", "chunks": len(self.chunks), "copies": len(copies)}
        end["rows"] = sum(chunk.rows for chunk in self.chunks)
        end["secrets"] = sum(chunk.secrets for chunk in self.chunks)
        heads = sum(len(copy["copy"].encode()) + len("\n\\.\n") + copy["bytes"] for copy in copies)
        end["sql_bytes"] = heads + sum(len(chunk.raw) for chunk in self.chunks if chunk.kind == "sql")
        return self.lines([*lines, end | self.totals])

    def payload(self) -> bytes:
        """The tar with its locator."""
        time = int(datetime.fromisoformat(FACTS["created_at"]).timestamp())
        begin = to_json(self.begin)
        parts = [self.begin_header(tar_header("meta/begin.json", len(begin), time)), pad(self.begin_damage(begin))]
        for number, chunk in enumerate(self.chunks):
            stored = chunk.stored
            parts.append(chunk.header(tar_header(chunk.name(number), len(stored), time)))
            parts += [chunk.damage(stored), chunk.padding(bytes(-len(stored) % 512))]
        index = self.index(zstd_frame(self.index_text(b"".join(to_json(line) + b"\n" for line in self.entries()))))
        parts += [self.between, self.index_header(tar_header("meta/index.jsonl.zst", len(index), time))]
        offset = sum(map(len, parts))
        parts.append(pad(self.index_damage(index)))
        signature = b""
        if self.sign:
            text = b"kleidia-backup/v2 signature\n" + self.digest + hashlib.sha256(index).digest()
            signature = self.sign.sign(text)
        signature = self.signature(signature)
        if signature:
            parts += [tar_header("meta/index.sig", len(signature), time), pad(signature)]
        size = sum(map(len, parts)) + 1024 + 512
        parts.append(self.zeros(bytes(1024 + -size % 10240)))
        size = sum(map(len, parts)) + 512
        locator = b"KLEIDIA2" + struct.pack(">QQ", offset, len(index)) + hashlib.sha256(index).digest()
        locator += struct.pack(">QQ", size, len(signature)) + bytes(440)
        return self.payload_hook(b"".join(parts) + self.locator(locator))

    # The file

    def build(self) -> bytes:
        """The archive's bytes."""
        head, digest = self.head_of_facts(), self.digest
        text = to_json({"slots": self.slots(digest)})
        slots = self.slots_text(text + b" " * (-len(text) % 4096))
        head += self.slots_length(struct.pack(">I", len(slots))) + slots
        mac = self.mac(hmac.digest(hkdf(DATA_KEY, b"kleidia-backup/v2 header"), head, "sha256"))
        floe = self.floe(Floe(hkdf(DATA_KEY, b"kleidia-backup/v2 payload"), digest))
        return self.whole(head + mac + floe.seal(self.payload()))

    def but(self, **changes: Any) -> Archive:
        """The same with one thing changed."""
        return replace(self, **changes)

    def with_chunk(self, number: int, **changes: Any) -> Archive:
        """The same with one thing of a chunk changed."""
        chunks = [replace(chunk, **changes) if at == number else chunk for at, chunk in enumerate(self.chunks)]
        return replace(self, chunks=chunks)


def pad(data: bytes) -> bytes:
    """Up to whole blocks of 512."""
    return data + bytes(-len(data) % 512)


def script(chunks: Sequence[Chunk]) -> bytes:
    """What pg_dump wrote (section 7): the chunks without the tails and heads that cutting a COPY added."""
    chunks = [chunk for chunk in chunks if chunk.kind != "kv"]
    out = b""
    for at, chunk in enumerate(chunks):
        raw = chunk.raw
        if at and _same_copy(chunks[at - 1], chunk):
            raw = raw[chunk.head :]
        if at + 1 < len(chunks) and _same_copy(chunk, chunks[at + 1]):
            raw = raw[: len(raw) - chunk.tail]
        out += raw
    return out


def copy_lines(chunks: Sequence[Chunk]) -> list[Json]:
    """The line of each COPY statement (section 8)."""
    lines: list[Json] = []
    for t in sorted({chunk.t for chunk in chunks if chunk.kind == "rows"}):
        own = [chunk for chunk in chunks if chunk.kind == "rows" and chunk.t == t]
        rows = b"".join(chunk.raw[chunk.head : len(chunk.raw) - chunk.tail] for chunk in own)
        copy = own[0].raw[: own[0].head].rstrip(b"\r\n").decode()
        count = sum(chunk.rows for chunk in own)
        lines.append({"k": "copy", "t": t, "copy": copy, "rows": count, "bytes": len(rows), "h": sha256(rows)})
    return lines


def _same_copy(first: Chunk, second: Chunk) -> bool:
    return first.kind == second.kind == "rows" and first.t == second.t


def secret_lines(secrets: Mapping[str, bytes]) -> bytes:
    """Lines of a ``kv`` chunk; the values are JSON text."""
    return b"".join(b'{"path":' + to_json(path) + b',"value":' + value + b"}\n" for path, value in secrets.items())
