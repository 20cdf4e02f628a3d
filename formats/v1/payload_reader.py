"""Reading a payload as it arrives: members in any order, unknown ones skipped, nothing large held."""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..errors import DamagedArchive
from ..json.scan import (
    MAX_HELD_BACK,
    PLAIN_MEMBER,
    PLAIN_OBJECT,
    STRING,
    WHITESPACE,
    MalformedJson,
    ValueScanner,
    ValueSkipper,
    cut_string,
    end_string,
)
from ..json.strict import without_duplicates
from ..secret import MAX_SECRET, Secret

#: Longest name of a member (a secret's path), in bytes of JSON between its quotes.
MAX_NAME = 64 * 1024
#: Largest inner header, in bytes of JSON.
MAX_INNER_HEADER = 64 * 1024

_decode_text = msgspec.json.Decoder(str).decode


@dataclass(slots=True)
class Parts:
    """What a piece of the payload held: SQL text (UTF-8), secrets, and the inner header when it was complete.

    ``sql_ended`` says that the SQL's last byte is among those given out so far.
    """

    sql: list[bytes] = field(default_factory=list)
    sql_ended: bool = False
    secrets: list[Secret] = field(default_factory=list)
    header: dict[str, Any] | None = None


class PayloadReader:
    """Parses a payload from pieces of any size: ``update`` as often as needed, then ``finish`` once.

    Holds at most one piece and one secret. Both methods raise ``DamagedArchive`` with layer ``payload``.
    """

    def __init__(self, max_secret: int = MAX_SECRET) -> None:
        self._max_secret = max_secret
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._parts = Parts()
        self._any_secret = False
        #: Whether the SQL ended before the first secret, as in the archives that we write.
        self.sql_first = False
        self._parser = self._payload()
        next(self._parser)

    def update(self, data: bytes) -> Parts:
        """Parse a piece; returns what it completed, never more bytes than were given so far."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        self._parts = Parts()
        try:
            next(self._parser)
        except (MalformedJson, msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise DamagedArchive("payload", f"The archive's payload is not the JSON it should be ({exc}).") from None
        return self._parts

    def finish(self) -> None:
        """Check that the payload is complete."""
        if not self._ended:
            raise DamagedArchive("payload", "The archive's payload ends early.")

    # The grammar; every ``yield`` waits for more bytes --------------------------------------------------------

    def _payload(self) -> Generator[None]:
        yield
        yield from self._expect(b"{")
        known = {"header": self._header, "database_sql": self._text, "vault_secrets": self._secrets}
        seen: set[str] = set()
        first = True
        while (name := (yield from self._member(first=first))) is not None:
            first = False
            if name in seen:
                raise MalformedJson(f"{name} stands there twice")
            if name in known:  # unknown names are not remembered: there may be any number of them
                seen.add(name)
            yield from known.get(name, self._skip)()
        self._ended = True
        while True:
            yield from self._blank()
            raise MalformedJson("something follows its end")

    def _member(self, *, first: bool) -> Generator[None, None, str | None]:
        """The name of an object's next member, up to its colon; None when the object ends."""
        yield from self._blank()
        if self._buffer[self._at] == 0x7D:  # }
            self._at += 1
            return None
        if not first:
            yield from self._expect(b",")
            yield from self._blank()
        raw = yield from self._value(MAX_NAME + 2, "a name")
        if not raw.startswith(b'"'):
            raise MalformedJson("a member without a name")
        yield from self._expect(b":")
        return _decode_text(raw)

    def _header(self) -> Generator[None]:
        yield from self._blank()
        if (yield from self._null()):
            return
        raw = yield from self._value(MAX_INNER_HEADER, "the inner header")
        try:
            header = json.loads(raw.decode(), object_pairs_hook=without_duplicates)
        except (ValueError, RecursionError):
            raise MalformedJson("the inner header cannot be read") from None
        if not isinstance(header, dict):
            raise MalformedJson("the inner header is no object")
        self._parts.header = header

    def _secrets(self) -> Generator[None]:
        yield from self._blank()
        if (yield from self._null()):
            return
        yield from self._expect(b"{")
        first = True
        while (path := (yield from self._member(first=first))) is not None:
            first = False
            self._add(path, (yield from self._value(self._max_secret, f"the secret {path[:200]!r}")))
            while match := PLAIN_MEMBER.match(self._buffer, self._at):  # nearly all are; at once, without a generator
                name, raw = match.groups()
                if len(name) > MAX_NAME + 2 or len(raw) > self._max_secret:
                    break
                self._add(_decode_text(name), raw)
                self._at = match.end()

    def _add(self, path: str, raw: bytes) -> None:
        if not path:
            raise MalformedJson("a secret without a path")
        if not raw.isascii():
            raw.decode()  # strict UTF-8
        self._any_secret = True
        self._parts.secrets.append(Secret(path, raw))

    def _text(self) -> Generator[None]:
        """The SQL: a string that is passed on in pieces."""
        yield from self._blank()
        if not (yield from self._null()):
            yield from self._text_pieces()
        self._parts.sql_ended = True
        self.sql_first = not self._any_secret

    def _text_pieces(self) -> Generator[None]:
        yield from self._expect(b'"')
        while True:
            piece = self._buffer[self._at :] if self._at else self._buffer
            cut, end = cut_string(piece), None
            try:
                text = _decode_text(b'"' + piece[:cut] + b'"')
            except msgspec.DecodeError:
                # A quote that ends the text in the middle of the piece, which happens once; or no JSON at all.
                if (end := end_string(piece)) is None:
                    raise
                text = _decode_text(b'"' + piece[:end] + b'"')
            if text:
                self._parts.sql.append(text.encode())
            if end is not None:
                self._at += end + 1
                return
            self._at += cut
            if len(piece) - cut > MAX_HELD_BACK:
                raise MalformedJson("lone surrogates in the SQL")
            yield

    def _skip(self) -> Generator[None]:
        """Any value, checked but not held."""
        yield from self._blank()
        scanner = ValueSkipper(self._at)
        utf8 = getincrementaldecoder("utf-8")()
        while True:
            end = scanner.scan(self._buffer)
            utf8.decode(self._buffer[self._at : scanner.at])
            self._at = scanner.at
            if end is not None:
                return
            if len(self._buffer) - self._at > self._max_secret:
                raise MalformedJson("a number of an unknown member is too long")
            yield
            scanner.at = 0

    def _value(self, limit: int, what: str) -> Generator[None, None, bytes]:
        """The bytes of any value of at most ``limit`` bytes."""
        yield from self._blank()
        if match := PLAIN_OBJECT.match(self._buffer, self._at) or STRING.match(self._buffer, self._at):
            end: int | None = match.end()
        else:
            scanner = ValueScanner(self._at)
            while (end := scanner.scan(self._buffer)) is None:
                if len(self._buffer) - self._at > limit:
                    break
                offset = scanner.at - self._at
                yield
                scanner.at = offset
        if end is None or end - self._at > limit:
            raise MalformedJson(f"{what} is larger than {limit} bytes")
        raw = self._buffer[self._at : end]
        self._at = end
        return raw

    def _null(self) -> Generator[None, None, bool]:
        if self._buffer[self._at] != 0x6E:  # n
            return False
        if (yield from self._value(4, "null")) != b"null":
            raise MalformedJson("not what should be there")
        return True

    def _expect(self, token: bytes) -> Generator[None]:
        yield from self._blank()
        if self._buffer[self._at : self._at + 1] != token:
            raise MalformedJson(f"no {token.decode()} where one must be")
        self._at += 1

    def _blank(self) -> Generator[None]:
        """Skip white space; afterwards there is at least one more byte."""
        while True:
            match = WHITESPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return
            yield
