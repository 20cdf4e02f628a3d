"""What one transaction of ours can hold, what is shown of a statement, and what hostile texts cost."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from kleidia_backup.formats.sql.cut import HEAD, SqlCutter
from kleidia_backup.formats.sql.grammar import COPY, DROP_DEFAULT, head
from kleidia_backup.formats.sql.guard import Guard, SqlReader
from kleidia_backup.formats.sql.pieces import Piece, Rows, Sql, Unfit
from kleidia_backup.stages.errors import DamagedArchive
from kleidia_backup.stages.pg.survey import SqlSurvey


def passed(text: bytes) -> list[bytes]:
    """The pieces that are executed."""
    cutter, guard = SqlCutter(), Guard()
    pieces = [*cutter.feed(text), *cutter.finish()]
    out = [piece.data for piece in pieces if guard.lets_through(piece)]
    guard.end()
    return out


# What is executed, and what is refused --------------------------------------------------------------------------------


def test_what_is_left_out_is_what_pg_dump_writes_for_psql() -> None:
    r"""``\restrict``, the BEGIN and COMMIT around large objects, limits, and statements of nothing but comments."""
    text = (
        b"\\restrict abc\nBEGIN;\nSELECT pg_catalog.lo_open('1', 131072);\nCOMMIT;\n"
        b"SET lock_timeout = 0;;-- x\n;COPY t FROM stdin;\n1\n\\.\n\\unrestrict abc\n"
    )
    assert passed(text) == [
        b"\nSELECT pg_catalog.lo_open('1', 131072);",
        b"COPY t FROM stdin;",
        b"1\n",
        b"\\.\n",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"SELECT '\0';", "a NUL byte"),
        (b"\\! canary\n", r"the psql command \!"),
        (b"\\connect'canary'\n", r"the psql command \connect"),
        (b"SELECT 1 \\g canary\n", r"the psql command \g"),
        (b"COMMIT'canary';", "the statement COMMIT"),
        (b"start/**/transaction;", "the statement start"),
        (b"PREPARE/**/TRANSACTION 'canary';", "the statement PREPARE"),
        (b"START TRANSACTION;", "the statement START"),
        (b"BEGIN;\nSELECT'canary';\nCOMMIT;\n", "the statement SELECT among large objects"),
        (b"BEGIN;\nCREATE TABLE canary ();\nCOMMIT;\n", "the statement CREATE among large objects"),
        (b"BEGIN;\nSELECT pg_catalog.lo_open('1', 1);\n", "large objects without an end"),
        (b"COPY t FROM '/canary';", "a COPY that is not from stdin, or has options"),
        (b"COPY t FROM stdin WITH (FORMAT csv);", "a COPY that is not from stdin, or has options"),
        (b"COPY t TO stdout;", "a COPY that is not from stdin, or has options"),
        (b"COPY/**/t FROM stdin;", "a COPY that is not from stdin, or has options"),
        (b"COPY t FROM stdin; SELECT 'canary';\n1\n\\.\n", "something behind a COPY on its line"),
        (b"SET client_encoding = 'SJIS';", "the statement SET that changes how psql reads it"),
        (b"SET/**/standard_conforming_strings = off;", "the statement SET that changes how psql reads it"),
        (
            b"SELECT set_config('client_' || 'canary', 'x', false);",
            "the statement SELECT that changes how psql reads it",
        ),
        (b"SELECT 1$a$;$a$;", None),
        (b"SELECT 1e'canary';", "a number that runs into a word"),
        (b"SET standard_conforming_strings = off; SELECT 1b'canary';", "a number that runs into a word"),
        (b"/*" + b"x" * (2 * HEAD) + b"*/ SELECT 1;", "a comment that is too long"),
    ],
)
def test_what_no_transaction_of_ours_can_hold_is_refused_without_its_values(text: bytes, why: str | None) -> None:
    """Before the server sees it; the message says how it begins."""
    if not why:
        assert passed(text)
        return
    with pytest.raises(Unfit) as caught:
        passed(text)
    assert str(caught.value) == why


def test_a_dump_is_looked_at_as_a_restore_will() -> None:
    """Over chunks, up to its end."""
    check = SqlReader()
    for byte in b"CREATE TABLE t (a integer);\nCOPY t (a) FROM stdin;\n1\n\\.\n":
        check.feed(bytes([byte]))
    check.finish()
    check = SqlReader()
    check.feed(b"SELECT 1;\nCOMMI")
    with pytest.raises(Unfit, match="the statement COMMIT"):
        check.feed(b"T;\n")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        (b"INSERT INTO public.t VALUES ('canary');", "INSERT INTO public.t"),
        (b"INSERT INTO public.t SELECT 4711;", "INSERT INTO public.t SELECT"),
        (b"SELECT -4711, 'canary';", "SELECT"),
        (b"SELECT E'canary';", "SELECT E"),
        (b"SELECT $canary$ x $canary$;", "SELECT"),
        (b'ALTER TABLE "my 4711 t=(a)" ALTER COLUMN a1 SET DEFAULT 4711;',
         'ALTER TABLE "my 4711 t=(a)" ALTER COLUMN a1 SET DEFAULT'),
        (b"ALTER TABLE t ADD CHECK (a <> 'canary');", "ALTER TABLE t ADD"),
        (b"ALTER ROLE r\n PASSWORD 'canary';", "ALTER ROLE r PASSWORD"),
        (b"ALTER SUBSCRIPTION s CONNECTION 'password=canary';", "ALTER SUBSCRIPTION s CONNECTION"),
        (b"CREATE USER MAPPING FOR r SERVER s OPTIONS (password 'canary');",
         "CREATE USER MAPPING FOR r SERVER s OPTIONS"),
        (b"COMMENT ON TABLE t IS 'canary';", "COMMENT ON TABLE t"),
        (b"CREATE VIEW public.v AS SELECT 'canary';", "CREATE VIEW public.v"),
        (b"DELETE FROM t WHERE a > 4711;", "DELETE FROM t WHERE a >"),
        (b"CREATE /* canary */ TABLE t ();", "CREATE"),
        (b"SET x = canary;", "SET x"),
        (b"SET x TO canary;", "SET x"),
        (b"(SELECT 'canary');", ""),
        (b"", ""),
        (b"CREATE TABLE " + b"x" * 1_000_000 + b" (a text);", "CREATE TABLE " + "x" * 146 + "…"),
    ],
)  # fmt: skip
def test_the_head_of_a_statement_shows_no_value(statement: bytes, shown: str) -> None:
    """It names what is done to which object, in one line of bounded length."""
    assert head(statement) == shown


# What it costs --------------------------------------------------------------------------------------------------------


def peak(chunks: Iterable[bytes]) -> tuple[int, int, int]:
    """The most memory that cutting took, in bytes, the longest piece, and how many statements and rows ended."""
    cutter = SqlCutter()
    longest = ends = 0

    def see(pieces: Iterable[Piece]) -> None:
        nonlocal longest, ends
        for piece in pieces:
            longest = max(longest, len(piece.data))
            ends += piece.count if isinstance(piece, Rows) else isinstance(piece, Sql) and piece.last

    tracemalloc.start()
    for chunk in chunks:
        see(cutter.feed(chunk))
    see(cutter.finish())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not cutter.inside
    return most, longest, ends


def around(begin: bytes, middle: bytes, end: bytes) -> Iterator[bytes]:
    """64 MB of the middle, in chunks of 64 KiB."""
    yield begin
    chunk = middle * (65_536 // len(middle))
    for _ in range(64_000_000 // len(chunk)):
        yield chunk
    yield end


@pytest.mark.parametrize(
    ("begin", "middle", "end", "ends"),
    [
        pytest.param(b"SELECT '", b"x", b"';", 1, id="a string"),
        pytest.param(b"SELECT $$", b"$a", b"$$;", 1, id="dollars"),
        pytest.param(b"COPY t FROM stdin;\n", b"x", b"\n\\.\n", 2, id="a row of a COPY"),
    ],
)
def test_64_megabytes_of_one_thing_take_little_memory(begin: bytes, middle: bytes, end: bytes, ends: int) -> None:
    """They pass in pieces."""
    most, longest, ended = peak(around(begin, middle, end))
    assert ended == ends
    assert longest <= 2 * HEAD
    assert most < 8 * HEAD


@pytest.mark.parametrize(
    ("unit", "begin", "end"),
    [
        (b"(", b"SELECT ", b"1" + b")" * 100_000 + b";"),
        (b"/*", b"", b"*/" * 100_000 + b"SELECT 1;"),
        (b"\\", b"SELECT E'", b"';"),
        (b"''", b"SELECT '", b"';"),
        (b"CASE ", b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT ", b"1 " + b"END " * 100_000 + b"; END;"),
    ],
    ids=["parentheses", "comments", "backslashes", "quotes", "CASE"],
)
def test_nothing_is_too_deep(unit: bytes, begin: bytes, end: bytes) -> None:
    """A hundred thousand of them, whatever the edge of a chunk cuts."""
    text = begin + unit * 100_000 + end
    for size in (len(text), len(begin) + 50_001, 65_535):
        cutter = SqlCutter()
        pieces = [piece for at in range(0, len(text), size) for piece in cutter.feed(text[at : at + size])]
        pieces += cutter.finish()
        assert b"".join(piece.data for piece in pieces) == text
        assert sum(isinstance(piece, Sql) and piece.last for piece in pieces) == 1
        assert not cutter.inside


LINES = [
    b"$",
    b"$a",
    b"$a$",
    b"1$a ",
    b"E'",
    b"E'a'||",
    b"'a'||",
    b"'",
    b'"',
    b"/*",
    b"--",
    b"1;",
    b"()",
    b"\\.\n",
    b"\r",
]
BEGINS = [b"", b"SELECT '", b"SELECT E'", b"COPY t FROM stdin;\n", b"CREATE FUNCTION f() BEGIN ATOMIC "]


def seconds(text: bytes, size: int) -> float:
    """Of the processor, to read a text as ``verify`` does, up to what it refuses."""
    begin = time.process_time()
    survey = SqlSurvey()
    try:
        for at in range(0, len(text), size):
            survey.feed(text[at : at + size])
        survey.finish()
    except DamagedArchive:
        pass
    return time.process_time() - begin


@pytest.mark.parametrize("begin", BEGINS)
def test_a_long_line_takes_time_as_its_length(begin: bytes) -> None:
    """Of whatever it is full, in one chunk: less than a second, where it took the square and ten seconds."""
    for unit in LINES:
        assert seconds(begin + unit * (300_000 // len(unit)), 300_000) < 5, unit


@pytest.mark.parametrize("begin", [b"SELECT '", b"SELECT E'", b"SELECT $a$", b"/*", b"COPY t FROM stdin;\n"])
def test_what_comes_byte_by_byte_takes_no_longer_when_it_does_not_end(begin: bytes) -> None:
    """What is not whole yet is looked at once, not with every byte."""
    cutter = SqlCutter()
    start = time.process_time()
    for byte in begin + b"x" * 1_000_000:
        for _ in cutter.feed(bytes((byte,))):
            pass
    assert time.process_time() - start < 5
    assert cutter.inside


@pytest.mark.parametrize("unit", [b" ", b"''", b'""', b"'a'", b'"a"', b" a", b" to a,", b".", b",", b" to", b"x"])
def test_no_statement_keeps_a_pattern_busy(unit: bytes) -> None:
    """A statement that begins like one that is looked into, and goes on without sense."""
    for begin in (
        b"grant ",
        b"create policy p",
        b"create function f",
        b"copy t",
        b"alter table t",
        b"set x",
        b"create t",
    ):
        assert seconds(begin + unit * (60_000 // len(unit)) + b" x;\n", 60_000) < 5, begin


def test_a_pattern_finds_what_it_found() -> None:
    """The names of a COPY with and without quotes, and blanks where they may be."""
    for text in (b"COPY t FROM stdin;", b'copy "a""b" . "c" ( "d" , e )from\n stdin ;', b"COPY a.b(c)FROM stdin;"):
        assert COPY.match(text), text
    for text in (b"COPY tfrom stdin;", b'COPY "a"" FROM stdin;', b"COPY t () FROM stdin;", b"COPY t (a,) FROM stdin;"):
        assert not COPY.match(text), text
    assert DROP_DEFAULT.match(b"ALTER TABLE IF EXISTS s.t ALTER COLUMN c DROP DEFAULT;")
    assert not DROP_DEFAULT.match(b"ALTER DOMAIN d DROP DEFAULT;")
