"""Bearer tokens: whatever a token says, the answer is a principal or one of two refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request

from kleidia_backup.service.api.identity.auth import Forbidden, NotAuthenticated
from kleidia_backup.service.api.identity.tokens import JwtAuthenticator, TokenRules

from ..direct import run
from ..harness import Finding, Harness, joined, parts, words

_SECRET = b"a secret of thirty-two bytes or so"
_RULES = TokenRules(issuer="i", audience="a", role_claim="realm_access.roles")


class _Keys:
    algorithms = ("HS256",)
    current = None

    async def find(self, header: dict[str, Any], *, again: bool) -> Sequence[Any]:
        """One key, which is never another."""
        return [] if again else [_SECRET]


def one(data: bytes) -> None:
    """``rules ␞ header ␞ claims``, signed as they are; or the value of Authorization."""
    how, header, claims = parts(data, 3)
    if how.startswith(b"B"):
        value = data
    else:
        signed = _base64(header or b'{"alg":"HS256"}') + b"." + _base64(claims)
        value = b"Bearer " + signed + b"." + _base64(hmac.digest(_SECRET, signed, "sha256"))
    rules = _RULES if how == b"r" else TokenRules()
    request = Request({"type": "http", "headers": [(b"authorization", value)], "path": "/", "method": "GET"})
    authenticator = JwtAuthenticator(cast("Any", _Keys()), rules)
    try:
        principal = run(authenticator(request))
    except (NotAuthenticated, Forbidden):
        return
    if how.startswith(b"B"):
        raise Finding("a token that nobody signed is taken")
    if not principal.subject or not principal.subject.isprintable() or principal.role not in ("admin", "viewer"):
        raise Finding(f"a principal such as {principal}")
    again = run(authenticator(request))
    if again != principal:
        raise Finding("the same token is somebody else's now")


def _base64(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def seeds() -> Mapping[str, bytes]:
    """Tokens that are taken and that are not."""
    claims: dict[str, Any] = {"sub": "42", "exp": 4_000_000_000, "role": "admin", "name": "Ada"}
    ruled = {
        "sub": "42",
        "exp": 4e9,
        "iss": "i",
        "aud": ["a"],
        "realm_access": {"roles": ["viewer", 1]},
        "nbf": 1,
        "iat": 1.5,
    }
    header = b'{"alg":"HS256","typ":"JWT","kid":"1"}'
    return {
        "plain": joined(b"", b"", json.dumps(claims).encode()),
        "rules": joined(b"r", header, json.dumps(ruled).encode()),
        "roles": joined(b"", header, json.dumps(claims | {"role": ["x", "viewer"]}).encode()),
        "crit": joined(b"", b'{"alg":"HS256","crit":["b64"],"b64":false}', json.dumps(claims).encode()),
        "bearer": b"Bearer eyJhbGciOiJIUzI1NiJ9.e30." + hashlib.sha256(b"x").hexdigest().encode(),
        "none": joined(b"", b'{"alg":"none"}', b"{}"),
    }


_WORDS = words(
    rb"""
    "alg": "HS256" "none" "kid": "crit": "b64":false "sub": "exp": "nbf": "iat": "aud": "iss": "role": "roles":
    "jti": null true 1e400 -1e400 NaN Infinity 1e19 [] {} -1 4000000000 \ud800 \u0000 . = eyJhbGciOiJIUzI1NiJ9
    """,
    b"\xff",
    b"Bearer ",
    b"[" * 60,
    b"9" * 60,
)
HARNESSES = {"token": Harness(one, seeds, _WORDS, 1024)}
