"""Values that nobody needs are checked as strictly as the others, and never held."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.json.scan import MalformedJson, ValueSkipper
from kleidia_backup.formats.v1.payload_reader import PayloadReader

from .json_values import check_value

MIB = 1024 * 1024

ODD = st.sampled_from('"\\\n\x01\u00e9\u20ac\U0001f600')
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | ODD, max_size=40)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)


def skip(raw: bytes, size: int) -> bool:
    """Whether the value of an unknown member is accepted, when the payload comes in pieces of ``size`` bytes."""
    payload = b'{"future":' + raw + b',"database_sql":"x"}'
    reader = PayloadReader()
    sql = b""
    try:
        for at in range(0, len(payload), size):
            sql += b"".join(reader.update(payload[at : at + size]).sql)
        reader.finish()
    except DamagedArchive:
        return False
    return sql == b"x"


@given(JSON, st.integers(1, 20), st.booleans(), st.sampled_from([None, 1]))
def test_any_value_is_skipped(value: Any, size: int, ascii_only: bool, indent: int | None) -> None:
    """Whatever a later version adds, and however it is cut, what follows is read."""
    assert skip(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(), size)


@given(JSON, st.integers(1, 20))
def test_skipper_finds_the_end(value: Any, size: int) -> None:
    """The skipper finds the end of any value although what it has checked is thrown away."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    rest, taken = b"", 0
    skipper = ValueSkipper()
    for at in range(0, len(raw) + size, size):
        rest += (raw + b", more")[at : at + size]
        end = skipper.scan(rest)
        if end is not None:
            assert taken + end == len(raw)
            return
        taken += skipper.at
        rest = rest[skipper.at :]
        skipper.at = 0
    raise AssertionError("no end found")


@given(JSON, st.data())
def test_a_changed_byte_is_judged_as_elsewhere(value: Any, data: st.DataObject) -> None:
    """With any one byte changed, a skipped value is refused exactly when it is no JSON in valid UTF-8."""
    raw = bytearray(json.dumps(value, ensure_ascii=False).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert skip(bytes(raw), data.draw(st.integers(1, 9))) == is_json(bytes(raw))


def is_json(raw: bytes) -> bool:
    """Whether this is one value and nothing else, in UTF-8."""
    try:
        check_value(raw)
        raw.decode()
    except (MalformedJson, UnicodeDecodeError):
        return False
    return True


@pytest.mark.parametrize("filler", [b"x", b"\\u00e9\\\\", "\u00e9".encode(), b"\\ud83d"])
def test_long_strings_anywhere(filler: bytes) -> None:
    """Strings of many megabytes are skipped at any depth, and their memory is that of a few pieces."""
    piece = filler * (MIB // len(filler))
    reader = PayloadReader()
    tracemalloc.start()
    try:
        reader.update(b'{"a":"')
        for _ in range(12):
            reader.update(piece)
        reader.update(b'","b":[{"')
        for _ in range(12):
            reader.update(piece)
        reader.update(b'":1')
        for _ in range(12):
            reader.update(b" " * MIB)
        reader.update(b"}]}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reader.finish()
    assert peak < 8 * MIB


def test_a_number_without_an_end() -> None:
    """A number of an unknown member is the one thing that must be held; one of megabytes is refused."""
    reader = PayloadReader(max_secret=2 * MIB)
    reader.update(b'{"a":1')
    reader.update(b"0" * MIB)
    with pytest.raises(DamagedArchive, match="number of an unknown member is too long"):
        reader.update(b"0" * MIB)
