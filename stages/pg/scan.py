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
    """A statement with the blanks and comments before it; a long one comes in several, the last with ``last``.

    ``colons`` are the places behind single colons, where psql might read the name of a variable of its own.
    """

    data: bytes
    first: bool = True
    last: bool = True
    colons: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A psql meta-command, for example ``\restrict``, with its end of line; ``inside`` what (as the scanner's)."""

    data: bytes
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the COPY before; ``last`` is the line that ends them.

    ``behind`` is what follows the COPY on its own line: psql runs it when the rows are over.
    """

    data: bytes
    last: bool = False
    behind: bool = False

    @property
    def count(self) -> int:
        """How many rows end in it: counted when asked for, since few want to know."""
        return 0 if self.last or self.behind else self.data.count(b"\n")


Piece = Sql | Meta | Rows


class Unfit(Exception):
    """Text that must not be restored; the message says what it is."""


_NO_WORD = rb"(?<![A-Za-z0-9_$\x80-\xff])"
_TAG = rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$"
_TOKEN = re.compile(rb"['\";()\\]|--[^\n\r]*|/\*|::|:(?=['\"{\w\x80-\xff])|" + _NO_WORD + rb"(?:[eE]'|" + _TAG + rb")")
_OPENING = re.compile(rb"[^'\"$;\\]{0,200}['\"]")
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"[\n\r]")
_ESCAPED = re.compile(rb"\\.|'", re.DOTALL)
_BLANK = re.compile(rb"(?:\s+|--[^\n\r]*(?:[\n\r]|\Z))*")
_IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
COPY = re.compile(
    rb"copy\s+" + _IDENTIFIER + rb"(?:\s*\.\s*" + _IDENTIFIER + rb")?\s*"
    rb"(?:\(\s*" + _IDENTIFIER + rb"(?:\s*,\s*" + _IDENTIFIER + rb")*\s*\))?\s*\bfrom\s+stdin\b",
    re.IGNORECASE,
)
#: The only form in which the meaning of backslashes may change.
STRINGS = re.compile(
    rb"set\s+(?:session\s+|local\s+)?standard_conforming_strings\s*(?:=|\sto\s)\s*('?)(on|off)\1\s*;\Z", re.IGNORECASE
)
_ROUTINE = re.compile(rb"create\s+(?:or\s+replace\s+)?(?:function|procedure)\b", re.IGNORECASE)
_WORD = re.compile(_NO_WORD + rb"(?:begin|case|end)(?![A-Za-z0-9_$\x80-\xff])", re.IGNORECASE)
_ROWS_END = re.compile(rb"\\\.\r?\n?\Z")


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
        self._end = False  # the last token was a semicolon
        self._meta_inside = ""  # what the meta-command that comes next is in the middle of
        self._colons: list[int] = []  # in what is held
        self._routine: bool | None = None  # the statement makes a function or procedure, if that is known
        self._depth = 0  # of BEGIN and CASE without their END, in its body
        self._gap: bytes | None = None  # the blanks since a literal with escapes, which a quote may continue
        self._backslashes = False  # standard_conforming_strings is off
        self._line_start = False  # of the rows
        self._line_end = False  # the rows begin behind the line of their COPY
        self._dot: int | None = None  # where the last line that begins like an end of rows begins, if that was asked

    @property
    def inside(self) -> str:
        """What the scan is in the middle of: ``rows``, ``literal``, ``body``, ``statement``, or nothing (empty)."""
        if self.copying:
            return "rows"
        if self._quote and self._quote != b"\n":
            return "literal"
        if self._depth:
            return "body"
        return "statement" if not self._first or bare(bytes(self._held) + self._rest) else ""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Scan one chunk. Exhaust the iterator before the next call. Raises ``Unfit`` for a word beyond ``HEAD``."""
        if self._rest:
            data = self._rest + data
        at, self._dot = 0, None
        lines = data.rfind(b"\n") + 1
        while at < (limit := lines if at < lines else self._cut(data, at)):
            piece, at = self._step(data, at, limit)
            if piece is not None:
                yield piece
        self._rest = data[at:]

    def finish(self) -> Iterator[Piece]:
        """Scan what is left, as if the text ended here."""
        data, self._rest, at = self._rest, b"", 0
        self._dot = None
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
            cut = max(data.rfind(mark, at) for mark in (b" ", b",", b"(", b";", b"\t", b"\r")) + 1
            if not cut and (opening := _OPENING.match(data, at)):
                return opening.end()  # a literal: it may be as long as it likes
            if not cut:
                raise Unfit("a word without an end")
            return cut
        if self._quote == b"\\'":
            return end - (end - len(data.rstrip(b"\\"))) % 2
        return end - len(self._quote) + 1

    def _step(self, data: bytes, at: int, limit: int) -> tuple[Piece | None, int]:
        if self.copying:
            return self._rows(data, at, limit)
        self._end = False
        end = self._literal(data, at, limit) if self._quote else self._plain(data, at, limit)
        if end < 0:
            return self._meta(data, at, limit)
        self._held += data[at:end]
        if self._end and self._parens == 0 and self._depth == 0:
            return self._statement(), end
        if len(self._held) > HEAD:
            return self._give(last=False), end
        return None, end

    def _plain(self, data: bytes, at: int, limit: int) -> int:
        """The end of what can be passed over outside literals: behind the next token. Negative at a meta-command."""
        match = _TOKEN.search(data, at, limit)
        stop = match.start() if match else limit
        if self._parens == 0 and (
            self._depth or data.find(b"egin", at, stop) >= 0 or data.find(b"EGIN", at, stop) >= 0
        ):
            self._words(data, at, stop)
        gap, self._gap = self._blank(data[at:stop]), None
        if match is None:
            self._gap = gap
            return limit
        token = match.group()
        if token == b"\\":
            return stop if stop > at else -1
        if token == b"(":
            self._parens += 1
        elif token == b")":
            self._parens = max(0, self._parens - 1)
        elif token == b";":
            self._end = True
        elif token == b":":
            self._colons.append(len(self._held) + match.end() - at)
        elif token == b"/*":
            self._quote, self._nesting = b"*/", 1
        elif token in (b"e'", b"E'") or (token == b"'" and (self._backslashes or gap in (b"", b"\n"))):
            self._quote = b"\\'"
        elif token[:1] in b"'\"$":
            self._quote = token
        elif token.startswith(b"--"):
            self._gap = gap or (None if gap is None else b" ")
            self._quote = b"\n" if match.end() == limit else b""  # the rest of an overlong line may follow
        return match.end()

    def _blank(self, passed: bytes) -> bytes | None:
        """What is between a literal with escapes and here, in short: nothing, blanks, a line end; None for more."""
        if self._gap is None or passed.strip():
            return None
        return b"\n" if b"\n" in passed or b"\r" in passed else self._gap or passed[:1]

    def _words(self, data: bytes, at: int, end: int) -> None:
        """Follow BEGIN, CASE and END in the body of a routine, exactly as psql does, which knows no more of SQL."""
        for match in _WORD.finditer(data, at, end):
            word = match.group().lower()
            if self._routine is None:
                self._routine = bool(_ROUTINE.match(bare(bytes(self._held) + data[at : match.start()])))
            if not self._routine:
                return
            if word == b"begin" or (word == b"case" and self._depth):
                self._depth += 1
            elif word == b"end" and self._depth:
                self._depth -= 1

    def _literal(self, data: bytes, at: int, limit: int) -> int:
        """The end of the literal or comment we are in, or the limit when it is not there yet."""
        if self._quote == b"*/":
            for match in _COMMENT_EDGE.finditer(data, at, limit):
                self._nesting += 1 if match.group() == b"/*" else -1
                if self._nesting == 0:
                    self._quote = b""
                    return match.end()
        elif self._quote == b"\n":
            if line_end := _LINE_END.search(data, at, limit):
                self._quote = b""
                return line_end.start()
        elif self._quote == b"\\'":
            for match in _ESCAPED.finditer(data, at, limit):
                if match.group() == b"'":
                    self._quote, self._gap = b"", b""
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
            return Rows(data[at:end], behind=True), end
        end = at
        if self._line_start and data.startswith(b"\\.", at):
            end = data.find(b"\n", at, limit) + 1 or limit
            if _ROWS_END.match(data, at, end):
                self.copying = False
                return Rows(data[at:end], last=True), end
            end -= 1  # another row, of a format that does not double a backslash
        if self._dot is None:
            self._dot = data.rfind(b"\n\\.")  # twice as fast as find, and most chunks hold none
        end = (data.find(b"\n\\.", end, limit) + 1 if self._dot >= end else 0) or limit
        self._line_start = data[end - 1] == 0x0A
        return Rows(data[at:end]), end

    def _meta(self, data: bytes, at: int, limit: int) -> tuple[Piece, int]:
        if self._held:
            self._meta_inside = self.inside if bare(bytes(self._held)) else ""
            return self._give(last=True), at
        end = data.find(b"\n", at, limit) + 1 or limit
        inside, self._meta_inside = self._meta_inside, ""
        return Meta(data[at:end], inside), end

    def _statement(self) -> Piece:
        """Give the finished statement, and remember what it changes for us."""
        if self._first:
            statement = bare(bytes(self._held))
            self.copying = self._line_end = bool(COPY.match(statement))
            if match := STRINGS.match(statement):
                self._backslashes = match.group(2).lower() == b"off"
        return self._give(last=True)

    def _give(self, *, last: bool) -> Sql:
        if self._routine is None and not last:
            self._routine = bool(_ROUTINE.match(bare(bytes(self._held))))
        piece = Sql(bytes(self._held), first=self._first, last=last, colons=tuple(self._colons))
        self._held.clear()
        self._colons.clear()
        self._first = last
        if last:
            self._routine, self._depth, self._gap = None, 0, None
        return piece
