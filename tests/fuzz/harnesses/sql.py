"""SQL: what is cut is what came in, wherever it is cut; what is packed into chunks is read again; rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.sql.csv import CopyToCsv, columns_of
from kleidia_backup.formats.sql.cut import SqlCutter, bare
from kleidia_backup.formats.sql.grammar import COPY, head
from kleidia_backup.formats.sql.guard import SqlReader
from kleidia_backup.formats.sql.pieces import Meta, Piece, Rows, Sql, Unfit
from kleidia_backup.formats.v2.chunks import ChunkTexts, SqlChunks
from kleidia_backup.stages.pg.survey import SqlFacts, SqlSurvey

from ..harness import Finding, Harness, expect_same, joined, parts, pieces, words


def one(data: bytes) -> None:
    """``sizes ␞ script``."""
    sizes, text = parts(data, 2)
    cut = list(pieces(text, sizes))
    whole = _cut([text] if text else [])
    expect_same(whole, _cut(cut), "the same script in pieces")
    if whole is not None:
        expect_same(b"".join(piece[1] for piece in whole), text, "what was cut, put together")
    expect_same(_fits([text] if text else []), _fits(cut), "whether a script fits, in pieces")
    expect_same(_surveyed([text] if text else []), _surveyed(cut), "what is found in a script, in pieces")
    _chunks(text, cut)
    head(text)


def _cut(data: Iterable[bytes]) -> list[tuple[str, bytes]] | None:
    """Pieces as kind and text; rows together, since they are cut where the data is."""
    cutter, found = SqlCutter(), list[tuple[str, bytes]]()
    try:
        for some in data:
            for piece in cutter.feed(some):
                _add(found, piece)
        for piece in cutter.finish():
            _add(found, piece)
    except Unfit:
        return None
    return found


def _add(found: list[tuple[str, bytes]], piece: Piece) -> None:
    kind = type(piece).__name__
    if isinstance(piece, Rows):
        kind += " behind" if piece.behind else " last" if piece.last else ""
    elif isinstance(piece, Sql):
        kind += " first" * piece.first + " last" * piece.last
    elif isinstance(piece, Meta):
        kind += f" {piece.inside}"
    if found and kind == found[-1][0] == "Rows":
        found[-1] = kind, found[-1][1] + piece.data
    else:
        found.append((kind, piece.data))


def _fits(data: Iterable[bytes]) -> bool:
    reader = SqlReader()
    try:
        for some in data:
            reader.feed(some)
        reader.finish()
    except Unfit:
        return False
    return True


def _surveyed(data: Iterable[bytes]) -> SqlFacts | None:
    survey = SqlSurvey(characters=True)
    try:
        for some in data:
            survey.feed(some)
        survey.finish()
    except DamagedArchive as exc:
        expect_same(exc.layer, "payload", "a layer")
        return None
    if "\ufffd" in survey.facts.characters:  # text that is no UTF-8, which no database takes
        survey.facts.characters.clear()
    return survey.facts


def _chunks(text: bytes, data: Iterable[bytes]) -> None:
    """What is packed can be read, and is the script: the heads and tails are its own where it has one chunk a COPY."""
    chunks, reader, out = SqlChunks(), ChunkTexts(), bytearray()
    try:
        made = [chunk for some in data for chunk in chunks.feed(some)] + list(chunks.finish())
    except PayloadError:
        return
    for chunk in made:
        out += chunk.data
        try:
            if chunk.kind == "sql":
                reader.sql(chunk.data, more=chunk.more)
            else:
                rows = Rows(chunk.data[chunk.head : len(chunk.data) - chunk.tail])
                expect_same(rows.count, chunk.count, "the rows of a chunk")
                reader.rows(rows.data, inside=not chunk.head, more=chunk.more)
        except DamagedArchive as exc:
            if not _unfinished(text):
                raise Finding(f"it is packed, and not read: {exc}") from exc
            return
    expect_same(bytes(out), text, "the script in chunks")


def _unfinished(text: bytes) -> bool:
    """Whether a script ends in the middle of something: pg_dump has failed then, and so does the backup."""
    cutter = SqlCutter()
    for _ in (*cutter.feed(text), *cutter.finish()):
        pass
    return cutter.inside != ""


def rows(data: bytes) -> None:
    """``sizes ␞ COPY statement ␞ rows``: CSV as Python's reader takes it, with the values that COPY means."""
    sizes, statement, text = parts(data, 3)
    statement = bare(statement)
    if not COPY.match(statement):
        return
    whole, cut = _csv(statement, [text]), _csv(statement, pieces(text, sizes))
    expect_same(whole, cut, "CSV of rows in pieces")
    columns = columns_of(statement)
    if whole is None or not columns:
        return
    read = csv.reader(io.StringIO(whole.decode("latin-1"), newline=""), strict=True)
    header, *found = ([value.encode("latin-1") for value in record] for record in read)
    expect_same(header, columns, "the names of columns")
    wanted = [[b"" if value is None else value for value in row] for row in _values(text)]
    # A row of one column that is NULL is an empty line, which Python's reader gives as no value at all.
    expect_same([record or [b""] for record in found], wanted, "the values of rows")


