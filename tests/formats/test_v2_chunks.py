"""The chunks of format V2: together they are what pg_dump wrote, and each is a whole piece of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.sql import cut
from kleidia_backup.formats.sql.cut import SqlCutter, bare
from kleidia_backup.formats.sql.pieces import Rows, Sql
from kleidia_backup.formats.v2 import chunks as sizes
from kleidia_backup.formats.v2.chunks import MAX_RAW, Chunk, ChunkTexts, SqlChunks

from ..pg.sql_texts import Text, soups, texts

CUTS = st.lists(st.integers(0, 3000), max_size=8)


@contextmanager
def small(sql: int, rows: int, long: int, head: int) -> Iterator[None]:
    """Chunks of few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "SQL", sql)
        patch.setattr(sizes, "ROWS", rows)
        patch.setattr(sizes, "LONG", long)
        patch.setattr(cut, "HEAD", head)
        yield


def chunked(text: bytes, cuts: list[int]) -> list[Chunk]:
    chunks = SqlChunks()
    places = [0, *sorted(at for at in set(cuts) if 0 < at < len(text)), len(text)]
    found = [chunk for start, end in pairwise(places) for chunk in chunks.feed(text[start:end])]
    return [*found, *chunks.finish()]


def assembled(chunks: list[Chunk]) -> bytes:
    """The script, as SPEC.md (section 7) says: without the heads and tails that only the writer wrote."""
    script = b""
    for number, chunk in enumerate(chunks):
        before = chunks[number - 1] if number else None
        behind = chunks[number + 1] if number + 1 < len(chunks) else None
        data = chunk.data
        if chunk.kind == "rows" and behind is not None and (behind.kind, behind.table) == ("rows", chunk.table):
            data = data[: len(data) - chunk.tail]
        if chunk.kind == "rows" and before is not None and (before.kind, before.table) == ("rows", chunk.table):
            data = data[chunk.head :]
        script += data
    return script


def check(chunks: list[Chunk]) -> None:
    """Each is what it says; a second look, and the reader's own."""
    reader, backslashes, open_ = ChunkTexts(), False, b""
    tables: dict[int, bytes] = {}
    for number, chunk in enumerate(chunks):
        assert 0 < len(chunk.data) <= MAX_RAW
        inside = number > 0 and chunks[number - 1].more
        if chunk.kind == "rows":
            rows = chunk.data[chunk.head : len(chunk.data) - chunk.tail]
            assert (chunk.head == 0, chunk.tail == 0) == (inside, chunk.more)
            reader.rows(rows, inside=inside, more=chunk.more)
            assert tables.setdefault(chunk.table, chunk.data[: chunk.head]).startswith(chunk.data[: chunk.head])
            assert Rows(rows).count == chunk.count
        else:
            reader.sql(chunk.data, more=chunk.more, blank=chunk.blank)
        open_ += chunk.data
        if chunk.more:
            after = chunks[number + 1]
            assert (after.kind, after.table) == (chunk.kind, chunk.table)
            continue
        # Whole by itself: nothing is left open, and rows are one COPY statement to its end.
        cutter = SqlCutter()
        cutter.backslashes = backslashes
        pieces = [*cutter.feed(open_), *cutter.finish()]
        assert cutter.inside == ""
        assert chunk.blank == all(isinstance(piece, Sql) and not bare(piece.data) for piece in pieces)
        assert any(isinstance(piece, Rows) for piece in pieces) == (chunk.kind == "rows")
        if chunk.kind == "rows":
            assert [type(piece) for piece in pieces if not isinstance(piece, Rows)] == [Sql]
            assert isinstance(pieces[-1], Rows)
            assert pieces[-1].last
            assert bare(open_) == open_
        backslashes, open_ = cutter.backslashes, b""
    assert not open_
    assert list(tables) == list(range(len(tables)))


