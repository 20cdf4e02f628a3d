"""What SPEC.md, section 6.3, lets a reader refuse is refused, and everything up to it is read."""

from __future__ import annotations

import pytest

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v1.payload_reader import Parts, PayloadReader

MIB = 1024 * 1024


def of_size(size: int) -> dict[str, bytes]:
    """Payloads that have something of this many bytes, or this deep."""
    return {
        "path": b'{"vault_secrets":{"' + b"p" * size + b'":{}}}',
        "escaped path": b'{"vault_secrets":{"' + b"\\u0041" * (size // 6) + b"p" * (size % 6) + b'":{}}}',
        "inner header": b'{"header":{' + b" " * (size - 2) + b"}}",
        "value": b'{"vault_secrets":{"a":"' + b"v" * (size - 2) + b'"}}',
        "object": b'{"vault_secrets":{"a":{"b":"' + b"v" * (size - 8) + b'"}}}',
        "nested value": b'{"vault_secrets":{"a":' + b"[" * size + b"]" * size + b"}}",
        "nested unknown": b'{"a":' + b"[" * size + b"]" * size + b"}",
    }


LIMITS = {
    "path": 65_536,
    "escaped path": 65_536,
    "inner header": 65_536,
    "value": 8 * MIB,
    "object": 8 * MIB,
    "nested value": 10_000,
    "nested unknown": 10_000,
}


def read(payload: bytes, size: int) -> list[Parts]:
    """Read a payload in pieces of so many bytes."""
    reader = PayloadReader()
    parts = [reader.update(payload[at : at + size]) for at in range(0, len(payload), size)]
    reader.finish()
    return parts


@pytest.mark.parametrize("what", LIMITS)
@pytest.mark.parametrize("pieces", [1, 4])
def test_limit(what: str, pieces: int) -> None:
    """Exactly the limit is read, and one more is refused, whether it comes in one piece or in many."""
    payload = of_size(LIMITS[what])[what]
    assert read(payload, -(-len(payload) // pieces))
    with pytest.raises(DamagedArchive) as caught:
        read(of_size(LIMITS[what] + 1)[what], -(-len(payload) // pieces))
    assert caught.value.layer == "payload"
