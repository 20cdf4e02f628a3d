"""What ``json.loads`` takes and our formats do not: members that stand twice, NaN and the infinities.

Format V2 also refuses numbers that are no integers or beyond 2^53, halves of surrogate pairs, and more than 64 levels.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NoReturn

#: The largest integer that every JSON decoder reads exactly.
MAX_NUMBER = 2**53
#: Most levels of objects and arrays in format V2.
MAX_LEVELS = 64


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members, for ``json.loads``. Raises ``ValueError`` when a name stands there twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def refuse_constant(constant: str) -> None:
    """NaN and the infinities, which Python takes for JSON."""
    raise ValueError(constant)


def strict_object(raw: bytes) -> dict[str, Any]:
    """The members of a JSON object by the rules of format V2 (its SPEC.md, section 3), white space around it aside.

    Raises ``ValueError`` for anything else. Its message holds nothing of the text.
    """
    try:
        found = json.loads(
            raw.decode(),
            parse_constant=refuse_constant,
            parse_float=_refuse_fraction,
            parse_int=_integer,
            object_pairs_hook=without_duplicates,
        )
        # json.loads reads "\ud800", which no UTF-8 can hold.
        json.dumps(found, ensure_ascii=False).encode()
        if _levels(found) > MAX_LEVELS:
            raise ValueError("nested too deep")
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON by the rules of the format") from None
    if not isinstance(found, dict):
        raise ValueError("this is not a JSON object")  # noqa: TRY004 - callers expect one error
    return found


def exact_base64(text: object, *sizes: int) -> bytes:
    """The bytes of a base64 text that has one of these sizes, in bytes, and is the only one that encodes them.

    Raises ``ValueError``; its message holds nothing of the text.
    """
    if isinstance(text, str) and text.isascii():
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            raw = b""
        if len(raw) in sizes and base64.b64encode(raw).decode() == text:
            return raw
    raise ValueError(f"this is not base64 of {' or '.join(map(str, sizes))} bytes")


def _levels(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_levels, inside), default=0)


def _refuse_fraction(number: str) -> NoReturn:
    raise ValueError(number)


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > MAX_NUMBER:
        raise ValueError(text)
    return number
