"""JSON Web Tokens: whose they are, when they are valid. The algorithms are fixed; PyJWT does the cryptography."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jwt

from ...stages.errors import ConfigurationError
from .auth import Forbidden, NotAuthenticated, Principal, line
from .remembered import RememberedTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import Request

#: Longest token that is looked at, in bytes.
MAX_TOKEN = 8192
#: Seconds by which clocks may differ.
LEEWAY = 30


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. Without ``audience`` a token that names one is refused: it is meant for somebody else.

    ``role_claim`` holds one role or a list; dots lead into objects (``realm_access.roles``).
    """

    audience: str = ""
    issuer: str = ""
    role_claim: str = "role"
    admin_roles: tuple[str, ...] = ("admin",)
    viewer_roles: tuple[str, ...] = ("viewer",)


class Keys(Protocol):
    """Where keys come from."""

    #: The algorithms that these keys sign with.
    algorithms: tuple[str, ...]

    @property
    def current(self) -> object | None:
        """Another object when the keys have changed; None when they are to be read again."""

    async def find(self, header: dict[str, Any], *, again: bool) -> Sequence[Any]:
        """The keys that may have signed a token with this header.

        ``again``: those last given did not fit; none when there is nothing newer.
        """


class JwtAuthenticator:
    """Authenticates ``Authorization: Bearer`` with a JWT. ``exp`` and ``sub`` are required."""

    def __init__(self, keys: Keys, rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules
        self._remembered = RememberedTokens(lambda: keys.current)

    async def __call__(self, request: Request) -> Principal:
        """Who sent it.

        Raises ``NotAuthenticated``, ``Forbidden`` for a token without a role, and what reading the keys raises.
        """
        values = request.headers.getlist("authorization")
        if not values:
            raise NotAuthenticated("The request has no token.", tried=False)
        token = _token(values[0])
        if len(values) > 1 or not token:
            raise NotAuthenticated("Authorization is not Bearer with one token.")
        if (known := self._remembered.get(token)) is not None:
            return known
        claims = await self._claims(token)
        principal = self._principal(claims)
        self._remembered.add(token, principal, float(claims["exp"]))
        return principal

    def knows(self, authorization: str) -> bool:
        """Whether that value of the header would be taken at once, with whatever role."""
        token = _token(authorization)
        return bool(token) and self._remembered.get(token) is not None

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_TOKEN else {}
        except (jwt.InvalidTokenError, UnicodeError):
            header = {}
        # Before any key is asked for: "none", and an algorithm of the other family.
        if header.get("alg") not in self._keys.algorithms:
            raise NotAuthenticated("The token is none, or not signed in a way that is taken here.")
        for again in (False, True):
            for key in await self._keys.find(header, again=again):
                try:
                    return self._decode(token, key)
                except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                    continue
                except jwt.InvalidTokenError as exc:
                    raise NotAuthenticated(_reason(exc)) from None
        raise NotAuthenticated("The token's signature is not valid.")

    def _decode(self, token: str, key: Any) -> dict[str, Any]:
        rules = self._rules
        return jwt.decode(
            token,
            key,
            algorithms=list(self._keys.algorithms),
            audience=rules.audience or None,
            issuer=rules.issuer or None,
            leeway=LEEWAY,
            options={"require": ["exp", "sub", *(["iss"] if rules.issuer else [])]},
        )

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = line(str(claims["sub"]))
        if not subject:
            raise NotAuthenticated("The token's subject is empty, too long or not printable.")
        names = (claims.get(name) for name in ("name", "preferred_username", "username", "email"))
        name = next((found for each in names if isinstance(each, str) and (found := line(each))), subject)
        roles = _roles(claims, self._rules.role_claim)
        if roles.intersection(self._rules.admin_roles):
            return Principal(subject, name, "admin")
        if roles.intersection(self._rules.viewer_roles):
            return Principal(subject, name, "viewer")
        raise Forbidden("The token gives you no role here.")


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _roles(claims: dict[str, Any], claim: str) -> set[str]:
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for name in claim.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    found = value if isinstance(value, list) else [value]
    return {each for each in found if isinstance(each, str)}


def _reason(error: jwt.InvalidTokenError) -> str:
    """Why, in words that hold nothing of the token."""
    for kind, text in (
        (jwt.ExpiredSignatureError, "The token has expired."),
        (jwt.ImmatureSignatureError, "The token is not valid yet."),
        (jwt.InvalidAudienceError, "The token is meant for another audience."),
        (jwt.InvalidIssuerError, "The token comes from another issuer."),
        (jwt.MissingRequiredClaimError, "The token lacks a claim: exp, sub, aud and iss, where configured."),
    ):
        if isinstance(error, kind):
            return text
    return "The token is not valid."


def check_secret(secret: str) -> bytes:
    """The key of HS256. Raises ``ConfigurationError`` for one that can be guessed (RFC 7518: 32 bytes at least)."""
    key = secret.encode()
    if len(key) < 32:
        raise ConfigurationError(
            "The secret that signs tokens is shorter than 32 bytes, so tokens could be forged.",
            hint="Write a longer one to the vault, 32 random bytes or more, and issue tokens anew.",
        )
    return key
