"""A cache of verified tokens, by their SHA-256."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .roles import Principal

#: Most tokens that are remembered; then all are forgotten.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: float
    keys: object


class RememberedTokens:
    """The sender of each token, while the keys that verified it are current and it has not expired.

    ``keys`` returns an object that is another one when the keys change, None when they must be read again.
    So a token is refused as soon as it would be if it were verified each time.
    """

    def __init__(self, keys: Callable[[], object | None], now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now
        self._known: dict[bytes, _Known] = {}

    def get(self, token: str) -> Principal | None:
        """Who sent it; None when it must be verified."""
        if (known := self._known.get(name := _name(token))) is None:
            return None
        if (keys := self._keys()) is None:
            return None
        if known.keys is not keys or self._now() >= known.until:
            del self._known[name]
            return None
        return known.principal

    def add(self, token: str, principal: Principal, until: float) -> None:
        """Remember a token that has just been verified and expires at ``until`` (Unix time)."""
        if (keys := self._keys()) is None:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[_name(token)] = _Known(principal, until, keys)


def _name(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
