"""The index of format V2: what is written is read, and every single fault is refused in the layer ``index``."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.v2 import index as limits
from kleidia_backup.formats.v2.entries import Entries, Entry
from kleidia_backup.formats.v2.index import BeginLine, CopyLine, EndLine, Index, IndexWriter

from .v2_indexes import BEGIN, COPY, END, GOOD, HASH, KV, ROWS, SQL, parse, stored, text

MORE_SQL = [
    BEGIN,
    SQL | {"more": True},
    SQL,
    END | {"chunks": 2, "copies": 0, "rows": 0, "secrets": 0, "sql_bytes": 60},
]
TWO_ROWS = [
    BEGIN,
    ROWS | {"more": True, "tail": 0},
    ROWS | {"head": 0},
    COPY | {"rows": 4, "bytes": 58},
    END | {"chunks": 2, "rows": 4, "secrets": 0, "sql_bytes": 80},
]


BLANK = [BEGIN, SQL | {"blank": True}, *GOOD[2:]]


@pytest.mark.parametrize("lines", [GOOD, MORE_SQL, TWO_ROWS, BLANK])
def test_good_ones(lines: list[dict[str, Any]]) -> None:
    """What the faults below are made from is right."""
    index = parse(stored(text(lines)))
    assert [line["k"] for line in lines[1:-1] if line["k"] != "copy"] == [entry.k for entry in index.entries]
    assert msgspec.to_builtins(index.end) == lines[-1]


def test_other_writers() -> None:
    """Any order of members, spaces, escapes and members that a reader does not know."""
    lines = [dict(reversed((line | {"new": {"deep": [None, "é", True]}}).items())) for line in GOOD]
    raw = b"".join(
        json.dumps(line, ensure_ascii=False, separators=(" , ", "\t: ")).encode() + b"\r\n" for line in lines
    )
    index = parse(stored(raw.replace(b"COPY t", rb"C\u004fPY t")))
    good = parse(stored(text(GOOD)))
    assert (list(index.entries), index.copies, index.end) == (list(good.entries), good.copies, good.end)
    assert index.copies[0].copy == "COPY t FROM stdin;"


def changed(place: int, **members: object) -> list[Any]:
    """The good lines with members of one changed; those of ``...`` are left out."""
    line = {name: value for name, value in (GOOD[place] | members).items() if value is not ...}
    return [*GOOD[:place], line, *GOOD[place + 1 :]]


def replaced(place: int, old: bytes, new: bytes) -> list[Any]:
    line = json.dumps(GOOD[place]).encode()
    assert old in line
    return [*GOOD[:place], line.replace(old, new), *GOOD[place + 1 :]]


FAULTS: dict[str, list[Any]] = {
    "nothing": [],
    "no begin": GOOD[1:],
    "no end": GOOD[:-1],
    "begin twice": [BEGIN, *GOOD],
    "end twice": [*GOOD, END],
    "a line behind the end": [*GOOD, SQL],
    "an empty line": [BEGIN, b"", *GOOD[1:]],
    "an unknown kind": [BEGIN, SQL | {"k": "blob"}, *GOOD[2:]],
    "no kind": changed(1, k=...),
    "a kind of another type": changed(1, k=1),
    "secrets before SQL": [BEGIN, KV, SQL, ROWS, COPY, END],
    "a chunk behind a COPY": [BEGIN, SQL, ROWS, COPY, KV, END],
    "COPY missing": [BEGIN, SQL, ROWS, KV, END],
    "COPY twice": [BEGIN, SQL, ROWS, KV, COPY, COPY, END],
    "another COPY": [BEGIN, SQL, ROWS, KV, COPY, COPY | {"t": 1}, END],
    "a chunk missing": [BEGIN, ROWS, KV, COPY, END],
    "a chunk twice": [BEGIN, SQL, SQL, ROWS, KV, COPY, END],
    "T from 1": [BEGIN, SQL, ROWS | {"t": 1}, KV, COPY | {"t": 1}, END],
    "T left out": [BEGIN, SQL, ROWS, ROWS | {"t": 2}, KV, COPY, END],
    "T without a COPY": changed(2, t=1),
    "T beyond all": changed(2, t=2**31),
    "rows without T": changed(2, t=...),
    "T of SQL": changed(1, t=0),
    "rows of SQL": changed(1, rows=1),
    "secrets of SQL": changed(1, secrets=1),
    "rows of secrets": changed(3, rows=1),
    "no secrets": changed(3, secrets=0),
    "negative secrets": changed(3, secrets=-3),
    "too many secrets": changed(3, secrets=65_537),
    "secrets that go on": changed(3, more=True),
    "more that is false": changed(1, more=False),
    "more that is null": changed(1, more=None),
    "blank that is false": changed(1, blank=False),
    "blank that is null": changed(1, blank=None),
    "blank rows": changed(2, blank=True),
    "blank secrets": changed(3, blank=True),
    "blank that goes on": [BEGIN, SQL | {"more": True, "blank": True}, SQL, MORE_SQL[-1]],
    "blank inside a statement": [BEGIN, SQL | {"more": True}, SQL | {"blank": True}, MORE_SQL[-1]],
    "more rows than bytes": changed(2, rows=41),
    "negative rows": changed(2, rows=-1),
    "no head": changed(2, head=0),
    "no tail": changed(2, tail=0),
    "another tail": changed(2, tail=4),
    "another head": [*changed(2, head=18)[:4], COPY | {"bytes": 19}, END],
    "another head behind": [BEGIN, SQL, ROWS, ROWS | {"head": 20}, COPY | {"rows": 4, "bytes": 35}, END],
    "head and tail over": changed(2, head=38),
    "a negative head": changed(2, head=-1),
    "a negative tail": changed(2, tail=-1),
    "rows that go on in secrets": changed(2, more=True, tail=0),
    "an end in SQL": [BEGIN, SQL | {"more": True}, END | {"chunks": 1, "copies": 0, "rows": 0, "secrets": 0}],
    "SQL that goes on in rows": changed(1, more=True),
    "nothing stored": changed(1, n=0),
    "negative size": changed(1, n=-20),
    "stored beyond the limit": changed(1, n=2**24 + 2**16 + 1),
    "no raw": changed(1, raw=0),
    "raw beyond the limit": changed(1, raw=2**24 + 1),
    "huge": changed(1, n=2**64),
    "a size as a text": changed(1, n="20"),
    "a size as a fraction": replaced(1, b"20", b"20.0"),
    "a size with an exponent": replaced(1, b"20", b"2e1"),
    "a size of null": changed(1, n=None),
    "a size of true": changed(1, n=True),
    "no size": changed(1, n=...),
    "an unknown member beyond 2^53": changed(1, new=2**53 + 1),
    "an unknown member of fraction": changed(1, new=1.5),
    "an unknown member too deep": changed(1, new=json.loads("[" * 64 + "]" * 64)),
    "an empty hash of a COPY": changed(4, h=""),
    "an unknown NaN": replaced(1, b"{", b'{"new": NaN, '),
    "half of a pair": replaced(1, b"{", rb'{"new": "\ud800", '),
    "half of a pair in a COPY": replaced(4, b"COPY t", rb"COPY \udc00t"),
    "no UTF-8": replaced(1, b"{", b'{"new": "\xff", '),
    "no UTF-8 in a COPY": replaced(4, b"COPY t", b"COPY \xc3t"),
    "no UTF-8 in the kind": replaced(1, b'"sql"', b'"s\xffl"'),
    "a mark": replaced(0, b"{", b"\xef\xbb\xbf{"),
    "a member twice": replaced(1, b'"n": 20', b'"n": 20, "n": 20'),
    "a kind twice": replaced(1, b'"k": "sql"', b'"k": "sql", "k": "sql"'),
    "an unknown member twice": replaced(1, b"{", b'{"new": 1, "new": 1, '),
    "too deep": replaced(1, b"{", b'{"new": ' + b"[" * 100_000 + b"]" * 100_000 + b", "),
    "two objects": replaced(1, b"}", b"} {}"),
    "an array": replaced(1, b"{", b"[{"),
    "a line that is too long": replaced(1, b"{", b"{" + b" " * (limits.MAX_LINE - len(json.dumps(SQL)))),
    "short hash": changed(1, h=HASH[:-1]),
    "upper-case hash": changed(1, h="A" * 64),
    "no hash": changed(1, h=...),
    "begin of nothing": changed(0, n=0),
    "begin beyond the limit": changed(0, n=2**20 + 1),
    "begin without a hash": changed(0, h="0"),
    "rows of COPY": changed(4, rows=3),
    "bytes of COPY": changed(4, bytes=17),
    "hash of COPY": changed(4, h="0"),
    "no COPY": changed(4, copy="SELECT 1;"),
    "COPY and more": changed(4, copy="COPY t FROM stdin; SELECT 1;"),
    "more and COPY": changed(4, copy="SELECT 1; COPY t FROM stdin;"),
    "COPY and rows": changed(4, copy="COPY t FROM stdin;\n1"),
    "COPY of a program": changed(4, copy="COPY t FROM PROGRAM 'id';"),
    "COPY without its end": changed(4, copy="COPY t FROM stdin"),
    "COPY of nothing": changed(4, copy=""),
    "COPY behind a comment": changed(4, copy="--\nCOPY t FROM stdin;"),
    "total of chunks": changed(5, chunks=4),
    "total of copies": changed(5, copies=2),
    "total of rows": changed(5, rows=3),
    "total of secrets": changed(5, secrets=2),
    "total of SQL": changed(5, sql_bytes=71),
}


@pytest.mark.parametrize("lines", FAULTS.values(), ids=FAULTS)
def test_one_fault(lines: list[Any]) -> None:
    """Each is refused, as damage of the index."""
    with pytest.raises(DamagedArchive) as caught:
        parse(stored(text(lines)))
    assert caught.value.layer == "index"


def frame(raw: bytes, **parameters: Any) -> bytes:
    return zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(**parameters)).compress(raw)


_TEXT = text(GOOD)
_STORED = stored(_TEXT)
FRAMES: dict[str, bytes] = {
    "nothing": b"",
    "no zstd": _TEXT,
    "cut": _STORED[:-1],
    "cut behind the last line": zstandard.ZstdCompressor().compressobj().compress(b"") or _STORED[:-3],
    "one byte more": _STORED + b"\0",
    "too many frames": stored(_TEXT[:9]) + stored(b"") * limits.MAX_FRAMES + stored(_TEXT[9:]),
    "two indexes": _STORED + _STORED,
    "a skippable frame": b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + _STORED,
    "a skippable frame behind": _STORED + b"\x50\x2a\x4d\x18\x04\0\0\0abcd",
    "a dictionary": zstandard.ZstdCompressor(
        dict_data=zstandard.ZstdCompressionDict(
            b"\x37\xa4\x30\xec" + bytes(range(200)) * 20, zstandard.DICT_TYPE_RAWCONTENT
        )
    ).compress(_TEXT)[:4]
    + b"\x63\x07\0\0\0"
    + _STORED[6:],
    "a line without its end": stored(_TEXT[:-1]),
    "a window that is too large": _STORED[:5] + b"\x70" + _STORED[6:],
    "another checksum": frame(_TEXT, write_checksum=True)[:-1] + b"\0",
}


@pytest.mark.parametrize("raw", FRAMES.values(), ids=FRAMES)
def test_one_fault_of_the_frame(raw: bytes) -> None:
    """Of the compression: one frame, whole, and nothing behind it."""
    with pytest.raises(DamagedArchive) as caught:
        parse(raw)
    assert caught.value.layer == "index"


def test_a_frame_with_a_checksum_and_a_size_is_read() -> None:
    """Both are allowed."""
    assert parse(frame(_TEXT, write_checksum=True, write_content_size=True)).end.rows == 2


def test_several_frames() -> None:
    """Wherever they end, also in the middle of a line, and if they are empty."""
    several = [_TEXT[at : at + 9] for at in range(0, len(_TEXT), 9)]
    assert parse(stored(b"") + b"".join(map(stored, several)) + stored(b"")).end.rows == 2


def test_another_digest() -> None:
    """The index has to be the locator's."""
    with pytest.raises(DamagedArchive) as caught:
        Index.parse(_STORED, hashlib.sha256(b"").digest())
    assert caught.value.layer == "index"


