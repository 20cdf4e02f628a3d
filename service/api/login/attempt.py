"""A login that is under way: what the browser keeps until the provider sends it back.

It is in a cookie of that browser, not in our tables: whoever is not known yet makes nobody write.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, fields

from .next_page import is_own


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login: ``state`` binds the answer to this browser, ``nonce`` the ID token, ``verifier`` the code (PKCE)."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, page: str) -> Attempt:
        """A login that ends at a page of ours."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), page)

    @property
    def challenge(self) -> str:
        """What the provider gets of the verifier (RFC 7636, S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def encoded(self) -> str:
        """As the cookie holds it."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")


def attempt_of(cookie: str | None, path: str) -> Attempt | None:
    """The login that a cookie holds; None for anything else. Its page is one of ours, below ``path``."""
    if not cookie:
        return None
    try:
        found = json.loads(base64.b64decode(cookie + "=" * (-len(cookie) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    names = {field.name for field in fields(Attempt)}
    if not isinstance(found, dict) or found.keys() != names or not all(isinstance(v, str) for v in found.values()):
        return None
    attempt = Attempt(**found)
    if min(len(attempt.state), len(attempt.nonce), len(attempt.verifier)) < 43 or not is_own(attempt.next, path):
        return None
    return attempt
