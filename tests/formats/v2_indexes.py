"""Indexes of format V2 for tests: from any lines, by SPEC.md and without the writer."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import zstandard

from kleidia_backup.formats.v2.index import Index

HASH = "0" * 64
BEGIN: dict[str, Any] = {"k": "begin", "n": 10, "h": HASH}
SQL: dict[str, Any] = {"k": "sql", "n": 20, "raw": 30, "h": HASH}
ROWS: dict[str, Any] = {"k": "rows", "n": 20, "raw": 40, "h": HASH, "t": 0, "rows": 2, "head": 19, "tail": 3}
KV: dict[str, Any] = {"k": "kv", "n": 20, "raw": 30, "h": HASH, "secrets": 3}
COPY: dict[str, Any] = {"k": "copy", "t": 0, "copy": "COPY t FROM stdin;", "rows": 2, "bytes": 18}
END: dict[str, Any] = {"k": "end", "chunks": 3, "copies": 1, "rows": 2, "secrets": 3, "sql_bytes": 70}
GOOD = [BEGIN, SQL, ROWS, KV, COPY, END]


def text(lines: list[Any]) -> bytes:
    """Lines as they are written; those of bytes as they are."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def stored(raw: bytes) -> bytes:
    """Compressed."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(raw)


def parse(raw: bytes) -> Index:
    """Read it, with the SHA-256 that it has."""
    return Index.parse(raw, hashlib.sha256(raw).digest())
