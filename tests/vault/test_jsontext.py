"""JSON as text."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.json import text as jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_sameness_is_equality_of_values(one: object, other: object) -> None:
    """Two texts are the same exactly when exact parsing says so, however they are written."""

    def exact(text: str) -> object:
        return json.loads(text, parse_int=lambda n: ("n", Decimal(n)), parse_float=lambda n: ("n", Decimal(n)))

    left, right = json.dumps(one), json.dumps(other, ensure_ascii=False)
    assert jsontext.same(left.encode(), right.encode()) == (exact(left) == exact(right))


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_other_spelling_is_the_same(value: dict[str, object]) -> None:
    """Order of members, spaces and escapes mean nothing."""
    turned = dict(reversed(value.items()))
    spelled = json.dumps(turned, indent=1, ensure_ascii=False).replace("<", "\\u003c").encode()
    assert jsontext.same(json.dumps(value).encode(), spelled)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("1", "1.0", True),
        ("100", "1e2", True),
        ("-0", "0", True),
        ("0.1", "0.10", True),
        ("12345678901234567890", "12345678901234567891", False),
        ("9007199254740993", "9007199254740992", False),
        ("1e400", "1e401", False),
        ("1e999999999999999999999", "2e999999999999999999999", False),
        ("true", "1", False),
        ("null", "{}", False),
        ("[]", "{}", False),
        ('"1"', "1", False),
        ("[[1],2]", "[[1,2]]", False),
        ('{"a":{"b":1}}', '{"a":1,"b":{}}', False),
        ('{"a":1,"a":2}', '{"a":2}', True),
        ('"\\ud83d\\ude00"', '"😀"', True),
    ],
)
def test_sameness_by_example(one: str, other: str, *, expected: bool) -> None:
    """Numbers exactly, kinds apart."""
    assert jsontext.same(one.encode(), other.encode()) is expected


def test_numbers_as_a_versioned_vault_reads_them() -> None:
    """As floats, what KV version 2 makes of a long number is that number."""
    assert jsontext.same(b"12345678901234567890", b"12345678901234567000", as_float=True)
    assert jsontext.same(b"-0.0", b"-0", as_float=True)
    assert not jsontext.same(b"1", b"2", as_float=True)


def test_depth_does_not_matter() -> None:
    """Values nested 10,000 deep are compared and cut out without recursion."""
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    assert jsontext.same(deep, deep.replace(b":", b" : "))
    assert not jsontext.same(deep, deep.replace(b"1", b"2"))
    assert jsontext.member(b'{"x":[],"data" : ' + deep + b"}", "data") == deep


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"data":1}', b"1"),
        ('{"a":{"data":2},"data":{"x":"}"}}', b'{"x":"}"}'),
        ('{"d\\u0061ta":"\\""}', b'"\\""'),
        ('{"data":1,"data":[2]}', b"[2]"),
        ("{}", None),
    ],
)
def test_member(text: str, expected: bytes | None) -> None:
    """The member of the outermost object, the last of that name."""
    assert jsontext.member(text.encode(), "data") == expected


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1]', '{"a" 1}', '{"a":[1}'])
def test_what_is_no_object_has_no_members(text: str) -> None:
    """Text that ends early or is something else raises ``ValueError``."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        jsontext.member(text.encode(), "data")


def test_strings_are_counted_as_a_server_counts_them() -> None:
    """Names and values; numbers are not strings."""
    assert jsontext.strings(b'{"a":"b","c":1,"d":["\\"",{"e":"f"}]}') == 7
