"""The index as it is written: each line has every member that the page names (SPEC.md, section 8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import zstandard

from kleidia_backup.formats.v2.chunks import Chunk
from kleidia_backup.formats.v2.frames import Compress
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.formats.v2.tar import BLOCK, Locator

HEAD, TAIL = b"COPY t (a) FROM stdin;\n", b"\\.\n"
CHUNK = {"k", "n", "raw", "h"}
ROWS = CHUNK | {"t", "rows", "head", "tail"}


def test_zeros_are_written() -> None:
    """A reader in another language asks for each member: a chunk without a head says ``"head": 0``."""
    chunks = [
        Chunk("sql", b"SELECT 1;\n"),
        Chunk("rows", HEAD + TAIL, table=0, head=len(HEAD), tail=3),
        Chunk("rows", HEAD + b"x", table=1, head=len(HEAD), more=True),
        Chunk("rows", b"y", table=1, more=True),
        Chunk("rows", b"z\n" + TAIL, count=1, table=1, tail=3),
        Chunk("kv", b'{"path":"a","value":{}}\n', count=1, paths=("a",)),
    ]
    writer, compress = PayloadWriter(datetime(2026, 1, 17, tzinfo=UTC)), Compress()
    payload = writer.begin(b"{}") + b"".join(writer.add(compress(chunk)) for chunk in chunks)
    payload += b"".join(writer.finish())
    where = Locator.parse(payload[-BLOCK:], len(payload))
    stored = payload[where.index : where.index + where.size]
    text = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
    begin, *lines, end = map(json.loads, text.splitlines())
    assert begin.keys() == {"k", "n", "h"}
    assert end == {"k": "end", "chunks": 6, "copies": 2, "rows": 1, "secrets": 1, "sql_bytes": 10 + 2 * 26 + 4}
    copy = {"k", "t", "copy", "rows", "bytes"}
    more = ROWS | {"more"}
    assert [line.keys() for line in lines] == [CHUNK, ROWS, more, more, ROWS, CHUNK | {"secrets", "paths"}, copy, copy]
    assert [line.get("rows") for line in lines] == [None, 0, 0, 0, 1, None, 0, 1]
