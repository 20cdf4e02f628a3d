"""Paths in the index (SPEC.md, section 8): shown while they are read, never kept, left out where they have no room."""

from __future__ import annotations

import hashlib
import sys

import msgspec
import pytest

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v2 import index as limits
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.index import BeginLine, EndLine, Index, IndexWriter

HASH = "0" * 64


def stored(*chunks: tuple[str, ...]) -> bytes:
    """An index of chunks of secrets with these paths."""
    writer = IndexWriter()
    writer.add(BeginLine(k="begin", n=2, h=HASH))
    for paths in chunks:
        writer.add(Entry("kv", 100, 1000, HASH, secrets=len(paths), paths=paths))
    total = sum(map(len, chunks))
    writer.add(EndLine(k="end", chunks=len(chunks), copies=0, rows=0, secrets=total, sql_bytes=0))
    return writer.finish()


def read(data: bytes) -> tuple[Index, list[tuple[str, ...] | None]]:
    """The index, and the paths that were seen while it was read."""
    seen: list[tuple[str, ...] | None] = []

    def see(number: int, entry: Entry) -> None:
        assert number == len(seen)
        seen.append(None if entry.paths is msgspec.UNSET else entry.paths)

    return Index.parse(data, hashlib.sha256(data).digest(), see), seen


def test_paths_are_seen_and_compared_and_not_kept() -> None:
    """Any text; a chunk with others, or in another order, is refused, and says none of them."""
    paths = ("a/b", "é\u2028", '"\\\n\0', "x" * 65_536)
    index, seen = read(stored(paths, ("c",)))
    assert seen == [paths, ("c",)]
    assert index.entries[0] == Entry("kv", 100, 1000, HASH, secrets=4)
    index.entries.check_paths(0, paths)
    index.entries.check_paths(1, ["c"])
    for wrong in (paths[::-1], ("c",), (*paths[:3], "x"), ()):
        with pytest.raises(DamagedArchive) as caught:
            index.entries.check_paths(0, wrong)
        assert (caught.value.layer, "a/b" in str(caught.value)) == ("payload", False)


def test_the_index_in_memory_does_not_grow_with_paths() -> None:
    """57 bytes a chunk, however long they are."""
    short, long = (read(stored(*[(letter * size,) for letter in "abcdefgh"]))[0] for size in (1, 60_000))
    assert sys.getsizeof(short.entries._records) == sys.getsizeof(long.entries._records)


@pytest.mark.parametrize("limit", ["PATHS_TEXT", "PATHS_STORED", "MAX_LINE"])
def test_paths_without_room_are_left_out(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the line stays, and such a chunk is not compared."""
    with monkeypatch.context() as patch:
        patch.setattr(limits, limit, {"PATHS_TEXT": 1000, "PATHS_STORED": 0, "MAX_LINE": 300}[limit])
        data = stored(("x" * 200,), ("y",)) if limit == "MAX_LINE" else stored(("x" * 900,), ("y" * 900,))
    index, seen = read(data)
    assert seen[0] is None
    assert [entry.secrets for entry in index.entries] == [1, 1]
    index.entries.check_paths(0, ["another"])
    if limit == "MAX_LINE":
        assert seen[1] == ("y",)
