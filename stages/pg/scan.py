"""Cuts a stream of SQL text the way psql reads it: statements, meta-commands, and the rows of COPY.

Pure and incremental: the bytes of all pieces, in order, are the bytes that went in. Memory is bounded by ``HEAD`` and
the size of a chunk, however long a statement or a row is. Rows are passed over at the speed of ``bytes.find``.

It works on whole lines: no token that matters here (quotes, ``$tag$``, comment edges, escapes) spans two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longest statement given in one piece, and longest line looked at whole, in bytes.
HEAD = 256 * 1024


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement with the blanks and comments before it; a long one comes in several, the last with ``last``."""

    data: bytes
    first: bool = True
    last: bool = True


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A psql meta-command, for example ``\restrict``, with its end of line."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the COPY before, ``count`` line ends among them; ``last`` is the line that ends them."""

    data: bytes
    count: int
    last: bool = False


Piece = Sql | Meta | Rows

_NO_WORD = rb"(?<![A-Za-z0-9_$\x80-\xff])"
_TAG = rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$"
_TOKEN = re.compile(rb"['\";()\\]|--[^\n]*|/\*|" + _NO_WORD + rb"(?:[eE]'|" + _TAG + rb")")
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_ESCAPED = re.compile(rb"\\.|'", re.DOTALL)
_BLANK = re.compile(rb"(?:\s+|--[^\n]*(?:\n|\Z))*")
_COPY = re.compile(rb"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_STRINGS = re.compile(rb"set\s+standard_conforming_strings\s*(?:=|to)\s*'?(on|off)", re.IGNORECASE)
_ATOMIC = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:function|procedure)\b.*\batomic\b", re.IGNORECASE | re.DOTALL)
_BODY = re.compile(
    rb"[eE]'(?:[^'\\]|\\.|'')*'|'[^']*'|\"[^\"]*\"|" + _NO_WORD + rb"(\$\w*\$).*?\1|--[^\n]*|/\*.*?\*/"
    rb"|[()]|" + _NO_WORD + rb"(?:begin|case|end)\b(?!\$)",
    re.IGNORECASE | re.DOTALL,
)


def bare(statement: bytes) -> bytes:
    """A statement without the blanks and comments before it."""
    at = 0
    while (match := _BLANK.match(statement, at)) is not None:
        at = match.end()
        if not statement.startswith(b"/*", at):
            break
        depth = 0
        for edge in _COMMENT_EDGE.finditer(statement, at):
            depth += 1 if edge.group() == b"/*" else -1
            if depth == 0:
                at = edge.end()
                break
        else:
            return b""
    return statement[at:]