@pytest.mark.parametrize("end", range(0, len(_STORED), 3))
def test_cut(end: int) -> None:
    """At any byte."""
    with pytest.raises(DamagedArchive):
        parse(_STORED[:end])


def test_any_byte_changed() -> None:
    """Never another error; what can be read still says one and the same thing of itself."""
    for at in range(len(_TEXT)):
        for bit in (0x01, 0x20, 0x80):
            raw = bytearray(_TEXT)
            raw[at] ^= bit
            try:
                index = parse(stored(bytes(raw)))
            except DamagedArchive as error:
                assert error.layer == "index"  # noqa: PT017 - one of two things
            else:
                assert (len(index.entries), index.end.rows, index.end.secrets) == (3, 2, 3)


ENTRIES = (
    st.builds(
        Entry,
        k=st.just("sql"),
        n=st.integers(1, limits.MAX_STORED),
        raw=st.integers(1, 2**24),
        h=st.binary(min_size=32, max_size=32).map(bytes.hex),
        more=st.booleans(),
        blank=st.booleans(),
    )
    | st.builds(
        Entry,
        k=st.just("rows"),
        n=st.integers(1, limits.MAX_STORED),
        raw=st.integers(1, 2**24),
        h=st.binary(min_size=32, max_size=32).map(bytes.hex),
        t=st.integers(0, limits.MAX_COPIES),
        rows=st.integers(0, 2**24),
        head=st.integers(0, 2**24),
        tail=st.integers(0, 2**24),
        more=st.booleans(),
    )
    | st.builds(
        Entry,
        k=st.just("kv"),
        n=st.integers(1, limits.MAX_STORED),
        raw=st.integers(1, 2**24),
        h=st.binary(min_size=32, max_size=32).map(bytes.hex),
        secrets=st.integers(1, 2**16),
    )
)


