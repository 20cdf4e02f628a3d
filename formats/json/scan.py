"""Finding where a JSON value ends, strictly and without recursion, in a buffer that may end anywhere.

A parser that builds values would hold them, change numbers, and end at Python's recursion limit; a vault may hold
what Go's parser takes: 10,000 levels.
"""

from __future__ import annotations

import re
import sys

#: Deepest nesting of a value, as in Go's encoding/json.
MAX_DEPTH = 10_000

_WS = rb"[ \t\n\r]*+"
_CHARS = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_ESCAPE_START = rb"(?:\\(?:u[0-9a-fA-F]{0,3})?)?"
_STRING = rb'"' + _CHARS + rb'"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?=[ \t\n\r,\]}])"
_SCALAR = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)"


def _object(value: bytes) -> bytes:
    member = _STRING + _WS + rb":" + _WS + value + _WS
    return rb"\{" + _WS + rb"(?:" + member + rb"(?:," + _WS + rb'(?=")|(?=\})))*+\}'


def _with_containers(value: bytes) -> bytes:
    array = rb"\[" + _WS + rb"(?:" + value + _WS + rb"(?:," + _WS + rb"(?!\])|(?=\])))*+\]"
    return rb"(?:" + value + rb"|" + _object(value) + rb"|" + array + rb")"


#: Before CPython 3.11.5 a possessive repeat may end in the middle of an item; there this matches nothing.
_PLAIN = rb"(?!)" if sys.hexversion < 0x030B05F0 else _object(_with_containers(_with_containers(_SCALAR)))

#: An object with two more levels in it at most: what nearly every secret is. One match is many times as fast as a look
#: at every token.
PLAIN_OBJECT = re.compile(_PLAIN)
#: A further member whose value is such an object, from the comma before it on: the name and the value.
PLAIN_MEMBER = re.compile(_WS + rb"," + _WS + rb"(" + _STRING + rb")" + _WS + rb":" + _WS + rb"(" + _PLAIN + rb")")
STRING = re.compile(_STRING)
WHITESPACE = re.compile(_WS)
_CHARACTERS = re.compile(_CHARS)
_PARTIAL_ESCAPE = re.compile(_ESCAPE_START + rb"\Z")
_TOKEN = re.compile(_WS + rb"(?:([{}\[\]:,])|(" + _STRING + rb")|(" + _NUMBER + rb"|true|false|null))")
#: What an unfinished token at the end of a buffer looks like.
_PARTIAL = re.compile(
    _WS
    + rb'(?:"'
    + _CHARS
    + _ESCAPE_START
    + rb"|-?[0-9]*+(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]*+)?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)?\Z"
)

# What may come next.
_VALUE, _VALUE_OR_CLOSE, _KEY, _KEY_OR_CLOSE, _COLON, _COMMA_OR_CLOSE = range(6)


class MalformedJson(ValueError):
    """The bytes are no JSON, or nested deeper than ``MAX_DEPTH``; the message says which."""


