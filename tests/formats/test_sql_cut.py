"""The SQL scanner: every byte comes out again, and it is never fooled by what looks like something else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.sql.cut import HEAD, SqlCutter, bare
from kleidia_backup.formats.sql.pieces import Meta, Piece, Rows, Sql


def scan(*chunks: bytes) -> list[Piece]:
    scanner = SqlCutter()
    return [*(piece for chunk in chunks for piece in scanner.feed(chunk)), *scanner.finish()]


def statements(*chunks: bytes) -> list[bytes]:
    """Whole statements, with rows as ``<n>``."""
    out: list[bytes] = []
    whole = b""
    rows = 0
    for piece in scan(*chunks):
        if isinstance(piece, Sql):
            whole += piece.data
            if piece.last:
                out.append(bare(whole))
                whole = b""
        elif isinstance(piece, Rows):
            rows += piece.count
            if piece.last:
                out.append(b"<%d>" % rows)
                rows = 0
        else:
            out.append(piece.data)
    return [statement for statement in out if statement]


TRICKY = rb"""
-- a comment; with 'quotes' and $dollars$ and COPY x FROM stdin;
\restrict abc
SELECT 'it''s; --no comment', "a;""b", E'\'; COMMIT;', 'back\';
/* block; /* nested 'quote */ still; */ SELECT 2;
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $fn$ BEGIN; COMMIT; $$;$$ '
COPY users FROM stdin;
' END; $fn$;
CREATE OR REPLACE FUNCTION g(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN 1=1 THEN 1 END; SELECT 2; END;
CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b);
SELECT a$b$c, $1;
COPY public.t (a, b) FROM stdin;
1	COPY x FROM stdin;
2	'unbalanced $$ " /*
\\.	not the end
3	\\x
\.

COPY empty FROM stdin;
\.
SELECT 3;
"""


def test_it_reads_as_the_server_reads() -> None:
    """Semicolons in literals, bodies, rules and comments end nothing; rows are counted."""
    assert [s[:22] for s in statements(TRICKY)] == [
        b"\\restrict abc\n",
        b"SELECT 'it''s; --no co",
        b"SELECT 2;",
        b"CREATE FUNCTION f() RE",
        b"CREATE OR REPLACE FUNC",
        b"CREATE RULE r AS ON IN",
        b"SELECT a$b$c, $1;",
        b"COPY public.t (a, b) F",
        b"<4>",
        b"COPY empty FROM stdin;",
        b"<0>",
        b"SELECT 3;",
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 64])
def test_any_chunking_gives_the_same_statements_and_bytes(size: int) -> None:
    """Nothing depends on where a chunk ends."""
    chunks = [TRICKY[at : at + size] for at in range(0, len(TRICKY), size)]
    assert statements(*chunks) == statements(TRICKY)
    assert b"".join(piece.data for piece in scan(*chunks)) == TRICKY


WORDS = st.sampled_from(
    b"'|\"|$$|$a$|--|/*|*/|\\|;|(|)|E'|a| |\\.|SELECT|CREATE FUNCTION f() BEGIN ATOMIC|END|\xc3\xa9|$|1".split(b"|")
    + b"\n|\n\\.\n|COPY t FROM stdin;\n".split(b"|")
)


@given(st.lists(WORDS, max_size=40).map(b"".join), st.data())
def test_every_byte_comes_out_whatever_the_text(text: bytes, data: st.DataObject) -> None:
    """Even for text that is no SQL, and for any chunking, which changes neither the bytes nor the statements."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert b"".join(piece.data for piece in scan(*chunks)) == text
    assert statements(*chunks) == statements(text)


def test_long_things_are_passed_on_in_pieces() -> None:
    """A literal, a line of numbers and a row of several megabytes hold no memory, and nothing inside ends them."""
    literal = b"SELECT '" + b"\\x00;''$$--/*" * 60_000 + b"';\n"
    numbers = b"INSERT INTO t VALUES " + b"(1, 'a;b'), " * 60_000 + b"(2, 'c');\n"
    escaped = b"SELECT E'" + b"\\\\\\';" * 60_000 + b"';\n"
    body = b"SELECT $body$" + b"$bod;y" * 60_000 + b"$body$;\n"
    row = b"COPY t FROM stdin;\n" + b"x" * 1_000_000 + b"\n\\.\n"
    text = literal + numbers + escaped + body + row + b"SELECT 4;\n"
    chunks = [text[at : at + 100_000] for at in range(0, len(text), 100_000)]
    pieces = scan(*chunks)
    assert b"".join(piece.data for piece in pieces) == text
    assert max(len(piece.data) for piece in pieces) < 2 * HEAD + 100_000
    assert sum(isinstance(piece, Sql) and piece.first and b"SELECT" in piece.data for piece in pieces) == 4
    assert sum(piece.count for piece in pieces if isinstance(piece, Rows)) == 1


def test_a_statement_behind_nested_comments_is_found() -> None:
    """Comments nest, as they do for the server."""
    assert bare(b" -- x\n/* a /* b */ c */ -- d\nCOMMIT") == b"COMMIT"
    assert bare(b"/* never /* closed */") == b""


