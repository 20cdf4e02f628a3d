"""The payload: any text and any JSON come back, for any cut; what is no payload is refused."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.json.scan import (
    MAX_DEPTH,
    PLAIN_OBJECT,
    MalformedJson,
    ValueScanner,
    cut_string,
    end_string,
)
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.v1.header import Header
from kleidia_backup.formats.v1.payload import PayloadWriter
from kleidia_backup.formats.v1.payload_reader import Parts, PayloadReader

from .json_values import check_value

HEADER = Header(
    created_at=datetime(2026, 1, 17, 12, tzinfo=UTC),
    backup_type="full",
    includes_db=True,
    includes_kv=True,
    includes_audit=True,
)
INNER = {
    "version": 1,
    "created_at": "2026-01-17T12:00:00Z",
    "backup_type": "full",
    "includes_db": True,
    "includes_kv": True,
    "includes_audit_logs": True,
}

#: PostgreSQL holds any character but NUL and surrogates.
SQL_TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.sampled_from("\"\\/\n\t\r\x01\x1f\x7f\u2028\u2029\ufeff\uffff\U0001f600\U0010ffff'$"),
    ),
    max_size=300,
)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**80), max_value=2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 + 1, 2**63, -(2**63), 2**64 - 1, 10**400]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, SQL_TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(SQL_TEXT, inner, max_size=4)),
    max_leaves=25,
)
PATHS = st.one_of(SQL_TEXT.filter(bool), st.sampled_from(["foo", "foo/", "foo/bar", "a b%#?+", "é", "e\u0301"]))


def write(sql: bytes, secrets: list[Secret], cuts: list[int]) -> bytes:
    writer = PayloadWriter(HEADER)
    out = [writer.begin()]
    at = 0
    for cut in [*sorted(min(c, len(sql)) for c in cuts), len(sql)]:
        out.append(writer.sql(sql[at:cut]))
        at = cut
    out += [writer.end_sql(), writer.secrets(secrets), writer.finish()]
    return b"".join(out)


def read(payload: bytes, size: int = 1 << 20) -> Parts:
    reader = PayloadReader()
    whole = Parts()
    for at in range(0, len(payload), size):
        parts = reader.update(payload[at : at + size])
        whole.sql += parts.sql
        whole.secrets += parts.secrets
        whole.header = parts.header or whole.header
    reader.finish()
    return whole


@given(
    SQL_TEXT, st.dictionaries(PATHS, JSON, max_size=6), st.lists(st.integers(0, 500), max_size=6), st.integers(1, 99)
)
def test_what_is_written_is_read(sql: str, vault: dict[str, Any], cuts: list[int], size: int) -> None:
    """Encode then decode is the identity, whatever the cuts on either side; values stay as they were written."""
    secrets = [Secret(path, json.dumps(value).encode()) for path, value in vault.items()]
    payload = write(sql.encode(), secrets, cuts)
    parts = read(payload, size)
    assert b"".join(parts.sql).decode() == sql
    assert parts.secrets == secrets
    assert parts.header == INNER
    assert json.loads(payload) == {"header": INNER, "database_sql": sql, "vault_secrets": vault}


@given(SQL_TEXT, st.dictionaries(PATHS, JSON, max_size=4), st.integers(1, 99), st.booleans(), st.integers(0, 2))
def test_other_writers(sql: str, vault: dict[str, Any], size: int, ascii_only: bool, rotate: int) -> None:
    r"""Any member order, \u escapes, white space and unknown members are read."""
    members = [("header", INNER), ("database_sql", sql), ("vault_secrets", vault)]
    members = members[rotate:] + members[:rotate]
    document = dict([("future", {"deep": [[{}], "x" * 50]}), *members, ("more", "string"), ("n", 1.5)])
    payload = json.dumps(document, ensure_ascii=ascii_only, indent=1).encode()
    parts = read(payload, size)
    assert b"".join(parts.sql).decode() == sql
    assert {s.path: json.loads(s.value) for s in parts.secrets} == vault
    assert parts.header == INNER


@given(st.lists(st.integers(0, 2000), max_size=10))
def test_any_cut_of_the_sql_gives_the_same_bytes(cuts: list[int]) -> None:
    """The writer's output does not depend on how pg_dump's output was cut, even inside a character."""
    sql = 'é\u2028\U0001f600"\\\n'.encode() * 100
    assert write(sql, [], cuts) == write(sql, [], [])


@pytest.mark.parametrize("document", [b"{}", b'{"database_sql":null,"vault_secrets":null}', b' {"header" : {} } \n'])
def test_absent_and_null_members(document: bytes) -> None:
    """Missing, null and empty members are no SQL and no secrets."""
    parts = read(document)
    assert (parts.sql, parts.secrets) == ([], [])


MALFORMED = [
    b'{"database_sql":"x"',
    b'{"database_sql":"x',
    b'{"database_sql":"x\\',
    b'{"vault_secrets":{"a":{"b":1}',
    b'{"vault_secrets":{"a":',
    b'{"vault_secrets":{"a":{},}}',
    b'{"vault_secrets":{"a" {}}}',
    b'{"vault_secrets":[]}',
    b'{"vault_secrets":{"a":01}}',
    b'{"vault_secrets":{"a":+1}}',
    b'{"vault_secrets":{"a":tru}}',
    b'{"vault_secrets":{"a":{"b":1 "c":2}}}',
    b'{"vault_secrets":{"a":[1,]}}',
    b'{"vault_secrets":{"a":"\x01"}}',
    b'{"vault_secrets":{"a":"\xff"}}',
    b'{"vault_secrets":{"a":"\\x"}}',
    b'{"database_sql":"\xc3"}',
    b'{"database_sql":"\\ud800"}',
    b'{"database_sql":"' + b"\\ud83d" * 20 + b'"}',
    b'{"database_sql":"\x01"}',
    b'{"database_sql":1}',
    b'{"database_sql":"","database_sql":""}',
    b'{"header":[]}',
    b'{"header":{}},',
    b"{} {}",
    b"[]",
    b"",
    b"   ",
    b"nul",
    b'{"vault_secrets":{"a":NaN}}',
    b"{1:2}",
]


@pytest.mark.parametrize("document", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("size", [1, 1000])
def test_malformed(document: bytes, size: int) -> None:
    """What is not the JSON it should be is a damaged payload, for any cut."""
    with pytest.raises(DamagedArchive) as caught:
        read(document, size)
    assert caught.value.layer == "payload"


def test_a_secret_over_the_limit_is_refused_before_it_is_held() -> None:
    """A 100 MB secret is refused after little more than the limit."""
    reader = PayloadReader(max_secret=2 << 20)
    reader.update(b'{"vault_secrets":{"big":{"v":"')
    reader.update(b"x" * (1 << 20))
    with pytest.raises(DamagedArchive, match="'big' is larger than"):
        reader.update(b"x" * (1 << 20))


def test_nesting() -> None:
    """As deep as Go's parser goes, and no deeper; no recursion is involved."""
    for depth, fine in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False)):
        value = b'{"a":' * (depth - 1) + b"[]" + b"}" * (depth - 1)
        payload = b'{"vault_secrets":{"deep":' + value + b"}}"
        if fine:
            assert read(payload, 777).secrets == [Secret("deep", value)]
        else:
            with pytest.raises(DamagedArchive, match="nested deeper"):
                read(payload, 777)


