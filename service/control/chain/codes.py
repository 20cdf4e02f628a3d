"""The codes of a chain of audit entries: HMAC-SHA-256 over an entry and the code of the one before it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The code before the first entry.
FIRST = bytes(32)
#: The columns that are part of an entry's code, in its order, which never changes. ``id`` has gaps and is none of them:
#: the place in the chain has no gaps.
SAID = (
    *("place", "late", "target", "at", "action", "user_id", "user_name", "ip", "workstation"),
    *("job_id", "archive", "backup_type", "duration", "size", "details"),
)
#: What is read of an entry. A moment that Python has none for was not written by us; then there is none.
ENTRY = ", ".join(("id", "code", *(each for each in SAID if each != "at"))) + (
    ", CASE WHEN at BETWEEN '0001-01-03' AND '9999-12-29' THEN at END AS at"
)


def key_name(key: bytes) -> str:
    """A name for a key, of which nothing can be learned about it."""
    return hmac.new(key, b"kleidia-backup audit: name", hashlib.sha256).hexdigest()[:16]


def code_of(key: bytes, before: bytes, entry: Mapping[str, object]) -> bytes:
    """The code of an entry with its place (from 1), behind the code of the one before it."""
    said = [_plain(entry[name]) for name in SAID]
    text = json.dumps(said, ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, b"kleidia-backup audit: entry\0" + before + text.encode(), hashlib.sha256).digest()


def seal_of(key: bytes, target: str, chain: str, place: int, code: bytes) -> bytes:
    """The code of a chain's end, which is at ``place``: it cannot be made of the entries' own codes."""
    text = json.dumps([target, chain, place, code.hex()], separators=(",", ":"))
    return hmac.new(key, b"kleidia-backup audit: end\0" + text.encode(), hashlib.sha256).digest()


def _plain(value: object) -> object:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
