"""Secrets as lines of JSON, many a chunk (SPEC.md, section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import cast, get_args

import msgspec

from ..errors import DamagedArchive, PayloadError
from ..json.scan import PLAIN_OBJECT, STRING, WHITESPACE, ValueScanner
from ..json.strict import MAX_NUMBER, strict_object
from ..secret import MAX_METADATA, MAX_SECRET, Gone, Metadata, Origin, Secret, Version
from .chunks import Chunk

#: Bytes at which a chunk of secrets ends.
SECRETS = 512 * 1024
#: Longest path, in bytes as it is written, without its quotes.
MAX_PATH = 64 * 1024
#: Longest time, likewise: what a vault writes has 30.
MAX_CREATED = 64

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_metadata = msgspec.json.Decoder(Metadata).decode
#: A line as we write it, of a value that is not nested deeply and no older ones: one match, and no member stands twice.
_LINE = re.compile(
    rb'\{"path":('
    + STRING.pattern
    + rb'),"value":('
    + PLAIN_OBJECT.pattern
    + rb')(?:,"metadata":('
    + PLAIN_OBJECT.pattern
    + rb"))?(?:,\"version\":([1-9][0-9]{0,14}),\"created\":("
    + STRING.pattern
    + rb"))?\}"
)

_NUMBER = re.compile(rb"-?0|[1-9][0-9]{0,15}")
_OPEN = re.compile(WHITESPACE.pattern + rb"(\{)" + WHITESPACE.pattern)
_NAME = re.compile(
    WHITESPACE.pattern + rb"(" + STRING.pattern + rb")" + WHITESPACE.pattern + rb":" + WHITESPACE.pattern
)
_NEXT = re.compile(WHITESPACE.pattern + rb"([,}])" + WHITESPACE.pattern)
_OPEN_ARRAY = re.compile(WHITESPACE.pattern + rb"\[" + WHITESPACE.pattern + rb"(\])?")
_NEXT_ELEMENT = re.compile(WHITESPACE.pattern + rb"([,\]])" + WHITESPACE.pattern)


class SecretChunks:
    """Groups secrets: ``feed``, then ``finish``."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._paths: list[str] = []
        self._size = 0

    def feed(self, secret: Secret) -> Iterator[Chunk]:
        """The chunk that this one ends, if it does. Raises ``PayloadError`` for one that no archive can hold."""
        if not secret.gone and not secret.value.startswith(b"{"):
            raise PayloadError(
                f"The secret {secret.path} has a value that is no JSON object, which format V2 cannot hold.",
                hint="Keep the archive as it is.",
            )
        try:
            path = _encode(secret.path)
        except UnicodeEncodeError:
            raise PayloadError("A secret's path holds text that UTF-8 cannot.") from None
        size = len(secret.value) + sum(len(each.value or b"") for each in secret.older)
        if not secret.path or len(path) > MAX_PATH + 2 or size > MAX_SECRET:
            raise PayloadError(f"A secret is larger than an archive can hold, or has no path: {secret.path[:200]!r}.")
        newest = b',"newest":"%b"' % secret.gone.encode() if secret.gone else b',"value":' + secret.value
        line = b"".join((b'{"path":', path, newest, *_further(secret), b"}"))
        # An end of line can stand between tokens only.
        line = line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
        if self._lines and self._size + len(line) > SECRETS:
            yield from self.finish()
        self._lines.append(line)
        self._paths.append(secret.path)
        self._size += len(line)

    def finish(self) -> Iterator[Chunk]:
        """What is left."""
        if self._lines:
            yield Chunk("kv", b"".join(self._lines), count=len(self._lines), paths=tuple(self._paths))
            self._lines.clear()
            self._paths.clear()
            self._size = 0


def _further(secret: Secret) -> Iterator[bytes]:
    """The optional members of a line."""
    if secret.metadata is not None:
        yield b',"metadata":'
        yield _encode(secret.metadata)
    if secret.version:
        yield b',"version":%d,"oldest":%d,"versions":[' % (secret.version, secret.oldest)
        yield b",".join(_version_text(each) for each in secret.older)
        yield b"]"
    if secret.origin is not None:
        if not secret.version:
            yield b',"version":%d' % secret.origin.version
        yield b',"created":%b' % _encode(secret.origin.created)


def _version_text(version: Version) -> bytes:
    if version.value is not None:
        created = b',"created":%b' % _encode(version.created) if version.created else b""
        return b'{"version":%d,"value":%b%b}' % (version.number, version.value, created)
    return b'{"version":%d,"%b":true}' % (version.number, b"destroyed" if version.destroyed else b"deleted")


def read_secrets(data: bytes) -> list[Secret]:
    """The secrets of a chunk. Raises ``DamagedArchive`` (layer ``payload``)."""
    lines = data.split(b"\n")
    if lines.pop():
        raise _damaged("a line without its end")
    try:
        return [_secret(line) for line in lines]
    except (ValueError, msgspec.DecodeError):  # UnicodeDecodeError too
        raise _damaged("a line that is no secret") from None


