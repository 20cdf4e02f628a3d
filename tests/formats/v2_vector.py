"""One test vector of format V2: a file, and what a reader must make of it; the archives that all start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .v2_second_writer import FACTS, PASSWORD, SIGNER, Archive, Chunk, Json, b64, key_text, script, secret_lines, sha256

BEFORE = b"--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (id integer, name text);\n\n"
AFTER = b"\n\nALTER TABLE ONLY public.t ADD PRIMARY KEY (id);\n"
COPY = b"COPY public.t (id, name) FROM stdin;\n"
ROWS = b"1\tcaf\xc3\xa9\n2\t\\N\n3\ta\\\\b\n"
SECRETS = {"jwt-secret": b'{"secret":"s3cr3t"}', "yubikeys/abc123/piv": b'{"slot":154,"share":1.50}'}

DATABASE: Json = {**FACTS, "backup_type": "database", "includes_kv": False}
VAULT: Json = {**FACTS, "backup_type": "vault", "includes_db": False, "includes_audit": False}


def sql(raw: bytes, **changes: Any) -> Chunk:
    return Chunk("sql", raw, **changes)


def rows(raw: bytes, *, t: int = 0, copy: bytes = COPY, head: bool = True, tail: bool = True, **changes: Any) -> Chunk:
    """A chunk of rows with or without its COPY statement and its end."""
    text = (copy if head else b"") + raw + (b"\\.\n" if tail else b"")
    count = raw.count(b"\n")
    return Chunk("rows", text, t=t, rows=count, head=len(copy) * head, tail=3 * tail, **changes)


def kv(secrets: Mapping[str, bytes], **changes: Any) -> Chunk:
    return Chunk("kv", secret_lines(secrets), secrets=len(secrets), **changes)


def chunks() -> list[Chunk]:
    """Of the archive without any fault: numbers 0 to 3."""
    return [sql(BEFORE), rows(ROWS), sql(AFTER), kv(SECRETS)]


def good(**changes: Any) -> Archive:
    """The archive without any fault, of which the others differ in one thing."""
    return Archive(chunks=chunks()).but(**changes)


@dataclass(frozen=True)
class Vector:
    """``expect`` is ``ok`` or the layer that must fail. ``key`` is a private key instead of a password."""

    name: str
    comment: str
    data: bytes
    expect: str
    password: str = PASSWORD
    key: bytes | None = None
    payload: bytes | None = None
    chunks: Sequence[Chunk] | None = None
    trust: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.expect}-{self.name}.enc"

    def entry(self) -> Json:
        """What ``vectors.json`` says of it."""
        about: Json = {"file": self.file, "sha256": sha256(self.data), "comment": self.comment, "expect": self.expect}
        about |= (
            {"password": self.password} if self.key is None else {"key": key_text("kleidia-secret-x25519", self.key)}
        )
        if self.trust:
            about["trust"] = b64(SIGNER.public_key().public_bytes_raw())
        if self.payload is not None:
            about["payload_sha256"] = sha256(self.payload)
        if self.expect == "ok":
            kept = self.chunks or []
            db = b"".join(chunk.raw for chunk in kept if chunk.kind != "kv")
            kv = b"".join(chunk.raw for chunk in kept if chunk.kind == "kv")
            about |= {"db_sha256": sha256(db), "sql_sha256": sha256(script(kept)), "kv_sha256": sha256(kv)}
        return about


def ok(name: str, comment: str, archive: Archive, **changes: Any) -> Vector:
    """An archive that must be read."""
    return Vector(
        name, comment, archive.build(), "ok", payload=archive.payload(), chunks=tuple(archive.chunks), **changes
    )


def bad(expect: str, name: str, comment: str, archive: Archive, **changes: Any) -> Vector:
    """An archive with one fault, in the layer ``expect``."""
    return Vector(name, comment, archive.build(), expect, payload=archive.payload(), **changes)


def file(expect: str, name: str, comment: str, data: bytes, **changes: Any) -> Vector:
    """A file that is not what a writer makes."""
    return Vector(name, comment, data, expect, **changes)
