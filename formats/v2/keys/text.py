"""Keys as text, for files and settings (SPEC.md of archive format V2, section 12).

A text is one line, ``kleidia-public-x25519:`` and base64 of the key and a check of 4 bytes: so a mistyped public key is
refused now, and does not make archives that nobody can open.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import TypeVar

from ...json.strict import exact_base64

Kind = TypeVar("Kind")
_CHECK = 4


class InvalidKey(ValueError):
    """A text or some bytes are no key of the kind that was asked for. The message holds nothing of them."""


def key_text(name: str, raw: bytes) -> str:
    """The line for a key of these bytes."""
    return f"{name}:{base64.b64encode(raw + _check(name, raw)).decode()}"


def parse_key(text: str, kinds: Mapping[str, tuple[Kind, int]]) -> tuple[Kind, bytes]:
    """The only key in a text, lines that begin with ``#`` aside. Raises ``InvalidKey``.

    ``kinds``: the names that fit, what each is called by the caller, and the bytes that its keys have.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    wanted = " or ".join(f"{name}:…" for name in kinds)
    if len(lines) != 1:
        raise InvalidKey(f"There must be one line with a key ({wanted}); there are {len(lines)}.")
    name, _, encoded = lines[0].partition(":")
    if name not in kinds:
        raise InvalidKey(f"This is no key of the kind that is needed here: one begins with {wanted}.")
    kind, size = kinds[name]
    try:
        raw = exact_base64(encoded, size + _CHECK)
    except ValueError:
        raise InvalidKey(f"This {name} is not base64 of {size + _CHECK} bytes: is a part missing?") from None
    raw, check = raw[:size], raw[size:]
    if check != _check(name, raw):
        raise InvalidKey(f"This {name} does not fit its check: a character is wrong.")
    return kind, raw


def _check(name: str, raw: bytes) -> bytes:
    return sha256(name.encode() + b":" + raw).digest()[:_CHECK]