def test_sql_that_is_not_utf8() -> None:
    """Other bytes, or a sequence cut at the end, are refused with the way out."""
    writer = PayloadWriter(HEADER)
    with pytest.raises(PayloadError, match="SQL_ASCII"):
        writer.sql(b"caf\xe9 au lait")
    writer = PayloadWriter(HEADER)
    writer.sql(b"caf\xc3")
    with pytest.raises(PayloadError, match="UTF-8"):
        writer.end_sql()


@given(JSON, st.integers(1, 20))
@settings(max_examples=200)
def test_scanner_finds_the_end(value: Any, size: int) -> None:
    """The scanner finds the end of any value in a buffer that grows piece by piece."""
    raw = json.dumps(value).encode()
    check_value(raw)
    buffer = raw + b", more"
    scanner = ValueScanner()
    for end in range(0, len(buffer) + size, size):
        found = scanner.scan(buffer[:end])
        if found is not None:
            assert found == len(raw)
            return
    raise AssertionError("no end found")


@given(
    st.dictionaries(SQL_TEXT, JSON, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from([*(b"%c" % each for each in b'{}[]:,"\\0e.- x\x01'), b""]))
    ),
    st.sampled_from([None, 1]),
)
@settings(max_examples=300)
def test_one_match_finds_the_end_that_the_scanner_finds(
    value: Any, changes: list[tuple[int, bytes]], indent: int | None
) -> None:
    """A secret that one match takes is one that the scanner takes, to the same end, however it was mangled."""
    raw = json.dumps(value, indent=indent).encode()
    for at, other in changes[:3]:
        raw = raw[:at] + other + raw[at + 1 :]
    if match := PLAIN_OBJECT.match(raw + b" "):
        assert ValueScanner().scan(raw + b" ") == match.end()


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"{}", True),
        (b'{"a":{"b":{"c":1}}}', True),
        (b'{ "a" : [ [ 1 , "x" ] , { "b" : null } , [ ] , { } ] , "c" : -1.5e3 }', True),
        (b'{"a":{"b":{"c":{}}}}', False),
        (b'{"a":[[[]]]}', False),
        (b'{"a":[1,]}', False),
        (b'{"a":[,1]}', False),
        (b'{"a":{"b":1,}}', False),
        (b'{"a":[1 2]}', False),
        (b'{"a":[01]}', False),
    ],
)
def test_one_match_takes_what_is_nested_a_little(raw: bytes, plain: bool) -> None:
    """Three levels, the object's own among them; the scanner sees to all else."""
    assert (PLAIN_OBJECT.match(raw) is not None) == (plain and sys.hexversion >= 0x030B05F0)