def test_strings_with_backslashes_are_read_as_the_dump_says() -> None:
    """After ``standard_conforming_strings = off`` a backslash escapes in every literal."""
    assert statements(rb"SET standard_conforming_strings = off; SELECT 'a\';'; SELECT 2;")[1:] == [
        rb"SELECT 'a\';';",
        b"SELECT 2;",
    ]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (b"SELECT 1;\n\n-- the end\n", ""),
        (b"COPY t FROM stdin;\n1\n", "rows"),
        (b"COPY t FROM stdin;\n1\n\\", "rows"),
        (b"SELECT 'abc\n", "literal"),
        (b"SELECT $$ ;\n", "literal"),
        (b"CREATE TABLE t (\n", "statement"),
        (b"SELECT 1", "statement"),
    ],
)
def test_it_knows_what_it_is_in_the_middle_of(text: bytes, inside: str) -> None:
    """A dump that was cut is recognised."""
    scanner = SqlCutter()
    list(scanner.feed(text))
    assert scanner.inside == inside


def test_meta_commands_are_told_from_statements() -> None:
    """Also behind a statement on the same line."""
    pieces = [piece.data for piece in scan(b"SELECT 1 \\g /tmp/x\n\\connect other\n") if isinstance(piece, Meta)]
    assert pieces == [b"\\g /tmp/x\n", b"\\connect other\n"]
    assert re.match(rb"\\connect", pieces[1])


@pytest.mark.parametrize("opening", [b"'", b"E'", b"U&'", b"x='", b'"'])
def test_a_literal_may_be_longer_than_anything_held(opening: bytes) -> None:
    """Also when there is no blank in it, and whatever is doubled in it at the edge of what is held."""
    quote = opening[-1:]
    text = b"SELECT " + opening + b"x" * (HEAD - 20) + quote * 80 + b"x" * HEAD + quote + b";\nCOMMIT;\n"
    for size in (len(text), HEAD + 1, HEAD - 1, 65_537):
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        assert statements(*chunks) == [text[: -len(b"\nCOMMIT;\n")], b"COMMIT;"]


@pytest.mark.parametrize(
    "body",
    [
        b"SELECT 1 END;",
        b"SELECT 1 case;",
        b"SELECT atomic end FROM x;",
        b"SELECT begin atomic FROM x;",
        b"SELECT CASE WHEN true THEN CASE 1 WHEN 1 THEN 2 END END end;",
        b"",
    ],
)
def test_the_body_of_a_routine_ends_where_its_grammar_ends_it(body: bytes) -> None:
    """With an END where a statement could begin, not with one that names a column."""
    create = b"CREATE OR REPLACE PROCEDURE p() BEGIN /* ; */ ATOMIC " + body + b" /* x */ END;"
    assert statements(create + b"SELECT 2;") == [create, b"SELECT 2;"]


def test_bits_escape_nothing_whatever_a_dump_says_of_strings() -> None:
    """Where backslashes escape in strings; a name that ends with the letter is no constant of bits."""
    off = b"SET standard_conforming_strings = off;"
    for text in (rb"SELECT b'\';", rb"SELECT(X'\');", rb"SELECT x'1'" + b"\n" + rb"'\';"):
        assert statements(off + text) == [off, text]
    for text in (rb"SELECT a$b'\';';", rb"SELECT tab'\';';", rb"SELECT n'\';';"):
        assert statements(off + text) == [off, text]


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (b"SELECT $abc$", b"$abc$;"),
        (b"SELECT $abc$\n", b"$abc$;"),
        (b"SELECT '", b"';"),
        (b"/*", b"*/SELECT 1;"),
        (b"/*/*", b"*/*/;"),
    ],
)
@pytest.mark.parametrize("left", range(8))
def test_the_end_of_a_literal_is_found_where_a_chunk_ends(begin: bytes, end: bytes, left: int) -> None:
    """Also on a line without an end that is longer than anything held."""
    text = begin + b"x" * (HEAD + 9) + end
    assert len(statements(text[: len(text) - left], text[len(text) - left :], b"SELECT 2;")) == 2


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"1\t1:\n2\t1\n\\\n2\t1\n", 3),
        (b"\\\n\n", 1),
        (b"a\\\\\nb\\\\\\\nc\n", 2),
        (b"\\\\\n\\\\\\\\\n\\n\n", 3),
    ],
)
def test_an_end_of_line_in_a_value_ends_no_row(data: bytes, rows: int) -> None:
    """pg_dump writes it as two letters; the server takes a backslash before it as well, and so do other writers."""
    assert statements(b"COPY t FROM stdin;\n", data + b"\\.\n") == [b"COPY t FROM stdin;", b"<%d>" % rows]


def test_a_row_is_not_cut_behind_the_backslash_of_an_end_of_line() -> None:
    for slashes in (1, 2, 3):
        long = b"x" * (HEAD + 1) + b"\\" * slashes
        found = statements(b"COPY t FROM stdin;\n", long, b"\ny\n", b"\\.\n")
        assert found == [b"COPY t FROM stdin;", b"<%d>" % (1 if slashes % 2 else 2)]


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_the_end_of_rows_ends_a_row_that_its_line_did_not_end(step: int) -> None:
    """A backslash before its end of line: the server ends that row with the line that ends all rows."""
    text = (
        b"COPY t FROM stdin;\n1\ta\\\n\\.\nSELECT 1;\n"  # one backslash: the value goes on
        b"COPY t FROM stdin;\n1\ta\\\\\n\\.\n"  # two of them are a backslash in the value
    )
    found = statements(*(text[at : at + step] for at in range(0, len(text), step)))
    assert found == [b"COPY t FROM stdin;", b"<1>", b"SELECT 1;", b"COPY t FROM stdin;", b"<1>"]