def whole(chunks: list[Chunk]) -> list[tuple[object, ...]]:
    """What chunks mean, wherever they were cut."""
    found: list[tuple[object, ...]] = []
    for chunk in chunks:
        if chunk.kind == "rows" and found and found[-1][:2] == ("rows", chunk.table):
            found[-1] = ("rows", chunk.table, found[-1][2], int(str(found[-1][3])) + chunk.count)
        elif chunk.kind == "rows":
            found.append(("rows", chunk.table, chunk.data[: chunk.head], chunk.count))
    return found


@given(texts(), CUTS, CUTS, st.integers(1, 200), st.integers(1, 60), st.integers(1, 200), st.integers(120, 400))
@settings(max_examples=150)
def test_scripts(text: Text, cuts: list[int], others: list[int], sql: int, rows: int, long: int, head: int) -> None:
    """Any cuts of the input and any sizes of chunks give the script back, in whole pieces, and the same rows."""
    script = text.text.encode().replace(b"\\.\r\n", b"\\.\n")
    with small(sql, rows, long, head):
        found = chunked(script, cuts)
        assert assembled(found) == script
        check(found)
        assert whole(chunked(script, others)) == whole(found)
    usual = chunked(script, cuts)
    assert assembled(usual) == script
    assert whole(usual) == whole(found)
    copies = [one.rows.count("\n") for one in text.made_of if one.rows is not None]
    assert [count for _, _, _, count in whole(found)] == copies


@given(soups(), CUTS, st.integers(1, 200), st.integers(1, 60), st.integers(1, 200), st.integers(120, 400))
@settings(max_examples=300)
def test_soups(text: str, cuts: list[int], sql: int, rows: int, long: int, head: int) -> None:
    """What is no script of pg_dump at all: refused, or given back."""
    script = text.encode()
    with small(sql, rows, long, head):
        try:
            found = chunked(script, cuts)
        except PayloadError:
            return
        assert assembled(found) == script
        if not ends_open(script):
            check(found)


def ends_open(script: bytes) -> bool:
    """Whether a script ends inside a statement, which the writer leaves to whoever knows how pg_dump ended."""
    cutter = SqlCutter()
    for _ in (*cutter.feed(script), *cutter.finish()):
        pass
    return bool(cutter.inside)


ROW_TEXT = st.text(st.sampled_from("ab\\.\t\r;'$é"), max_size=12)


@given(st.lists(ROW_TEXT, max_size=30), st.sampled_from(["\n", "\r\n"]), CUTS, st.integers(1, 40), st.integers(1, 40))
def test_rows(rows: list[str], end: str, cuts: list[int], size: int, long: int) -> None:
    r"""Any rows but those that end the COPY: backslashes before the end of a line, ``\.`` in it, CR."""
    lines = [row for row in rows if row not in {"\\.", "\\.\r"}]
    script = f"COPY t FROM stdin;{end}{''.join(row + chr(10) for row in lines)}\\.\nSELECT 1;\n".encode()
    with small(10, size, long, 64):
        found = chunked(script, cuts)
        assert assembled(found) == script
        check(found)
        assert [row for _, _, _, row in whole(found)] == [Rows("".join(row + "\n" for row in lines).encode()).count]