@given(st.binary(max_size=40))
def test_scanner_agrees_with_the_standard_library(raw: bytes) -> None:
    """What the scanner takes, json.loads takes (but for NaN, which JSON has not), and the other way round."""
    for text in (raw, b'{"a":' + raw + b"}", b"[" + raw + b"]"):
        try:
            check_value(text)
        except MalformedJson:
            ours = False
        else:
            ours = True
        try:
            json.loads(text.decode(), parse_constant=int)
        except ValueError:
            theirs = False
        else:
            theirs = True
        try:
            text.decode()
        except UnicodeDecodeError:
            continue
        assert ours == theirs


@given(SQL_TEXT, st.booleans())
def test_every_cut_of_a_string_is_between_characters(text: str, ascii_only: bool) -> None:
    """Wherever a long string is cut, what comes before the cut is a string, and little is held back."""
    raw = json.dumps(text, ensure_ascii=ascii_only).encode()[1:]
    for end in range(len(raw)):
        cut = cut_string(raw[:end])
        assert end_string(raw[:end]) is None
        assert end - cut <= 11
        assert text.startswith(json.loads(b'"' + raw[:cut] + b'"'))
    assert end_string(raw) == len(raw) - 1
    assert end_string(raw + b'\\"') == len(raw) - 1


@pytest.mark.parametrize("backslashes", [2, 3, 4, 5])
def test_a_cut_among_backslashes(backslashes: int) -> None:
    """An escape is cut off as a whole, however many escaped backslashes stand before it."""
    row = b"\\" * backslashes
    assert cut_string(b"a" + row) == 1 + backslashes - backslashes % 2
    whole = 1 + backslashes - backslashes % 2
    assert cut_string(b"a" + row + b"u00") == (whole if backslashes % 2 else 4 + backslashes)
    assert cut_string(b"a" + row + b"ud83d") == (whole if backslashes % 2 else 6 + backslashes)
