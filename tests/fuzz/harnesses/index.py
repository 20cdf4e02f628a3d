"""The index of format V2, by our reader and by a second look at its lines, and what it means once it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import zstandard

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.index import FRAME, Index, IndexWriter, Line

from ...formats import v2_indexes as indexes
from ..harness import Finding, Harness, expect_same, words
from ..second_index import Open, Refused, check


def parse(stored: bytes, seen: list[Entry]) -> Index:
    """Read it, as it is shown to who looks at its lines."""

    def see(number: int, entry: Entry) -> None:
        expect_same(number, len(seen), "the number of a chunk")
        seen.append(entry)

    return Index.parse(stored, hashlib.sha256(stored).digest(), see)


def one(data: bytes) -> None:
    """Lines, or frames of zstd as they are stored."""
    stored = data if data.startswith(FRAME) else zstandard.compress(data, 1)
    seen: list[Entry] = []
    try:
        index: Index | None = parse(stored, seen)
    except DamagedArchive as exc:
        expect_same(exc.layer, "index", "a layer")
        index, why = None, exc.message
    else:
        why = "read"
    if not data.startswith(FRAME):
        _compare(data, index, why)
    if index is not None:
        _consistent(index, seen)


def _compare(text: bytes, index: Index | None, why: str) -> None:
    try:
        check(text)
    except Open:
        return
    except Refused as refused:
        if index is not None:
            raise Finding(f"the page refuses it: {refused}") from None
        return
    if index is None:
        raise Finding(f"the page takes it; our reader: {why}")


def _consistent(index: Index, seen: list[Entry]) -> None:
    kept = [msgspec.structs.replace(entry, paths=msgspec.UNSET) for entry in seen]
    expect_same(list(index.entries), kept, "what stays in memory of the chunks")
    for number, entry in enumerate(index.entries):
        start, end = index.own(number)
        if not 0 <= start <= end <= entry.raw:
            raise Finding("a chunk's own text is not inside it")
    writer = IndexWriter()
    lines: list[Line] = [index.begin, *seen, *index.copies, index.end]
    for line in lines:
        writer.add(line)
    again = parse(writer.finish(), [])
    expect_same(
        (again.begin, list(again.entries), again.copies, again.end),
        (index.begin, kept, index.copies, index.end),
        "an index written again",
    )


def seeds() -> Mapping[str, bytes]:
    """Indexes that are right, of every kind of line."""
    copies: list[Any] = [indexes.BEGIN, indexes.ROWS | {"more": True, "tail": 0}]
    copies += [indexes.ROWS | {"head": 0, "rows": 1}, indexes.ROWS | {"t": 1}]
    copies += [indexes.COPY | {"rows": 3, "bytes": 58, "h": "a" * 64}, indexes.COPY | {"t": 1}]
    copies += [indexes.END | {"chunks": 3, "copies": 2, "rows": 5, "secrets": 0, "sql_bytes": 120}]
    paths = indexes.KV | {"paths": ["a", "b/c", "é"]}
    more: list[Any] = [indexes.BEGIN, indexes.SQL | {"more": True}, indexes.SQL, paths]
    more += [indexes.END | {"chunks": 3, "copies": 0, "rows": 0, "sql_bytes": 60}]
    nothing = [indexes.BEGIN, dict.fromkeys(indexes.END, 0) | {"k": "end"}]
    texts = {"good": indexes.GOOD, "copies": copies, "more": more, "nothing": nothing}
    made = {
        name: b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in lines)
        for name, lines in texts.items()
    }
    return made | {
        "stored": indexes.stored(made["good"]),
        "frames": zstandard.compress(made["good"][:50]) + zstandard.compress(made["good"][50:]),
    }


_WORDS = words(
    rb"""
    "k":"sql" "k":"rows" "k":"kv" "k":"copy" "k":"end" "more":true "more":false "t":0 "t":1 "paths":[" "paths":[]
    "h":"" "head":0 "tail":3 "secrets":1 "rows": null -1 1.0 1e2 ; ' $$ /* -- 9007199254740993 16777216 \ud800
    4294967296 2147483648 "x":{"x":
    """,
    b"COPY t FROM stdin;",
    b"COPY t (a) FROM stdin;\\n",
    b"0" * 64,
    b"[" * 66,
    b"\n",
    b"(\xb5/\xfd",
    b"P*M\x18",
)
HARNESSES = {"v2-index": Harness(one, seeds, _WORDS)}