@given(st.lists(ENTRIES, max_size=9), st.slices(9))
def test_entries_are_kept_as_they_are(wanted: list[Entry], part: slice) -> None:
    """In few bytes, they are the same."""
    entries = Entries()
    for entry in wanted:
        entries.append(entry)
    assert (len(entries), list(entries), entries[part]) == (len(wanted), wanted, wanted[part])
    assert [entries[-1 - at] for at in range(len(wanted))] == wanted[::-1]
    for at in (len(wanted), -len(wanted) - 1):
        with pytest.raises(IndexError):
            entries[at]


def test_the_writer_stops_at_what_no_reader_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that could not be read is no archive."""
    copy = CopyLine(k="copy", t=0, copy="COPY " + "x" * limits.MAX_LINE, rows=0, bytes=0)
    with pytest.raises(PayloadError, match="too long"):
        IndexWriter().add(copy)
    monkeypatch.setattr(limits, "MAX_COPIES", 2)
    monkeypatch.setattr(limits, "MAX_CHUNKS", 2)
    for line in (CopyLine(k="copy", t=0, copy="COPY t FROM stdin;", rows=0, bytes=0), Entry("sql", 1, 1, HASH)):
        writer = IndexWriter()
        writer.add(line)
        writer.add(line)
        with pytest.raises(PayloadError):
            writer.add(line)


#: Reads an index from its standard input; says the outcome, the seconds and how much memory that took.
_READER = """
import hashlib, resource, sys, time
from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v2.index import Index
stored = sys.stdin.buffer.read()
digest = hashlib.sha256(stored).digest()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    outcome = f"{len(Index.parse(stored, digest).entries)} chunks"
except DamagedArchive as error:
    outcome = error.layer