class SqlScanner:
    """Feed it chunks; it yields pieces. ``finish`` gives what is left and ends the scan."""

    def __init__(self) -> None:
        self.copying = False
        self._rest = b""  # an unfinished line
        self._held = bytearray()  # what was scanned of the current statement and not given out
        self._first = True  # nothing of the current statement was given out
        self._quote = b""  # what ends the literal or comment we are in; empty outside
        self._nesting = 0  # block comments nest
        self._parens = 0
        self._backslashes = False  # standard_conforming_strings is off
        self._line_start = False  # of the rows
        self._line_end = False  # the rows begin behind the line of their COPY

    @property
    def inside(self) -> str:
        """What the scan is in the middle of: ``rows``, ``literal``, ``statement``, or nothing (empty)."""
        if self.copying:
            return "rows"
        if self._quote:
            return "literal"
        return "statement" if not self._first or bare(bytes(self._held) + self._rest) else ""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Scan one chunk. Exhaust the iterator before the next call."""
        if self._rest:
            data = self._rest + data
        at = 0
        lines = data.rfind(b"\n") + 1
        while at < (limit := lines if at < lines else self._cut(data, at)):
            piece, at = self._step(data, at, limit)
            if piece is not None:
                yield piece
        self._rest = data[at:]

    def finish(self) -> Iterator[Piece]:
        """Scan what is left, as if the text ended here."""
        data, self._rest, at = self._rest, b"", 0
        while at < len(data):
            piece, at = self._step(data, at, len(data))
            if piece is not None:
                yield piece
        if self._held:
            yield self._give(last=not bare(bytes(self._held)))

    def _cut(self, data: bytes, at: int) -> int:
        """How far an unfinished line may be scanned: not at all unless it is overlong, and then no token is cut."""
        end = len(data)
        if end - at <= HEAD:
            return at
        if self.copying:
            return end
        if not self._quote:
            return max(data.rfind(mark, at) for mark in (b" ", b",", b"(", b";")) + 1 or end
        if self._quote == b"\\'":
            return end - (end - len(data.rstrip(b"\\"))) % 2
        return end - len(self._quote) + 1

    def _step(self, data: bytes, at: int, limit: int) -> tuple[Piece | None, int]:
        if self.copying:
            return self._rows(data, at, limit)
        end = self._literal(data, at, limit) if self._quote else self._plain(data, at, limit)
        if end < 0:
            return self._meta(data, at, limit)
        self._held += data[at:end]
        if not self._quote and data[end - 1 : end] == b";" and self._parens == 0 and self._ended():
            return self._statement(), end
        if len(self._held) > HEAD:
            return self._give(last=False), end
        return None, end

    def _plain(self, data: bytes, at: int, limit: int) -> int:
        """The end of what can be passed over outside literals: behind the next token. Negative at a meta-command."""
        match = _TOKEN.search(data, at, limit)
        if match is None:
            return limit
        token = match.group()
        if token == b"\\":
            return match.start() if match.start() > at else -1
        if token == b"(":
            self._parens += 1
        elif token == b")":
            self._parens = max(0, self._parens - 1)
        elif token == b"/*":
            self._quote, self._nesting = b"*/", 1
        elif token in (b"e'", b"E'") or (token == b"'" and self._backslashes):
            self._quote = b"\\'"
        elif token[:1] in b"'\"$":
            self._quote = token
        return match.end()

    def _literal(self, data: bytes, at: int, limit: int) -> int:
        """The end of the literal or comment we are in, or the limit when it is not there yet."""
        if self._quote == b"*/":
            for match in _COMMENT_EDGE.finditer(data, at, limit):
                self._nesting += 1 if match.group() == b"/*" else -1
                if self._nesting == 0:
                    self._quote = b""
                    return match.end()
        elif self._quote == b"\\'":
            for match in _ESCAPED.finditer(data, at, limit):
                if match.group() == b"'":
                    self._quote = b""
                    return match.end()
        elif (end := data.find(self._quote, at, limit)) >= 0:
            end += len(self._quote)
            self._quote = b""
            return end
        return limit

    def _rows(self, data: bytes, at: int, limit: int) -> tuple[Piece, int]:
        if self._line_end:
            end = data.find(b"\n", at, limit) + 1 or limit
            self._line_end, self._line_start = False, True
            return Rows(data[at:end], 0), end
        if self._line_start and data.startswith(b"\\.", at):
            end = data.find(b"\n", at, limit) + 1 or limit
            self.copying = False
            return Rows(data[at:end], 0, last=True), end
        # A backslash in a row is doubled: this can only be the end.
        end = data.find(b"\n\\.", at, limit) + 1 or limit
        self._line_start = data[end - 1] == 0x0A
        return Rows(data[at:end], data.count(b"\n", at, end)), end

    def _meta(self, data: bytes, at: int, limit: int) -> tuple[Piece, int]:
        if self._held:
            return self._give(last=True), at
        end = data.find(b"\n", at, limit) + 1 or limit
        return Meta(data[at:end]), end

    def _ended(self) -> bool:
        """Whether a semicolon ends the statement; inside BEGIN ATOMIC … END it does not."""
        if b"tomic" not in self._held and b"TOMIC" not in self._held:
            return True
        statement = bare(bytes(self._held))
        if not _ATOMIC.match(statement):
            return True
        depth = parens = 0
        for match in _BODY.finditer(statement):
            token = match.group().lower()
            if token in (b"(", b")"):
                parens += 1 if token == b"(" else -1
            elif parens == 0 and token in (b"begin", b"case"):
                depth += 1 if depth or token == b"begin" else 0
            elif parens == 0 and token == b"end":
                depth -= 1 if depth else 0
        return depth == 0

    def _statement(self) -> Piece:
        """Give the finished statement, and remember what it changes for us."""
        if self._first:
            statement = bare(bytes(self._held))
            self.copying = self._line_end = bool(_COPY.match(statement))
            if match := _STRINGS.match(statement):
                self._backslashes = match.group(1).lower() == b"off"
        return self._give(last=True)

    def _give(self, *, last: bool) -> Sql:
        piece = Sql(bytes(self._held), first=self._first, last=last)
        self._held.clear()
        self._first = last
        return piece
