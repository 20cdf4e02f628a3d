"""Rows of COPY to CSV: as PostgreSQL writes it, wherever the text is cut."""

from __future__ import annotations

import csv
import io
import random
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.sql.csv import CopyToCsv, columns_of
from kleidia_backup.formats.sql.pieces import Unfit

COLUMNS = {
    b"COPY public.t (a) FROM stdin;": [b"a"],
    b'COPY public.t (a, "B c", "d""e", "f,g)") FROM stdin;': [b"a", b"B c", b'd"e', b"f,g)"],
    b'COPY "x (y)"."t (u)" (a, b) FROM stdin;': [b"a", b"b"],
    b"COPY public.t  FROM stdin;": [],
    "COPY public.t (é) FROM stdin;".encode(): ["é".encode()],
}


@pytest.mark.parametrize(("statement", "names"), COLUMNS.items())
def test_the_columns_of_a_copy(statement: bytes, names: list[bytes]) -> None:
    """Their names as they are, whatever they hold."""
    assert columns_of(statement) == names


def converted(text: bytes, columns: int, cuts: list[int]) -> bytes:
    names = b", ".join(b"c%d" % at for at in range(columns))
    made = CopyToCsv(b"COPY public.t (" + names + b") FROM stdin;")
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    out = b"".join(made.feed(text[a:b]) for a, b in pairwise(places))
    made.finish()
    assert made.rows == 0 or out
    return made.header() + out


VALUES = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.sampled_from(["", ",", '"', "\\N", "\\.", "a\r\n", "\\\\", "\t", 'x,"y"', "\\t", " "]),
)


def as_copy(value: str | None) -> bytes:
    """A value as COPY writes it."""
    if value is None:
        return rb"\N"
    for raw, escaped in (
        ("\\", "\\\\"),
        ("\b", "\\b"),
        ("\f", "\\f"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
        ("\v", "\\v"),
    ):
        value = value.replace(raw, escaped)
    return value.encode()


@given(
    st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), max_size=5)),
    st.lists(st.integers(0, 500), max_size=4),
)
def test_any_value_is_read_again(rows: list[list[str | None]], cuts: list[int]) -> None:
    """By Python's reader, which tells no NULL from an empty text; by the quotes, which do."""
    if not rows:
        return
    text = b"".join(b"\t".join(map(as_copy, row)) + b"\n" for row in rows)
    made = converted(text, len(rows[0]), cuts)
    _, *found = csv.reader(io.StringIO(made.decode(), newline=""), strict=True)
    if len(rows[0]) == 1:  # a NULL alone is an empty line, which that reader takes for no row at all
        found = [row or [""] for row in found]
    assert found == [[value or "" for value in row] for row in rows]
    assert made == converted(text, len(rows[0]), [])


KINDS = {
    "what COPY may read and never writes": (rb"\x41\101\q\	x" + b"\t2\n", b"AAq\tx,2\n"),
    "an end of line behind a backslash": (b"a\\\nb\t2\n", b'"a\nb",2\n'),
    "NULL and empty": (b"\\N\t\n\t\\N\n", b',""\n"",\n'),
    "a backslash and N": (rb"\\N" + b"\t\\N\n", b"\\N,\n"),
}


@pytest.mark.parametrize(("text", "expected"), KINDS.values(), ids=KINDS)
def test_kinds_of_values(text: bytes, expected: bytes) -> None:
    """At every cut."""
    for cut in range(len(text)):
        assert converted(text, 2, [cut]) == b"c0,c1\n" + expected


@pytest.mark.parametrize("text", [b"1\n", b"1\t2\t3\n", b"1\t2\n\n", b"1\t2\n1\n1\t2\t3\n", b"1\t2\n3\t4", b"1\\\t2\n"])
def test_rows_that_are_none(text: bytes) -> None:
    """Of other columns, or cut short."""
    with pytest.raises(Unfit):
        converted(text, 2, [])


@pytest.mark.parametrize("text", [b"x\n", b"\nx\n", b"x\n\n"])
def test_a_table_without_a_column_has_no_values(text: bytes) -> None:
    """Whatever stands beside them."""
    with pytest.raises(Unfit):
        CopyToCsv(b"COPY t FROM stdin;").feed(text)


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_as_the_server_writes_it(columns: int, database: str) -> None:
    """To the byte: its own COPY as text, converted, is its own COPY as CSV."""
    chance = random.Random(columns)
    letters = ["", "a", ",", '"', "\\", "\\.", "\\N", "\n", "\r", "\t", "\b", "\f", "\v", " ", "é", "\U0001f511", "'"]
    names = ["a", '"B, c"', '"d""e"'][:columns]
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} text' for name in names)})".encode())
        for _ in range(400):
            row: list[Any] = [
                chance.choice([None, "".join(chance.choices(letters, k=chance.randrange(4)))]) for _ in names
            ]
            if names:
                connection.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * columns)})".encode(), row)
            else:
                connection.execute("INSERT INTO t DEFAULT VALUES")

        def copied(options: str) -> bytes:
            with connection.cursor().copy(f"COPY t TO STDOUT {options}".encode()) as rows:
                return b"".join(map(bytes, rows))

        text, expected = copied(""), copied("(FORMAT csv, HEADER)")
    listed = f"({', '.join(names)})" if names else ""
    made = CopyToCsv(f"COPY public.t {listed} FROM stdin;".encode())
    found = made.header() + b"".join(made.feed(text[at : at + 100]) for at in range(0, len(text), 100))
    made.finish()
    assert found == expected
    assert made.rows == 400


def test_the_columns_of_another_copy_of_the_table() -> None:
    """Their order is that of the first, whatever rows hold; other columns are no rows of the same table."""
    first = CopyToCsv(b"COPY t (a, b, c) FROM stdin;")
    same, other = (CopyToCsv(b"COPY t (" + names + b") FROM stdin;", first) for names in (b"a, b, c", b'c, "a", b'))
    assert (same.header(), other.header()) == (b"a,b,c\n", b"a,b,c\n")
    assert same.feed(b"1\t2\t3\n") == b"1,2,3\n"
    assert other.feed(b"3\t1\t2\n\\N\tx\\\ty\t\n") == b'1,2,3\nx\ty,"",\n'
    assert other.rows == 2
    with pytest.raises(Unfit):
        other.feed(b"1\t2\n")
    with pytest.raises(Unfit):
        CopyToCsv(b"COPY t (a, b, d) FROM stdin;", first)