print(outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start, sep=";")
"""


def measured(raw: bytes) -> tuple[str, float, float]:
    """What reading an index comes to: the outcome, MiB and seconds of the processor, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _READER], input=raw, capture_output=True, check=True)
    outcome, memory, seconds = done.stdout.decode().split(";")
    return outcome, int(memory) / 1024, float(seconds)


def bomb(line: bytes, count: int, before: bytes = b"", behind: bytes = b"") -> bytes:
    compressor = zstandard.ZstdCompressor().compressobj()
    parts = [compressor.compress(before)]
    some = line * max(1, 2**20 // len(line))
    for _ in range(count * len(line) // len(some)):
        parts.append(compressor.compress(some))
    return b"".join((*parts, compressor.compress(behind), compressor.flush()))


_COPIES = b"".join(json.dumps(ROWS | {"t": t}).encode() + b"\n" for t in range(100_000))
BOMBS: dict[str, tuple[bytes, int]] = {
    "zeros": (bomb(b"\0", 2**30), 64),
    "line ends": (bomb(b"\n", 2**30), 128),
    "one line": (bomb(b" ", 2**30, text([BEGIN])), 64),
    "COPY statements": (stored(text([BEGIN]) + _COPIES), 100),
}


@pytest.mark.parametrize(("raw", "most"), BOMBS.values(), ids=BOMBS)
def test_bombs(raw: bytes, most: int) -> None:
    """Refused with memory (MiB) and time that do not follow what they decompress to."""
    assert len(raw) < 20_000_000
    outcome, memory, seconds = measured(raw)
    assert outcome == "index"
    assert memory < most
    assert seconds < 60


def test_too_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at the first that is too much."""
    monkeypatch.setattr(limits, "MAX_CHUNKS", 2)
    assert len(parse(stored(text(MORE_SQL))).entries) == 2
    with pytest.raises(DamagedArchive, match="too many"):
        parse(stored(text([BEGIN, SQL, SQL, SQL, END | {"chunks": 3, "copies": 0, "rows": 0, "secrets": 0}])))


def test_too_many_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number, and by what they take together."""
    monkeypatch.setattr(limits, "MAX_COPIES", 0)
    with pytest.raises(DamagedArchive, match="numbered"):
        parse(stored(text(GOOD)))
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_COPY_TEXT", 10)
    with pytest.raises(DamagedArchive, match="too long"):
        parse(stored(text(GOOD)))


@pytest.mark.thorough
def test_a_million_chunks_are_read() -> None:
    """In some 60 bytes each, as SPEC.md says."""
    writer, random_ = IndexWriter(), random.Random(1)
    writer.add(BeginLine(k="begin", n=10, h=HASH))
    for _ in range(1_000_000):
        writer.add(Entry("sql", 20, 30, random_.randbytes(32).hex()))
    writer.add(EndLine(k="end", chunks=1_000_000, copies=0, rows=0, secrets=0, sql_bytes=30_000_000))
    raw = writer.finish()
    assert len(raw) < 60_000_000
    outcome, memory, _ = measured(raw)
    assert outcome == "1000000 chunks"
    assert memory < 120
