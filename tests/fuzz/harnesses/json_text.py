"""JSON as text: our scanner, which builds nothing, beside Python's parser; and when two texts mean the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

from kleidia_backup.formats.json import text as jsontext
from kleidia_backup.formats.json.scan import MalformedJson, ValueScanner, ValueSkipper

from ..harness import Harness, expect_same, joined, parts, pieces, words


def one(data: bytes) -> None:
    """``sizes ␞ JSON ␞ other JSON``."""
    sizes, text, other = parts(data, 3)
    try:
        text.decode()
        other.decode()
    except UnicodeDecodeError:
        return
    theirs = _loads(text)
    if theirs is _TOO_DEEP:
        return
    expect_same(_scanned(text, ValueScanner()), theirs is not _NONE, "whether it is JSON")
    cut = list(pieces(text + b" ", sizes))
    expect_same(_in_pieces(cut, ValueScanner()), theirs is not _NONE, "whether it is JSON, in pieces")
    expect_same(_in_pieces(cut, ValueSkipper()), theirs is not _NONE, "whether it is JSON, skipped in pieces")
    if theirs is _NONE:
        return
    if isinstance(theirs, dict):
        _members(text, theirs)
    second = _loads(other)
    if second is not _NONE and second is not _TOO_DEEP and not {_TWICE, _HUGE} & {*_marks(theirs), *_marks(second)}:
        expect_same(jsontext.same(text, other), theirs == second, "whether two texts mean the same")
        expect_same(jsontext.meaning(text) == jsontext.meaning(other), theirs == second, "two meanings")


_NONE, _TOO_DEEP = object(), object()
_TWICE, _HUGE = "a member twice", "a number that is not counted"


def _no(_: str) -> NoReturn:
    raise ValueError


def _loads(text: bytes) -> Any:
    """Python's reading, numbers exact and apart from everything else."""

    def number(digits: str) -> tuple[str, Any]:
        try:
            exact = Decimal(digits)
        except DecimalException:
            return "number", _HUGE
        return "number", _HUGE if exact and abs(exact.adjusted()) > 10_000 else exact

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else dict(pairs) | {_TWICE: _TWICE}

    try:
        return json.loads(
            text.decode(), parse_constant=_no, parse_float=number, parse_int=number, object_pairs_hook=once
        )
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return _NONE


def _marks(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [
            *(name for name in value if name == _TWICE),
            *(mark for each in value.values() for mark in _marks(each)),
        ]
    if isinstance(value, list | tuple):
        return [mark for each in value for mark in _marks(each)]
    return [value] if isinstance(value, str) and value == _HUGE else []


def _scanned(text: bytes, scanner: ValueScanner) -> bool:
    whole = text + b" "
    try:
        end = scanner.scan(whole)
    except MalformedJson:
        return False
    return end is not None and not whole[end:].strip(b" \t\n\r")


def _in_pieces(cut: list[bytes], scanner: ValueScanner) -> bool:
    """As the payload's reader does it: what was passed is dropped."""
    buffer = b""
    for number, piece in enumerate(cut):
        buffer += piece
        try:
            end = scanner.scan(buffer)
        except MalformedJson:
            return False
        if end is not None:
            return not (buffer[end:] + b"".join(cut[number + 1 :])).strip(b" \t\n\r")
        buffer = buffer[scanner.at :]
        scanner.at = 0
    return False


def _members(text: bytes, theirs: dict[str, Any]) -> None:
    if _TWICE in theirs:
        return
    found = jsontext.members(text)
    expect_same({name: _loads(value) for name, value in found.items()}, theirs, "members")
    for name in theirs:
        expect_same(jsontext.member(text, name), found[name], "a member")


def seeds() -> Mapping[str, bytes]:
    """Values of every kind, and pairs that mean the same."""
    return {
        "object": joined(
            b"\1\3",
            b'{"a": [1, -2.50e+3, true, null], "\\u00e9": {"b": ""}}',
            b'{"\xc3\xa9":{"b":""},"a":[1,-2500,true,null]}',
        ),
        "numbers": joined(b"", b"[0, -0, 0.10, 1E2, 100]", b"[0,0,0.1,1e2,1.00e2]"),
        "strings": joined(b"\2", rb'["\ud83d\ude00\"\\\/", "\ud800"]', '["😀\\"\\\\/","\\ud800"]'.encode()),
        "spaces": joined(b"\1", b" \t\r\n{ } ", b"{}"),
        "no": joined(b"\4", b'{"a":1,}', b"[1 2]"),
    }


_WORDS = words(
    rb"""
    null true false NaN Infinity -0 1e999 0.10 1E+2 00 "": {} [] , ]] }} \ud800 \udc00 \u0041 \" [[[[[[[[ {"a":
    """,
    b"\\\\",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\x7f",
    b"\t",
)
HARNESSES = {"json": Harness(one, seeds, _WORDS, 1024)}
