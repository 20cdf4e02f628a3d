"""Rows of a COPY in PostgreSQL's text format to CSV, as the server itself would write it (``COPY … (FORMAT csv)``)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .grammar import IDENTIFIER, NAME
from .pieces import Unfit

_COLUMNS = re.compile(rb"copy\s+" + NAME + rb"\s*\((.*)\)\s*from\s+stdin\s*;\Z", re.IGNORECASE | re.DOTALL)
_COLUMN = re.compile(IDENTIFIER)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
#: What a value in CSV is quoted for.
_QUOTED = re.compile(rb'[",\r\n]')
#: What rows may hold that is not the same in CSV: an escape, a quote, a comma, a CR, or an empty value.
_SPECIAL = re.compile(rb'[\\",\r]|(?:^|\t)(?:\t|$)', re.MULTILINE)
_FIELD = re.compile(rb"(?:[^\\\t]++|\\.)*+\\?", re.DOTALL)
_NULL = rb"\N"


def columns_of(statement: bytes) -> list[bytes]:
    """The names of the columns in a COPY statement, without quotes; none for a table without a column."""
    match = _COLUMNS.match(statement)
    return [_plain(name) for name in _COLUMN.findall(match.group(1))] if match else []


class CopyToCsv:
    """The rows of one COPY as CSV in UTF-8, each ended by LF: ``header``, ``feed`` as often as needed, then ``finish``.

    NULL is empty and without quotes, an empty string ``""``. Rows may be cut anywhere; one that is not whole is held.
    ``rows`` counts those that were written. ``before`` is the CSV of another COPY of the same table, whose columns
    these rows get: one of a partition names them in its own order. Raises ``Unfit`` for other columns than those, and
    for a row that has another number of values than columns.
    """

    def __init__(self, statement: bytes, before: CopyToCsv | None = None) -> None:
        self.columns = columns_of(statement)
        self._order: list[int] | None = None
        if before is not None and before.columns != self.columns:
            if sorted(before.columns) != sorted(self.columns):
                raise Unfit("two COPY statements of one table with different columns")
            at = {name: place for place, name in enumerate(self.columns)}
            self._order, self.columns = [at[name] for name in before.columns], before.columns
        self._rest = bytearray()
        self.rows = 0

    def header(self) -> bytes:
        """The names of the columns."""
        alone = len(self.columns) == 1
        return b",".join(_quoted(name, alone=alone) for name in self.columns) + b"\n"

    def feed(self, data: bytes) -> bytes:
        """The rows that end in these bytes."""
        known = len(self._rest)  # no row ends in what is held
        self._rest += data
        end = self._rest.rfind(b"\n", known) + 1
        while end and self._goes_on(end - 2):
            end = self._rest.rfind(b"\n", known, end - 1) + 1
        if not end:
            return b""
        block = bytes(memoryview(self._rest)[:end])
        del self._rest[:end]
        return b"".join(self._lines(block))

    def finish(self) -> None:
        """The rows end here. Raises ``Unfit`` in the middle of one."""
        if self._rest:
            raise Unfit("a row without its end")

    def _goes_on(self, at: int) -> bool:
        """Whether an odd number of backslashes ends at this byte: the LF behind it is part of a value."""
        begin = at
        while at >= 0 and self._rest[at] == 0x5C:
            at -= 1
        return (begin - at) % 2 == 1

    def _lines(self, block: bytes) -> Iterator[bytes]:
        tabs = max(0, len(self.columns) - 1)
        if self.columns and self._order is None and not _SPECIAL.search(block, 0, len(block) - 1):
            lines = block.count(b"\n")
            # Each row is looked at: two of them may make up for each other.
            if all(line.count(b"\t") == tabs for line in block[:-1].split(b"\n")):
                self.rows += lines
                yield block.replace(b"\t", b",")
                return
            raise Unfit("a row with another number of values than columns")
        for line in _rows(block):
            values = line.split(b"\t") if b"\\\t" not in line else _values(line)
            if len(values) != tabs + 1 or (line and not self.columns):
                raise Unfit("a row with another number of values than columns")
            if self._order is not None:
                values = [values[place] for place in self._order]
            self.rows += 1
            alone = len(values) == 1
            yield (b",".join(_value(value, alone=alone) for value in values) if self.columns else b"") + b"\n"


def _rows(block: bytes) -> Iterator[bytes]:
    """Whole rows without their ends; an LF behind an odd number of backslashes is part of one."""
    held = b""
    for line in block[:-1].split(b"\n"):
        held += line
        if (len(held) - len(held.rstrip(b"\\"))) % 2:
            held += b"\n"
            continue
        yield held
        held = b""


def _values(line: bytes) -> list[bytes]:
    """The values of a row in which a tab stands behind a backslash."""
    values, at = [], 0
    while at <= len(line):
        match = _FIELD.match(line, at)
        assert match is not None  # it takes nothing, too
        values.append(match.group())
        at = match.end() + 1
    return values


def _value(text: bytes, *, alone: bool) -> bytes:
    if b"\\" not in text:
        return _quoted(text, alone=alone)
    return b"" if text == _NULL else _quoted(_ESCAPE.sub(_unescaped, text), alone=alone)


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if octal or hexadecimal:
        return bytes([(int(octal, 8) if octal else int(hexadecimal, 16)) & 0xFF])
    return _LETTERS.get(letter, letter)


def _quoted(value: bytes, *, alone: bool) -> bytes:
    r"""A value, in quotes where it needs them. One that is ``\.`` alone on its line would end a COPY."""
    if value and not _QUOTED.search(value) and not (alone and value == rb"\."):
        return value
    return b'"' + value.replace(b'"', b'""') + b'"'


def _plain(name: bytes) -> bytes:
    return name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name
