"""JSON as text: cut a member out, and compare two values, without recursion and without floats.

Go's decoder takes values nested 10,000 deep and numbers of any length. The usual Python decoders raise
``RecursionError`` on the first and round the second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from hashlib import sha256

from .scan import ValueScanner
from .strict import without_duplicates

_TOKEN = re.compile(rb'\s*("[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+)', re.DOTALL)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def member(text: bytes, name: str) -> bytes | None:
    """The text of an object's member, or None when it has none of that name. The last of two equal names wins.

    Raises ``ValueError`` when the text is no object, or ends early.
    """
    return dict(_members(text)).get(name)


def members(text: bytes) -> dict[str, bytes]:
    """The members of an object, each as its text.

    Raises ``ValueError`` when the text is not one JSON object and nothing else, or has a member twice.
    """
    end = ValueScanner().scan(text)
    if end is None or text[end:].strip(b" \t\r\n"):
        raise ValueError("not one JSON object")
    return without_duplicates(list(_members(text)))


def _members(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and value of each, in order."""
    token, at = _token(text, 0)
    if token != b"{":
        raise ValueError("not a JSON object")
    token, at = _token(text, at)
    while token != b"}":
        key = json.loads(token)
        colon, at = _token(text, at)
        end = ValueScanner(at).scan(text)
        if colon != b":" or end is None:
            raise ValueError("a name without a value")
        yield key, text[at:end].strip()
        token, at = _token(text, end)
        if token == b",":
            token, at = _token(text, at)
        elif token != b"}":
            raise ValueError("an object without its end")


def _token(text: bytes, at: int) -> tuple[bytes, int]:
    match = _TOKEN.match(text, at)
    if match is None:
        raise ValueError("JSON ends early")
    return match.group(1), match.end()


def strings(text: bytes) -> int:
    """How many strings a JSON text holds, names of members included; what a server's limit on a request counts."""
    return sum(1 for _ in _STRING.finditer(text))


def same(one: bytes, other: bytes, *, as_float: bool = False) -> bool:
    """Whether two JSON texts mean the same value: order of members, spaces and escapes aside.

    Numbers are compared exactly, whatever their length; with ``as_float`` as the 64-bit floats that KV version 2
    turns them into when it is read.
    """
    if one == other:
        return True
    try:
        return _digest(one, as_float=as_float) == _digest(other, as_float=as_float)
    except ValueError:
        return False


def meaning(text: bytes) -> bytes:
    """32 bytes that two JSON texts share if they mean the same value, as ``same`` says (numbers exactly).

    Raises ``ValueError`` for what is no JSON.
    """
    return _digest(text, as_float=False)


class _Object:
    """An object that is being read: its members so far, and the name whose value comes next."""

    __slots__ = ("members", "name")

    def __init__(self) -> None:
        self.members: dict[bytes, bytes] = {}
        self.name: bytes | None = None


def _digest(text: bytes, *, as_float: bool) -> bytes:
    """A digest of the meaning: of a leaf over its value, of a container over the digests of what it holds."""
    open_: list[_Object | list[bytes]] = []
    at = 0
    while True:
        token, at = _token(text, at)
        inside = open_[-1] if open_ else None
        if token in {b",", b":"}:
            continue
        if token in {b"{", b"["}:
            open_.append(_Object() if token == b"{" else [])
            continue
        if token in {b"}", b"]"}:
            if inside is None:
                raise ValueError("an end without a beginning")
            done = _container(open_.pop())
        elif isinstance(inside, _Object) and inside.name is None:
            inside.name = _leaf(token, as_float=as_float)
            continue
        else:
            done = _leaf(token, as_float=as_float)
        if not open_:
            return done
        outer = open_[-1]
        if isinstance(outer, list):
            outer.append(done)
        elif outer.name is not None:
            outer.members[outer.name] = done
            outer.name = None


def _container(closed: _Object | list[bytes]) -> bytes:
    if isinstance(closed, list):
        return sha256(b"[" + b"".join(closed)).digest()
    return sha256(b"{" + b"".join(name + value for name, value in sorted(closed.members.items()))).digest()


def _leaf(token: bytes, *, as_float: bool) -> bytes:
    if token.startswith(b'"'):
        text = json.loads(token.decode(), strict=False)
        return sha256(b'"' + text.encode(errors="surrogatepass")).digest()
    if token in {b"true", b"false", b"null"}:
        return sha256(token).digest()
    return sha256(b"0" + _number(token.decode(), as_float=as_float).encode()).digest()


def _number(text: str, *, as_float: bool) -> str:
    if as_float:
        return repr(float(text) + 0.0)  # -0 and 0 are one number
    try:
        _, digits, exponent = Decimal(text).as_tuple()
    except DecimalException:  # an exponent beyond 10^18
        return text
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant:
        return "0"
    stripped = significant.rstrip("0")
    sign = "-" if text.startswith("-") else ""
    return f"{sign}{stripped}e{int(exponent) + len(significant) - len(stripped)}"
