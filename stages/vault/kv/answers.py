"""What can come of asking a vault for one secret, and how an answer's JSON is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from ....formats.json import text as jsontext
from ....formats.json.broken import BROKEN


@dataclass(frozen=True, slots=True)
class Found:
    """A value, as JSON text exactly as the server wrote it. ``version`` is 0 in KV version 1, which counts none.

    ``created`` is the server's time of that version.
    """

    value: bytes = field(repr=False)
    version: int = 0
    has_custom_metadata: bool = False
    created: str = field(default="", compare=False)
    custom_metadata: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def text(self, name: str) -> str:
        """The text in one field; empty when that is missing, or something else than text."""
        try:
            fields = msgspec.json.decode(self.value)
        except BROKEN:
            fields = None
        found = fields.get(name) if isinstance(fields, dict) else None
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Version ``version`` of this secret is the newest, and was deleted or destroyed: it has no value."""

    version: int
    destroyed: bool = False
    custom_metadata: dict[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such secret; or a key that has metadata only."""


@dataclass(frozen=True, slots=True)
class Oversize:
    """The answer is longer than the caller takes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server will not do this for this one path, however often it is asked. ``status`` is 0 without an answer."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Written:
    """Written, as ``version`` (0 in KV version 1)."""

    version: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another client wrote this secret in between; nothing was written."""


class Names(Iterator[str]):
    """The names in a folder, cut out of the server's answer one by one: a million take no more than their bytes.

    ``next`` raises ``ValueError`` for something that is no name.
    """

    def __init__(self, keys: bytes | memoryview | msgspec.Raw = b"[]") -> None:
        self._keys = memoryview(keys)  # of the answer, which is in memory once
        self._at = 0

    @property
    def none(self) -> bool:
        """Whether there is none at all."""
        return _END.match(self._keys) is not None

    @property
    def folders_alone(self) -> bool:
        """Whether all of them are sub-folders; of strange names it may say no."""
        return _SECRET.search(self._keys) is None

    def lacks(self, other: Names) -> bool:
        """Whether ``other`` has a name that is not among these; nothing is taken of either. Of strange ones, yes."""
        if self._keys == other._keys:
            return False
        try:
            known = {*Names(self._keys)}
            return any(name not in known for name in Names(other._keys))
        except ValueError:
            return True

    @property
    def left(self) -> int:
        """About how many have not been taken yet: the strings that are left, and of a name with quotes some more."""
        return bytes(self._keys[self._at :]).count(b'"') // 2

    def __next__(self) -> str:
        match = _NAME.match(self._keys, self._at)
        if match is None:
            if _END.match(self._keys, self._at):
                raise StopIteration
            raise ValueError("not a name")
        self._at = match.end()
        return _name(match[1])


ReadResult: TypeAlias = Found | Deleted | Absent | Oversize | Refused
WriteResult: TypeAlias = Written | Conflict | Refused


class _Metadata(msgspec.Struct):
    version: int = 0
    destroyed: bool = False
    custom_metadata: dict[str, str] | None = None
    created_time: str = ""


class _Versioned(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    metadata: _Metadata | None = None


class _VersionedAnswer(msgspec.Struct):
    data: _Versioned | None = None
    wrap_info: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[str] | None = None
    warnings: list[str] | None = None


class _Answer(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    wrap_info: msgspec.Raw = msgspec.Raw(b"null")


class _Keys(msgspec.Struct):
    keys: msgspec.Raw = msgspec.Raw(b"[]")


class _ListAnswer(msgspec.Struct):
    data: _Keys | None = None


class _WriteAnswer(msgspec.Struct):
    data: _Metadata | None = None


_versioned = msgspec.json.Decoder(_VersionedAnswer)
_metadata = msgspec.json.Decoder(_Metadata)
_plain = msgspec.json.Decoder(_Answer)
_list = msgspec.json.Decoder(_ListAnswer)
_write = msgspec.json.Decoder(_WriteAnswer)

_name = msgspec.json.Decoder(str).decode

_NULL = b"null"
_NAME = re.compile(rb'[\[, \t\r\n]*+("(?:[^"\\]++|\\.)*+")', re.DOTALL)
_SECRET = re.compile(rb'[^/]"[ \t\r\n]*[,\]]')
_END = re.compile(rb"[\[ \t\r\n]*+\]\Z|null\Z")
_WRAPPED = Refused(200, "a policy demands that this answer be wrapped (min_wrapping_ttl)")
_STRANGE = Refused(200, "the answer is not what a KV engine says")


def read_versioned(body: bytes) -> Found | Refused:
    """The meaning of a KV version 2 answer of status 200."""
    try:
        answer = _versioned.decode(body)
    except RecursionError:  # nested deeper than the decoder goes; the server's goes to 10,000
        answer = _deep_versioned(body)
    except BROKEN:
        return _STRANGE
    if bytes(answer.wrap_info) != _NULL:
        return _WRAPPED
    if answer.data is None or answer.data.metadata is None:
        return _STRANGE
    metadata, value = answer.data.metadata, bytes(answer.data.data)
    if not _is_utf8(value):
        return _STRANGE
    custom = metadata.custom_metadata or {}
    return Found(value, metadata.version, bool(custom), metadata.created_time, custom)


def missing(body: bytes) -> Deleted | Absent | Refused:
    """The meaning of status 404: with metadata a deleted version, with an empty list of errors nothing at all."""
    try:
        answer = _versioned.decode(body)
    except BROKEN:
        return _STRANGE
    if answer.data is not None and answer.data.metadata is not None:
        metadata = answer.data.metadata
        return Deleted(metadata.version, metadata.destroyed, metadata.custom_metadata or {})
    if answer.errors == []:
        return Absent()
    return Refused(404, ", ".join(answer.errors or answer.warnings or ["no reason given"])[:300])


def _deep_versioned(body: bytes) -> _VersionedAnswer:
    try:
        data = jsontext.member(body, "data") or _NULL
        value = jsontext.member(data, "data") or _NULL
        metadata = _metadata.decode(jsontext.member(data, "metadata") or b"{}")
    except (ValueError, *BROKEN):
        return _VersionedAnswer()
    return _VersionedAnswer(_Versioned(msgspec.Raw(value), metadata))


def read_plain(body: bytes) -> Found | Refused:
    """The meaning of a KV version 1 answer of status 200."""
    try:
        answer = _plain.decode(body)
        value, wrapped = bytes(answer.data), bytes(answer.wrap_info) != _NULL
    except RecursionError:
        try:
            value, wrapped = jsontext.member(body, "data") or _NULL, False
        except ValueError:
            return _STRANGE
    except BROKEN:
        return _STRANGE
    if wrapped:
        return _WRAPPED
    return Found(value) if value.startswith(b"{") and _is_utf8(value) else _STRANGE


def _is_utf8(value: bytes) -> bool:
    """No archive can hold another one: no reader would take it."""
    try:
        return value.isascii() or bool(value.decode())
    except UnicodeDecodeError:
        return False


def read_names(body: bytes) -> Names | Refused:
    """The names in a folder, sub-folders with a slash at their end."""
    try:
        answer = _list.decode(body)
    except BROKEN:
        return _STRANGE
    return _STRANGE if answer.data is None else Names(answer.data.keys)


def joined(pages: Iterable[bytes]) -> Names:
    """The names in a folder of which each answer has some, each once."""
    names: dict[str, None] = {}
    for body in pages:
        page = read_names(body)
        if not isinstance(page, Refused):
            names.update(dict.fromkeys(page))
    return Names(msgspec.json.encode([*names]))


def written(body: bytes) -> Written | Refused:
    """The version that a write made; KV version 1 answers with an empty body."""
    if not body:
        return Written()
    try:
        answer = _write.decode(body)
    except BROKEN:
        return _STRANGE
    return _STRANGE if answer.data is None else Written(answer.data.version)
