"""What is kept of a secret to compare it by: 41 bytes under the key of one run, which say nothing to who has no key.

    kind (1) · value (16) · custom metadata (8) · settings (8) · versions (8)

Each is an HMAC over the path and what it stands for; one of zero bytes is not known. A key without a value has the
kind ``GONE``, and why in the place of its value.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

from ...formats.json import text as jsontext

if TYPE_CHECKING:
    from ...formats.secret import Secret, Version

VALUE, GONE = b"v", b"g"
_VALUE, _CUSTOM, _SETTINGS, _VERSIONS = slice(1, 17), slice(17, 25), slice(25, 33), slice(33, 41)
_UNKNOWN = bytes(8)
_encode = msgspec.json.Encoder(order="sorted").encode


def mark(key: bytes, secret: Secret) -> bytes:
    """That of one secret."""
    path = secret.path.encode(errors="surrogatepass")

    def short(what: bytes, content: bytes, size: int = 8) -> bytes:
        return hmac.digest(key, b"".join((len(path).to_bytes(4), path, what, content)), "sha256")[:size]

    custom = settings = versions = _UNKNOWN
    metadata = secret.metadata
    if metadata is not None:
        custom = short(b"custom", _encode(metadata.custom_metadata))
        if not metadata.partial:
            settings = short(b"settings", _encode(msgspec.structs.replace(metadata, custom_metadata={})))
    # Of a key without a value the number of the newest is known, whether older ones were asked for or not.
    if secret.version and (secret.older or not secret.gone):
        states = b"\n".join(_state(each) for each in secret.older)
        versions = short(b"versions", b"%d %d\n%b" % (secret.version, secret.oldest, states))
    if secret.gone:
        return GONE + short(b"gone", secret.gone.encode(), 16) + custom + settings + versions
    return VALUE + short(b"value", _meaning(secret.value), 16) + custom + settings + versions


def _state(version: Version) -> bytes:
    if version.value is None:
        return b"%d %b" % (version.number, b"destroyed" if version.destroyed else b"deleted")
    return b"%d %b" % (version.number, _meaning(version.value))


def _meaning(value: bytes) -> bytes:
    try:
        return jsontext.meaning(value)
    except ValueError:
        return value


def gone(one: bytes) -> bool:
    """Whether it is a key without a value."""
    return one[:1] == GONE


def other_value(one: bytes, other: bytes) -> bool:
    """Whether two secrets have another value, or none for another reason."""
    return one[_VALUE] != other[_VALUE]


def other_metadata(one: bytes, other: bytes) -> bool:
    """Whether they are known to have other custom metadata or settings."""
    return any(_differ(one[part], other[part]) for part in (_CUSTOM, _SETTINGS))


def other_versions(one: bytes, other: bytes) -> bool:
    """Whether they are known to have other older versions, or another number."""
    return _differ(one[_VERSIONS], other[_VERSIONS])


def _differ(one: bytes, other: bytes) -> bool:
    return _UNKNOWN not in (one, other) and one != other
