"""JSON Web Tokens: subject, role, validity. The algorithms are fixed; PyJWT does the cryptography."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import jwt

from ....stages.errors import ConfigurationError
from .auth import Forbidden, NotAuthenticated
from .granting import Granting, name_of, role_values
from .origin import line
from .remembered import RememberedTokens

if TYPE_CHECKING:
    from fastapi import Request

    from .roles import Principal

#: Longest token that is looked at, in bytes.
MAX_TOKEN = 8192
#: Seconds by which clocks may differ.
LEEWAY = 30
#: A signed token as RFC 7515 writes it: three parts of base64url, without padding.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: The last second of the year 9999: what claims a later end has none.
_LATEST = 253_402_300_799


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. Without ``audience`` a token that names one is refused: it is meant for another service.

    ``role_claim`` holds one role or a list; dots lead into objects (``realm_access.roles``). ``required`` are claims
    besides exp and sub, ``longest`` the bytes that are looked at.
    """

    audience: str = ""
    issuer: str = ""
    role_claim: str = "role"
    granting: Granting = field(default_factory=Granting)
    required: tuple[str, ...] = ()
    longest: int = MAX_TOKEN


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
        claims = await self.claims(token)
        principal = self._principal(claims)
        self._remembered.add(token, principal, float(claims["exp"]))
        return principal

    def known(self, authorization: str) -> Principal | None:
        """The sender of that value of the header, when it is a token that was verified before."""
        token = _token(authorization)
        return self._remembered.get(token) if token else None

    async def claims(self, token: str) -> dict[str, Any]:
        """What a token says, when all of it is right.

        Raises ``NotAuthenticated``, and what reading the keys raises.
        """
        try:
            header = jwt.get_unverified_header(token) if _is_written_well(token, self._rules.longest) else {}
        except (jwt.InvalidTokenError, ValueError):
            header = {}
        # Before any key is asked for: "none", and an algorithm of the other family.
        if header.get("alg") not in self._keys.algorithms:
            raise NotAuthenticated("The token is none, or not signed in a way that is taken here.")
        for again in (False, True):
            for key in await self._keys.find(header, again=again):
                try:
                    claims = self._decode(token, key)
                except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                    continue
                except jwt.InvalidTokenError as exc:
                    raise NotAuthenticated(_reason(exc)) from None
                except (ArithmeticError, TypeError, ValueError):  # claims that PyJWT cannot compute with
                    raise NotAuthenticated(_reason(jwt.InvalidTokenError())) from None
                self._check(claims)
                return claims
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
            options={"require": ["exp", "sub", *(["iss"] if rules.issuer else []), *rules.required]},
        )

    def _check(self, claims: dict[str, Any]) -> None:
        """Refuse what PyJWT lets pass: times that are none, and an audience where none is expected, an empty one too.

        Raises ``NotAuthenticated``.
        """
        if not all(_is_time(claims[name]) for name in ("exp", "nbf", "iat") if name in claims):
            raise NotAuthenticated("The token has a time that is none.")
        if "aud" in claims and not self._rules.audience:
            raise NotAuthenticated(_reason(jwt.InvalidAudienceError()))

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = subject_of(claims)
        values = role_values(claims, self._rules.role_claim)
        principal = self._rules.granting.principal(subject, name_of(claims, subject), values)
        if principal is None:
            raise Forbidden("The token gives you no role here.")
        return principal


def subject_of(claims: dict[str, Any]) -> str:
    """Whose token it is. Raises ``NotAuthenticated`` for what cannot be stored."""
    if not (subject := line(str(claims["sub"]))):
        raise NotAuthenticated("The token's subject is empty, too long or not printable.")
    return subject


def _is_written_well(token: str, longest: int) -> bool:
    """Whether a token is written in the one way that there is: decoders take others too, and it counts as another."""
    if len(token) > longest or _FORM.fullmatch(token) is None:
        return False
    for part in token.split("."):
        try:
            plain = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except ValueError:
            return False
        if base64.urlsafe_b64encode(plain).rstrip(b"=") != part.encode():
            return False
    return True


def _is_time(value: object) -> bool:
    """Whether a claim is seconds since 1970, as RFC 7519 has it, of a time that can come."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _reason(error: jwt.InvalidTokenError) -> str:
    """Why, in words that hold nothing of the token."""
    for kind, text in (
        (jwt.ExpiredSignatureError, "The token has expired."),
        (jwt.ImmatureSignatureError, "The token is not valid yet."),
        (jwt.InvalidAudienceError, "The token is meant for another audience."),
        (jwt.InvalidIssuerError, "The token comes from another issuer."),
        (jwt.MissingRequiredClaimError, "The token lacks a claim: exp, sub, and others that are required here."),
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
