"""Cuts a stream of SQL text the way PostgreSQL reads it: statements, commands of psql, and the rows of COPY.

Pure and incremental: the bytes of all pieces, in order, are the bytes that went in. Memory is bounded by ``HEAD`` and
the size of a chunk, however long a statement or a row is. Rows are passed over at the speed of ``bytes.find``.

It works on whole lines: no token that matters here (quotes, ``$tag$``, comment edges, escapes) spans two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .grammar import COPY, STRINGS
from .pieces import Meta, Piece, Rows, Sql, Unfit

#: Longest statement given in one piece, and longest line looked at whole, in bytes.
HEAD = 256 * 1024

_TAG = rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$"
_TOKEN = re.compile(rb"['\";()\\]|--[^\n\r]*|/\*|[eE]'|" + _TAG)
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*")
#: What a run of letters, digits and dollars is read as, from its left: names, numbers, parameters, single dollars.
_RUN = frozenset(b"_$0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") | frozenset(range(128, 256))
_RUN_TOKEN = re.compile(rb"(?P<name>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)|(?P<number>\$?[0-9]+)|\$")
_NAME_START = re.compile(rb"[A-Za-z_\x80-\xff]")
_OPENING = re.compile(rb"[^'\"$;\\]{0,200}?(?:['\"]|/\*|(?<![A-Za-z0-9_$\x80-\xff])" + _TAG + rb")")
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"[\n\r]")
_ESCAPED = re.compile(rb"\\.|'", re.DOTALL)
_BLANK = re.compile(rb"(?:\s+|--[^\n\r]*(?:[\n\r]|\Z))*")
_ROWS_END = re.compile(rb"\\\.\r?\n?\Z")
#: How many words at the beginning of a statement say whether it makes a routine: CREATE OR REPLACE FUNCTION.
_FIRST_WORDS = 4
_ROUTINES = (b"function", b"procedure")


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


class Body:
    """Whether a statement is in the body of a routine in SQL: from BEGIN ATOMIC to its END.

    PostgreSQL ends such a body by its grammar, with an END where a statement could begin: behind ATOMIC, or behind a
    semicolon. Any other END is that of a CASE, or the name of a column.
    """

    def __init__(self) -> None:
        self.first: list[bytes] = []  # words of the statement, in lower case
        self.open = False
        self._last = b""  # the word before, when nothing but blanks and comments followed it
        self._begins = False  # a statement of the body may begin here
        self._done = False

    @property
    def watching(self) -> bool:
        """Whether words matter still."""
        return len(self.first) < _FIRST_WORDS or (self._routine and not self._done)

    @property
    def _routine(self) -> bool:
        words = self.first
        return words[:1] == [b"create"] and (
            words[1:2] in ([word] for word in _ROUTINES)
            or (words[1:3] == [b"or", b"replace"] and words[3:4] in ([word] for word in _ROUTINES))
        )

    def read(self, text: bytes, parens: int) -> None:
        """Read text without literals and comments, at this depth of parentheses."""
        at = 0
        for match in _WORD.finditer(text):
            between = text[at : match.start()].strip()
            dotted = between.endswith(b".")
            if between:
                self._last, self._begins = b"", False
            self._word(match.group().lower(), parens, dotted=dotted)
            at = match.end()
        if text[at:].strip():
            self._last, self._begins = b"", False

    def other(self, token: bytes) -> None:
        """Something else than a word stands here."""
        self._last, self._begins = b"", token == b";"
        if len(self.first) < _FIRST_WORDS:
            self.first.append(b"")

    def _word(self, word: bytes, parens: int, *, dotted: bool) -> None:
        if len(self.first) < _FIRST_WORDS:
            self.first.append(word)
        elif self._routine and not self._done:
            if not self.open:
                self.open = word == b"atomic" and self._last == b"begin" and parens == 0 and not dotted
                self._begins = self.open
            else:
                self._done = word == b"end" and self._begins
                self.open = not self._done
                self._begins = False
        self._last = b"" if dotted else word


class SqlCutter:
    """Feed it chunks; it yields pieces. ``finish`` gives what is left and ends the cutting."""

    def __init__(self) -> None:
        self.copying = False
        #: Whether ``standard_conforming_strings`` is off: then a backslash escapes in every literal.
        self.backslashes = False
        self._rest = bytearray()  # an unfinished line
        self._held = bytearray()  # what was read of the current statement and not given out
        self._first = True  # nothing of the current statement was given out
        self._quote = b""  # what ends the literal or comment we are in; empty outside
        self._nesting = 0  # block comments nest
        self._parens = 0
        self._end = False  # the last token was a semicolon
        self._meta_inside = ""  # what the command of psql that comes next is in the middle of
        self._body = Body()
        self._gap: bytes | None = None  # the blanks since a string, which a quote may continue
        self._string = b""  # what ended that string
        self._line_start = False  # of the rows
        self._row_open = False  # the line before ended in the middle of a value: what ends the rows ends that row
        self._line_end = False  # the rows begin behind the line of their COPY
        # Of the data that is being cut, if they were asked for: where the last line begins that looks like an end of
        # rows, where it may be cut at last outside literals, and how many backslashes end it.
        self._dot: int | None = None
        self._mark: int | None = None
        self._slashes: int | None = None

    @property
    def inside(self) -> str:
        """What it is in the middle of: ``rows``, ``literal``, ``body``, ``statement``, or nothing (empty)."""
        if self.copying:
            return "rows"
        if self._quote and self._quote != b"\n":
            return "literal"
        if self._body.open:
            return "body"
        return "statement" if not self._first or bare(bytes(self._held) + self._rest) else ""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Cut one chunk. Exhaust the iterator before the next call. Raises ``Unfit`` for a word beyond ``HEAD``."""
        if self._rest:
            if len(self._rest) + len(data) <= HEAD and b"\n" not in data:
                self._rest += data
                return
            data, self._rest = b"".join((self._rest, data)), bytearray()  # ``inside`` must not see it twice
        at = 0
        self._dot = self._mark = self._slashes = None
        lines = data.rfind(b"\n") + 1
        while at < (limit := lines if at < lines else self._cut(data, at)):
            piece, at = self._step(data, at, limit)
            if piece is not None:
                yield piece
        self._rest = bytearray(data[at:])

    def pass_rows(self, rows: Rows) -> Iterator[Piece]:
        """Rows that are known to be nothing else, in the place of their text. Raises ``Unfit`` where none may stand."""
        if not self.copying or self._line_end or self._rest:
            raise Unfit("rows without a COPY")
        self._line_start, self._row_open = rows.ends_row, False
        yield rows

    def finish(self) -> Iterator[Piece]:
        """Cut what is left, as if the text ended here."""
        data, self._rest, at = bytes(self._rest), bytearray(), 0
        self._dot = self._mark = self._slashes = None
        while at < len(data):
            piece, at = self._step(data, at, len(data))
            if piece is not None:
                yield piece
        if self._held:
            yield self._give(last=not bare(bytes(self._held)))

    def _cut(self, data: bytes, at: int) -> int:
        """How far an unfinished line may be read: not at all unless it is overlong, and then no token is cut."""
        end = len(data)
        if end - at <= HEAD:
            return at
        if self.copying:
            return end - self._odd_slashes(data, at, end)
        if not self._quote:
            if self._mark is None:
                self._mark = max(data.rfind(mark) for mark in (b" ", b",", b"(", b";", b"\t", b"\r")) + 1
            if self._mark > at:
                return self._mark
            if opening := _OPENING.match(data, at):
                return opening.end()  # a literal or a comment: it may be of any length
            raise Unfit("a word without an end")
        if self._quote == b"\\'":
            return end - self._odd_slashes(data, at, end)
        return end - len(self._quote) + 1

    def _odd_slashes(self, data: bytes, at: int, end: int) -> int:
        """1 when the last backslash makes something of the character that is still to come, else 0."""
        if self._slashes is None:
            self._slashes = end - len(data.rstrip(b"\\"))
        return min(self._slashes, end - at) % 2

    def _step(self, data: bytes, at: int, limit: int) -> tuple[Piece | None, int]:
        if self.copying:
            return self._rows(data, at, limit)
        self._end = False
        end = self._literal(data, at, limit) if self._quote else self._plain(data, at, limit)
        if end < 0:
            return self._meta(data, at, limit)
        self._held += data[at:end]
        if self._end and self._parens == 0 and not self._body.open:
            return self._statement(), end
        if len(self._held) > HEAD:
            return self._give(last=False), end
        return None, end

    def _plain(self, data: bytes, at: int, limit: int) -> int:
        """The end of what can be passed over outside literals: behind the next token. Negative at a command of psql."""
        token, start, end = self._token(data, at, limit)
        if self._body.watching:
            self._body.read(data[at:start], self._parens)
        gap, self._gap = self._blank(data[at:start]), None
        if not token:
            self._gap = gap
            return limit
        if token == b"\\":
            return start if start > at else -1
        if not token.startswith((b"--", b"/*")):
            self._body.other(token)
        if token == b"(":
            self._parens += 1
        elif token == b")":
            self._parens = max(0, self._parens - 1)
        elif token == b";":
            self._end = True
        elif token == b"/*":
            self._quote, self._nesting = b"*/", 1
        elif token == b"'":
            self._quote = self._string_end(data, at, start, gap)
        elif token in (b"e'", b"E'"):
            self._quote = b"\\'"
        elif token[:1] in b'"$':
            self._quote = token
        else:  # a comment to the end of the line
            self._gap = gap or (None if gap is None else b" ")
            self._quote = b"\n" if end == limit else b""  # the rest of an overlong line may follow
        return end

    def _token(self, data: bytes, at: int, limit: int) -> tuple[bytes, int, int]:
        """The next token that matters, where it begins and where it ends; empty, when there is none."""
        begin = at
        while (match := _TOKEN.search(data, begin, limit)) is not None:
            token, start = match.group(), match.start()
            if token[:1] not in b"$eE" or (inner := self._inside_word(data, at, start)) is None:
                return token, start, match.end()
            begin = inner
        return b"", limit, limit

    @staticmethod
    def _inside_word(data: bytes, at: int, start: int) -> int | None:
        """The end of the name that reaches over ``start``, or None where a token may begin there.

        ``a$b$`` is a name, ``1$b$`` a number and a quote, ``name'`` a name and a quote without escapes. Raises
        ``Unfit`` for what versions of PostgreSQL read in different ways: a number followed by a letter.
        """
        place = start
        while place > at and data[place - 1] in _RUN:
            place -= 1
        while place < start:
            match = _RUN_TOKEN.match(data, place)
            assert match is not None
            if match.lastgroup == "name" and match.end() > start:
                return match.end()
            if match.lastgroup == "number" and _NAME_START.match(data, match.end()):
                raise Unfit("a number that runs into a word")
            place = match.end()
        return None

    def _string_end(self, data: bytes, at: int, start: int, gap: bytes | None) -> bytes:
        """What ends the string that a quote opens, or continues: a string goes on behind a line end."""
        if gap in (b"", b"\n"):
            return self._string
        if not self.backslashes:
            return b"'"
        letter = start - 1
        bits = letter >= at and data[letter] in b"bBxX" and self._inside_word(data, at, letter) is None
        return b"'" if bits else b"\\'"

    def _blank(self, passed: bytes) -> bytes | None:
        """What is between a string and here, in short: nothing, blanks, a line end; None for more, or no string."""
        if self._gap is None or passed.strip():
            return None
        return b"\n" if b"\n" in passed or b"\r" in passed else self._gap or passed[:1]

    def _literal(self, data: bytes, at: int, limit: int) -> int:
        """The end of the literal or comment we are in, or the limit when it is not there yet.

        What ends it may reach over the limit, when it begins before.
        """
        if self._quote == b"*/":
            for match in _COMMENT_EDGE.finditer(data, at, limit + 1):
                limit = max(limit, match.end())
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
                    self._string, self._quote, self._gap = self._quote, b"", b""
                    return match.end()
        elif (end := data.find(self._quote, at, limit + len(self._quote) - 1)) >= 0:
            end += len(self._quote)
            if self._quote == b"'":
                self._string, self._gap = self._quote, b""
            self._quote = b""
            return end
        return limit

    def _rows(self, data: bytes, at: int, limit: int) -> tuple[Piece, int]:
        if self._line_end:
            end = data.find(b"\n", at, limit) + 1 or limit
            self._line_end, self._line_start, self._row_open = False, True, False
            return Rows(data[at:end], behind=True), end
        end = at
        if self._line_start and data.startswith(b"\\.", at):
            end = data.find(b"\n", at, limit) + 1 or limit
            if _ROWS_END.match(data, at, end):
                self.copying = False
                return Rows(data[at:end], last=True, counted=1 if self._row_open else None), end
            end -= 1  # another row, of a format that does not double a backslash
        if self._dot is None:
            self._dot = data.rfind(b"\n\\.")  # twice as fast as find, and most chunks hold none
        end = (data.find(b"\n\\.", end, limit) + 1 if self._dot >= end else 0) or limit
        self._line_start = data[end - 1] == 0x0A
        self._row_open = not (rows := Rows(data[at:end])).ends_row
        return rows, end

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
                self.backslashes = match.group(2).lower() == b"off"
        return self._give(last=True)

    def _give(self, *, last: bool) -> Sql:
        piece = Sql(bytes(self._held), first=self._first, last=last)
        self._held.clear()
        self._first = last
        if last:
            self._body, self._gap = Body(), None
        return piece