class ValueScanner:
    """Finds the end of one JSON value. Feed it a growing buffer; it never looks at a token twice."""

    def __init__(self, start: int = 0, *, inside: int = 0) -> None:
        """``inside`` is how many levels deeper it may go, for what holds values of their own."""
        #: Where the next token begins: the bytes before it were checked.
        self.at = start
        self._open = bytearray()
        self._expect = _VALUE
        self._deepest = MAX_DEPTH + inside

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """The index after the value, or None when the buffer ends first. Raises ``MalformedJson``."""
        while match := _TOKEN.match(buffer, self.at):
            self.at = match.end()
            punctuation, string, _ = match.groups()
            if punctuation:
                self._punctuation(punctuation)
            else:
                self._scalar(name=bool(string))
            if not self._open and self._expect == _COMMA_OR_CLOSE:
                return self.at
        if not _PARTIAL.match(buffer, self.at):
            raise MalformedJson("not JSON")
        if match := WHITESPACE.match(buffer, self.at):
            self.at = match.end()
        return None

    def _scalar(self, *, name: bool) -> None:
        if name and self._expect in (_KEY, _KEY_OR_CLOSE):
            self._expect = _COLON
        elif self._expect in (_VALUE, _VALUE_OR_CLOSE):
            self._expect = _COMMA_OR_CLOSE
        else:
            raise MalformedJson("a value where none may be")

    def _punctuation(self, token: bytes) -> None:
        expect = self._expect
        if token in b"{[" and expect in (_VALUE, _VALUE_OR_CLOSE):
            if len(self._open) == self._deepest:
                raise MalformedJson(f"nested deeper than {self._deepest} levels")
            self._open += token
            self._expect = _KEY_OR_CLOSE if token == b"{" else _VALUE_OR_CLOSE
        elif token == b":" and expect == _COLON:
            self._expect = _VALUE
        elif token == b"," and expect == _COMMA_OR_CLOSE:
            self._expect = _KEY if self._open.endswith(b"{") else _VALUE
        elif (token == b"}" and self._open.endswith(b"{") and expect in (_KEY_OR_CLOSE, _COMMA_OR_CLOSE)) or (
            token == b"]" and self._open.endswith(b"[") and expect in (_VALUE_OR_CLOSE, _COMMA_OR_CLOSE)
        ):
            del self._open[-1:]
            self._expect = _COMMA_OR_CLOSE
        else:
            raise MalformedJson(f"{token.decode()} where it may not be")


class ValueSkipper(ValueScanner):
    """As ``ValueScanner``, for a value that is not needed: strings are checked piece by piece, so that none is held."""

    _inside = False

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """As ``ValueScanner.scan``; what stands before ``at`` may end inside a string."""
        if not self._inside:
            end = super().scan(buffer)
            if end is not None or buffer[self.at : self.at + 1] != b'"':
                return end
            self._inside = True
            self.at += 1
        if match := _CHARACTERS.match(buffer, self.at):
            self.at = match.end()
        if buffer[self.at : self.at + 1] == b'"':
            self.at += 1
            self._inside = False
            self._scalar(name=True)
            return self.scan(buffer) if self._open else self.at
        if not _PARTIAL_ESCAPE.match(buffer, self.at):
            raise MalformedJson("not JSON")
        return None


# Strings that are too long to hold ----------------------------------------------------------------------------

_HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_U = ord("u")
#: Bytes that a cut holds back, at most; more only where lone surrogates stand in a row, which no text has.
MAX_HELD_BACK = 32


def end_string(piece: bytes) -> int | None:
    """Where a string ends that began before the piece, between two characters; None when it goes on."""
    # Both replacements keep every index; afterwards a quote is a closing one.
    end = piece.replace(rb"\\", b"__").replace(rb"\"", b"__").find(b'"')
    return None if end < 0 else end


def cut_string(piece: bytes) -> int:
    """Where to cut a piece of a long string that begins between two characters and does not end in it.

    The bytes before the cut split no escape, no surrogate pair and no UTF-8 sequence. Looks at the piece's end alone,
    since a dump is one string of gigabytes.
    """
    end = len(piece)
    at = piece.rfind(b"\\", max(0, end - 6))
    if at >= 0 and _escapes(piece, at) and (at + 1 == end or (piece[at + 1] == _U and at + 6 > end)):
        end = at
    while end >= 6 and _HIGH_SURROGATE.match(piece, end - 6) and _escapes(piece, end - 6):
        end -= 6
        if len(piece) - end > MAX_HELD_BACK:
            break
    return whole_utf8(piece, end)


def _escapes(piece: bytes, at: int) -> bool:
    """Whether the backslash there begins an escape: then an even number of them stands before it."""
    before = piece[:at]
    return (at - len(before.rstrip(b"\\"))) % 2 == 0


def whole_utf8(data: bytes, end: int) -> int:
    """Length of the longest prefix of ``data[:end]`` that does not end inside a UTF-8 sequence."""
    for back in range(1, min(4, end + 1)):
        byte = data[end - back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end - back if back < length else end
    return end