def _secret(line: bytes) -> Secret:
    if not line.isascii():
        line.decode()  # strict UTF-8
    if match := _LINE.fullmatch(line):
        path, value, metadata, version, created = match.groups()
        found = {} if metadata is None else {"metadata": metadata}
        if created is not None:
            found |= {"version": version, "created": created}
    else:
        found = _members(line)
        path, value = found.get("path", b""), found.get("value", b"")
        if "newest" in found:
            return _without_value(path, found)
        if not value.startswith(b"{"):
            raise ValueError("no object")
    name = _decode_text(path)
    if not name or len(path) > MAX_PATH + 2 or len(value) > MAX_SECRET:
        raise ValueError("no path, or too large")
    if not found.keys() & {"metadata", "versions", "created"}:
        return Secret(name, value)
    newest, older, oldest = _versions(found)
    if len(value) + sum(len(each.value or b"") for each in older) > MAX_SECRET:
        raise ValueError("too large")
    return Secret(name, value, _metadata(found.get("metadata")), newest, older, oldest, origin=_origin(found))


def _origin(found: dict[str, bytes]) -> Origin | None:
    """Which version the value is of, and its time."""
    if "created" not in found:
        return None
    version, created = _decode_number(found.get("version", b"")), _created(found)
    if not version:
        raise ValueError("no number")
    return Origin(version, created)


def _created(found: dict[str, bytes]) -> str:
    """The time of a version, as the vault writes it; empty where there is none."""
    text = found.get("created", b'""')
    if len(text) > MAX_CREATED + 2:
        raise ValueError("too long")
    return _decode_text(text)


def _without_value(path: bytes, found: dict[str, bytes]) -> Secret:
    """A key whose newest version is deleted or destroyed, or that has no version."""
    name, gone = _decode_text(path), _decode_text(found["newest"])
    if not name or len(path) > MAX_PATH + 2 or "value" in found or gone not in get_args(Gone):
        raise ValueError("no path, too large, a value, or no reason")
    if gone == "none":
        if found.keys() & {"version", "versions"}:
            raise ValueError("versions of a key that has none")
        return Secret(name, b"", _metadata(found.get("metadata")), gone="none")
    version, older, oldest = _versions({"versions": b"[]"} | found)
    if sum(len(each.value or b"") for each in older) > MAX_SECRET:
        raise ValueError("no number, or too large")
    return Secret(name, b"", _metadata(found.get("metadata")), version, older, oldest, cast("Gone", gone))


def _metadata(text: bytes | None) -> Metadata | None:
    if text is None:
        return None
    if len(text) > MAX_METADATA:
        raise ValueError("too large")
    metadata = _decode_metadata(text)
    if _encode(metadata) != text:  # what is not written as we write it is looked at more closely
        strict_object(text)
    if not 0 <= metadata.max_versions <= MAX_NUMBER:
        raise ValueError("a number that is negative or too large")
    return metadata


def _versions(found: dict[str, bytes]) -> tuple[int, tuple[Version, ...], int]:
    """The number of the newest version, the older ones, and which the vault calls the oldest."""
    if "versions" not in found:
        return 0, (), 0
    newest = _decode_number(found.get("version", b""))
    older = tuple(_version(_members(each)) for each in _elements(found["versions"]))
    numbers = [0, *(each.number for each in older), newest]
    if any(above <= below for below, above in pairwise(numbers)):
        raise ValueError("versions that are not in order")
    return newest, older, _decode_number(found.get("oldest", b"0"))


def _version(found: dict[str, bytes]) -> Version:
    number, value = _decode_number(found.get("version", b"")), found.get("value")
    states = [found.get(name, b"false") for name in ("destroyed", "deleted")]
    if any(each not in {b"true", b"false"} for each in states):
        raise ValueError("no boolean")
    destroyed, deleted = (each == b"true" for each in states)
    if value is None and not destroyed and not deleted:
        raise ValueError("no value")
    if value is not None and (destroyed or deleted or not value.startswith(b"{")):
        raise ValueError("no object")
    return Version(number, value, destroyed, _created(found))


def _decode_number(text: bytes) -> int:
    """A whole number, none below 0, by the rules of section 3: msgspec takes 1.0 for one too."""
    if not _NUMBER.fullmatch(text) or (number := int(text)) > MAX_NUMBER:
        raise ValueError("no number")
    return number


def _elements(array: bytes) -> Iterator[bytes]:
    """The elements of an array, each as its text."""
    begin = _OPEN_ARRAY.match(array)
    if begin is None:
        raise ValueError("no array")
    at, ended = begin.end(), begin.group(1) is not None
    while not ended:
        end = ValueScanner(at, inside=1).scan(array)
        following = None if end is None else _NEXT_ELEMENT.match(array, end)
        if end is None or following is None:
            raise ValueError("an array without its end")
        yield array[at:end]
        at, ended = following.end(), following.group(1) == b"]"


def _members(line: bytes) -> dict[str, bytes]:
    """The members of a line, each as its text; what is in a value counts as levels of its own."""
    found: dict[str, bytes] = {}
    place = _OPEN.match(line)
    while place is not None and place.group(1) != b"}":
        name = _NAME.match(line, place.end())
        if name is None:
            raise ValueError("no name")
        key = _decode_text(name.group(1))
        end = ValueScanner(name.end(), inside=2 if key == "versions" else 0).scan(line)
        if end is None or key in found:
            raise ValueError("a value without an end, or a name twice")
        found[key] = line[name.end() : end]
        place = _NEXT.match(line, end)
    if place is None or place.end() != len(line):
        raise ValueError("not one object")
    return found


def _damaged(what: str) -> DamagedArchive:
    return DamagedArchive("payload", f"The archive's secrets hold {what}.")
