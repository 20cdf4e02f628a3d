"""What is refused of a dump is refused in the same words whether it goes on as text or in chunks."""

from __future__ import annotations

import pytest

from kleidia_backup.formats.errors import PayloadError
from kleidia_backup.stages.errors import DumpFailed
from kleidia_backup.stages.pg.dumps.reading import DumpChunks, DumpText

SCRIPT = (
    b"--\n-- head\n--\n\n\\restrict x\n\nSET lock_timeout = 0;\n\nCREATE TABLE s (id int, t text DEFAULT ';''');\n\n"
    b"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\n\nCOPY s (id) FROM stdin;\n1\t\\\\.\n"
    b"2\tb\n\\.\n\n\nSELECT pg_catalog.setval('s_id', 2);\n\nBEGIN;\n\nSELECT pg_catalog.lo_open('1', 131072);\n"
    b"SELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\nCREATE INDEX i ON s (id); /* x */\n\n\\unrestrict x\n\n"
)


def read(reader: DumpText | DumpChunks, text: bytes, size: int) -> bytes | str:
    """What goes on, or what is said of it."""
    found: list[bytes] = []
    try:
        for at in range(0, len(text), size):
            found += (each if isinstance(each, bytes) else each.data for each in reader.feed(text[at : at + size]))
        found += (each if isinstance(each, bytes) else each.data for each in reader.finish())
    except (DumpFailed, PayloadError) as error:
        return f"{type(error).__name__}: {error}"
    return b"".join(found)


@pytest.mark.parametrize("size", [7, 1_000_000])
def test_a_dump_that_ends_anywhere(size: int) -> None:
    """Only an end of rows without its line end is a matter of the chunks alone."""
    refused = 0
    for end in range(len(SCRIPT) + 1):
        text = SCRIPT[:end]
        as_text, cut = read(DumpText(), text, size), read(DumpChunks(), text, size)
        refused += isinstance(as_text, str)
        if text.endswith(b"\n\\."):
            assert cut == "PayloadError: The dump ends in the middle of a table's rows."
        else:
            assert cut == as_text
    assert refused > 100


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"SELECT 1;\n\\! id\n", "the psql command \\"),
        (b"SELECT 1\n\\! id\n;", "the psql command \\"),
        (b"SELECT '\0';\n", "a NUL byte"),
        (b"COMMIT;\n", "the statement COMMIT"),
        (b"BEGIN;\nSELECT 1;\nCOMMIT;\n", "the statement SELECT among large objects"),
        (b"BEGIN;\n", "large objects without an end"),
        (b"COPY a FROM '/etc/passwd';\n", "a COPY that is not from stdin, or has options"),
        (b"COPY a FROM stdin; SELECT 1;\n\\.\n", "something behind a COPY on its line"),
        (b"COPY a FROM stdin; ", "an end in the middle of a table's rows"),
        (b"COPY a FROM stdin;", "an end in the middle of a table's rows"),
        (b"SET client_encoding = sjis;\n", "the statement SET that changes how psql reads it"),
        (b"SELECT 1a$b$;\n", "a number that runs into a word"),
        (b"SELECT 'a", "an end in the middle of a literal"),
        (b"SELECT 1", "an end in the middle of a statement"),
    ],
)
def test_what_no_restore_would_take(text: bytes, what: str) -> None:
    """A dump that holds it is worth no archive."""
    as_text = read(DumpText(), SCRIPT + text, 1_000_000)
    assert isinstance(as_text, str)
    assert as_text == read(DumpChunks(), SCRIPT + text, 1_000_000) == read(DumpChunks(), SCRIPT + text, 11)
    assert f"The dump holds {what}" in as_text
    assert as_text.startswith("DumpFailed")


def test_rows_that_end_with_a_cr() -> None:
    """Chunks cannot hold them as they are; psql reads them all the same."""
    text = b"COPY a (x) FROM stdin;\n1\n\\.\r\n"
    assert read(DumpText(), text, 1000) == text
    assert "ends a table's rows with a CR" in str(read(DumpChunks(), text, 1000))