SCRIPTS = {
    "nothing": b"",
    "blanks": b"\n\n",
    "a comment": b"-- nothing in it\n",
    "no tables": b"SET a = 1;\nSELECT 1;\n",
    "an empty table": b"COPY t FROM stdin;\n\\.\n",
    "two empty tables": b"COPY t FROM stdin;\n\\.\nCOPY u FROM stdin;\n\\.\n",
    "the same table twice": b"COPY t FROM stdin;\n1\n\\.\nCOPY t FROM stdin;\n2\n\\.\n",
    "commands of psql": b"\\restrict abc\n\nCOPY t FROM stdin;\n1\n\\.\n\\unrestrict abc\n",
    "CR": b"COPY t FROM stdin;\r\n1\r\n\\.\nSELECT 1;\r\n",
    "an end that is none": b"COPY t FROM stdin;\n\\.x\n\\..\n x\\.\n\\.\n",
    "a long row": b"COPY t FROM stdin;\n" + b"x" * 9_000_000 + b"\n1\n\\.\nSELECT 1;\n",
    "a long row of backslashes": b"COPY t FROM stdin;\n" + b"\\" * 9_000_000 + b"\n1\n\\.\nSELECT 1;\n",
    "long rows": b"COPY t FROM stdin;\n" + (b"y" * 1_500_000 + b"\n") * 5 + b"\\.\nSELECT 1;\n",
    "a long statement": b"SELECT 1;\nSELECT '" + b"x;" * 4_500_000 + b"';\nSELECT 2;\n",
    "a statement of many lines": b"INSERT INTO t VALUES\n"
    + (b"('a;" + b"x" * 500 + b"'),\n") * 18_000
    + b"('b');\nSELECT 2;\n",
    "many statements": b"INSERT INTO t VALUES ('a;');\n" * 50_000,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("step", [65_536, 1_000_003])
def test_scripts_of_usual_chunks(script: bytes, step: int) -> None:
    """In the sizes that an archive has."""
    found = chunked(script, list(range(0, len(script), step)))
    assert assembled(found) == script
    check(found)
    assert all(len(chunk.data) <= sizes.LONG + 2 * cut.HEAD + step for chunk in found)


@pytest.mark.parametrize("script", [b"COPY t FROM stdin;", b"COPY t FROM stdin;\n1\n", b"COPY t FROM stdin;\n1\n\\."])
def test_a_dump_that_ends_in_rows(script: bytes) -> None:
    """Is not written as if it were whole."""
    with pytest.raises(PayloadError, match="ends in the middle"):
        chunked(script, [])


def test_an_end_of_rows_with_cr() -> None:
    """Which a reader would not take."""
    with pytest.raises(PayloadError, match="CR"):
        chunked(b"COPY t FROM stdin;\n1\n\\.\r\n", [])


def test_comments_alone() -> None:
    """Between two tables and at the end; not where a statement stands, or may go on."""
    script = (
        b"SET a = 1;\n--\n-- Data for Name: t\n--\n\nCOPY t FROM stdin;\n1\n\\.\n\n\n--\n-- Data for Name: u\n--\n\n"
        b"COPY u FROM stdin;\n\\.\n\nSELECT '\n-- not a comment\n';\n"
    )
    found = chunked(script, [])
    assert [(chunk.kind, chunk.blank) for chunk in found] == [
        ("sql", False),
        ("rows", False),
        ("sql", True),
        ("rows", False),
        ("sql", False),
    ]
    check(found)
    with small(1, 1, 8, 64):
        found = chunked(b"SELECT '\n-- not a comment, and long\n';\n", [4])
        assert [chunk.data for chunk in found if chunk.blank] in ([], [b"\n"])


def test_chunks_grow_with_the_script() -> None:
    """So that an index stays small: what a chunk has at least follows what came before."""
    chunks = SqlChunks()
    list(chunks.feed(b"COPY t FROM stdin;\n"))
    rows = (b"x" * 1023 + b"\n") * 64
    found = [chunk for _ in range(40) for chunk in chunks.feed(rows)]
    assert {len(chunk.data) // 2**20 for chunk in found} == {1}
    chunks._total = 2**36
    found = [chunk for _ in range(200) for chunk in chunks.feed(rows)]
    assert {len(chunk.data) // 2**20 for chunk in found[1:]} == {2}
    chunks._total = 2**50
    found = [chunk for _ in range(200) for chunk in chunks.feed(rows)]
    assert {len(chunk.data) // 2**20 for chunk in found[1:]} == {3}


# What the reader refuses ----------------------------------------------------------------------------------------------

BAD_ROWS: dict[str, list[bytes]] = {
    "an end": [b"1\n\\.\nDROP TABLE t;\n"],
    "an end with CR": [b"1\n\\.\r\nDROP TABLE t;\n"],
    "an end first": [b"\\.\n"],
    "an end last": [b"1\n\\.\n"],
    "behind a backslash": [b"1\\\n\\.\n2\n"],
    "across chunks, 1": [b"1\n", b"\\.\n2\n"],
    "across chunks, 2": [b"1\n\\", b".\n2\n"],
    "across chunks, 3": [b"1\n\\.", b"\n2\n"],
    "across chunks, 4": [b"1\n\\.\r", b"\n2\n"],
    "across many chunks": [b"1\n", b"\\", b".", b"\r", b"\n2\n"],
    "no end of row": [b"1\n2"],
    "no end of row in many": [b"1\n2", b"3"],
    "a tail within a row": [b"1\n", b"2\n\\"],
}


@pytest.mark.parametrize("parts", BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows_that_are_more(parts: list[bytes]) -> None:
    """SQL behind an end of rows, and rows that would swallow their end."""
    reader = ChunkTexts()

    def read() -> None:
        for number, part in enumerate(parts):
            reader.rows(part, inside=number > 0, more=number < len(parts) - 1)

    with pytest.raises(DamagedArchive) as caught:
        read()
    assert caught.value.layer == "payload"


@pytest.mark.parametrize(
    "parts", [[b"1\\", b".\n"], [b"1", b"\\.\n"], [b"\\.x\n"], [b"\\\\.\n"], [b"\\..\n", b""], [b""]]
)
def test_rows_that_look_like_more(parts: list[bytes]) -> None:
    """None of these ends a COPY."""
    reader = ChunkTexts()
    reader.rows(b"\\.", inside=False, more=True)  # of another COPY
    for number, part in enumerate(parts):
        reader.rows(part, inside=number > 0, more=number < len(parts) - 1)


BAD_SQL: dict[str, list[bytes]] = {
    "a COPY": [b"COPY t FROM stdin;\n"],
    "a COPY and rows": [b"COPY t FROM stdin;\n1\n\\.\nSELECT 1;\n"],
    "an open statement": [b"SELECT 1"],
    "an open literal": [b"SELECT '"],
    "an open comment": [b"/* "],
    "an open body": [b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;"],
    "open in the second": [b"SELECT ';", b"'"],
}


@pytest.mark.parametrize("parts", BAD_SQL.values(), ids=BAD_SQL)
def test_sql_that_is_not_whole(parts: list[bytes]) -> None:
    """What follows would be read as something else."""
    reader = ChunkTexts()

    def read() -> None:
        for number, part in enumerate(parts):
            reader.sql(part, more=number < len(parts) - 1)

    with pytest.raises(DamagedArchive) as caught:
        read()
    assert caught.value.layer == "payload"


@pytest.mark.parametrize("text", [b"-- a\nSELECT 1;\n", b";", b"\\restrict a\n"])
def test_a_statement_among_comments(text: bytes) -> None:
    """Where the index says that there is none: who read comments alone would not see it."""
    ChunkTexts().sql(text, more=False)
    with pytest.raises(DamagedArchive) as caught:
        ChunkTexts().sql(text, more=False, blank=True)
    assert caught.value.layer == "payload"


def test_settings_of_one_chunk_hold_in_the_next() -> None:
    """What a backslash means."""
    reader = ChunkTexts()
    reader.sql(b"SET standard_conforming_strings = off;", more=False)
    reader.sql(b"SELECT '\\';';", more=False)
    reader.sql(b"SET standard_conforming_strings = on;\n", more=False)
    reader.sql(b"SELECT '\\';", more=False)


@pytest.mark.parametrize("step", [1, 7, 5000])
def test_the_digest_of_the_rows(step: int) -> None:
    """It is over all rows of a COPY, wherever they are cut, and stands with the last chunk of each."""
    tables = {b"a": b"".join(b"%d\tvalue\\n\n" % number for number in range(2000)), b"b": b"", b"c": b"1\t\\N\n"}
    text = b"".join(b"COPY public.%b (i, v) FROM stdin;\n%b\\.\n\n" % each for each in tables.items())
    with small(100, 500, 5000, 100):
        cutter = SqlChunks()
        found = [chunk for at in range(0, len(text), step) for chunk in cutter.feed(text[at : at + step])]
        found += cutter.finish()
    assert len(found) > 3 * len(tables)
    assert [chunk.digest for chunk in found if chunk.digest] == [
        hashlib.sha256(rows).hexdigest() for rows in tables.values()
    ]