def _csv(statement: bytes, data: Iterable[bytes]) -> bytes | None:
    made = CopyToCsv(statement)
    try:
        out = made.header() + b"".join(map(made.feed, data))
        made.finish()
    except Unfit:
        return None
    return out


_LETTERS = {ord("b"): 8, ord("f"): 12, ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("v"): 11}


def _values(text: bytes) -> list[list[bytes | None]]:
    """The values of rows in PostgreSQL's text format, a byte at a time (the manual, COPY, Text Format)."""
    found: list[list[bytes | None]] = []
    row: list[bytes | None] = []
    value, raw, at = bytearray(), bytearray(), 0
    while at < len(text):
        byte = text[at]
        at += 1
        if byte in (0x09, 0x0A):
            row.append(None if raw == rb"\N" else bytes(value))
            value, raw = bytearray(), bytearray()
            if byte == 0x0A:
                found.append(row)
                row = []
            continue
        raw.append(byte)
        if byte != 0x5C or at == len(text):
            value.append(byte)
            continue
        letter = text[at]
        digits = b"01234567" if letter in b"01234567" else b"0123456789abcdefABCDEF" if letter == 0x78 else b""
        end = begin = at + (letter == 0x78)
        while end < len(text) and text[end] in digits and end - begin < (2 if letter == 0x78 else 3):
            end += 1
        if end > begin:
            value.append(int(text[begin:end], 16 if letter == 0x78 else 8) & 0xFF)
        else:
            end = at + 1
            value.append(_LETTERS.get(letter, letter))
        raw += text[at:end]
        at = end
    return found


_SCRIPT = rb"""-- Dumped from database version 18.1
\restrict abc
SET standard_conforming_strings = on;
SELECT 'it''s; --no', "a;""b", E'\'; COMMIT;', U&'x' /* a /* ' */ ; */;
CREATE FUNCTION public.f() RETURNS void LANGUAGE plpgsql AS $fn$ BEGIN; $$;$$ END; $fn$;
CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN 1=1 THEN 1 END; END;
COPY public.t (a, b) FROM stdin;
1	\\x
2	\N
a\
b	c
\.
BEGIN;
SELECT pg_catalog.lo_open('1', 131072);
COMMIT;
ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a);
GRANT SELECT ON TABLE public.t TO r;
"""


def seeds() -> Mapping[str, bytes]:
    """A script with everything that could be taken for something else, whole and in pieces."""
    half = len(_SCRIPT) // 2
    return {
        "script": joined(b"", _SCRIPT),
        "pieces": joined(b"\1\7\2", _SCRIPT[:half]),
        "end": joined(b"\5", _SCRIPT[half:]),
        "off": joined(
            b"\3", b"SET standard_conforming_strings = off;\nSELECT '\\';'\n'\\'';\nCREATE TYPE t AS (a int);\n"
        ),
        "rows": joined(b"\2", b"COPY t FROM stdin;\n\\\\.\n1\\\n\\.\n\\.x\n\\.\nCREATE INDEX i ON t (a);\n"),
    }


def row_seeds() -> Mapping[str, bytes]:
    """Rows with every escape."""
    return {
        "plain": joined(b"", b"COPY t (a, b) FROM stdin;", b"1\tx\n2\t\\N\n\t\n"),
        "escapes": joined(
            b"\3", b'COPY "a"."b" ("x y", z) FROM stdin;', b"\\b\\f\\n\\r\\t\\v\\\\\t\\101\\x41\\q\na\\\nb\t\\\t\tc\n"
        ),
        "one": joined(b"\1", b"COPY t (a) FROM stdin;", b'\\N\n\n"\n,\n\\\\.\n'),
        "none": joined(b"", b"COPY t FROM stdin;", b"\n\n"),
    }


_WORDS = words(
    rb"""
    ' '' " $$ $a$ -- /* */ ; ( ) E' e' B' U&' 1a END; $1 a$b$ \N
    """,
    b"\\",
    b"\n",
    b"\r",
    b"\x00",
    b"\\.\n",
    b"\\.\r\n",
    b"\\\n",
    b"COPY t FROM stdin;\n",
    b"COPY t (a) FROM stdin;",
    b"BEGIN;\n",
    b"COMMIT;\n",
    b"BEGIN ATOMIC ",
    b"CREATE OR REPLACE FUNCTION f() ",
    b"\\restrict a\n",
    b"\\! x\n",
    b"SET standard_conforming_strings = off;",
    b"SET client_encoding = 'SJIS';",
    b"SELECT pg_catalog.lo_open(",
    b"SELECT pg_catalog.set_config('search_path', '', false);",
    b"\xc3\xa9",
    b"CREATE TABLE ",
    b"GRANT ",
    b" TO ",
    b"ALTER TABLE ",
    b"CREATE TYPE ",
    b"INSERT INTO t VALUES (1);",
    b"CREATE EXTENSION ",
    b"OWNER TO ",
    b"\t",
)
HARNESSES = {
    "sql": Harness(
        one,
        seeds,
        _WORDS,
    ),
    "csv": Harness(rows, row_seeds, (*_WORDS[:20], b"\\x", b"\\101", b"\\N", b"\t", b"\\.\n", b'","'), 1024),
}
