"""The OpenID provider: what it says of itself, and codes that it gave out, redeemed for who somebody is."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import aiohttp

from ....config.login.settings import is_safe_url
from ..identity.auth import NotAuthenticated
from ..identity.signing_keys import Jwks
from ..identity.tokens import JwtAuthenticator, TokenRules
from ..problems import ApiError

if TYPE_CHECKING:
    from ....config.login.settings import LoginSettings
    from .attempt import Attempt

#: Seconds for which what a provider says of itself is kept.
KEPT = 3600.0
#: Seconds after which one that could not be asked is asked again.
PAUSE = 5.0
#: Longest ID token that is looked at, in bytes: some name hundreds of groups.
_LONGEST = 64 * 1024
_MAX_ANSWER = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of a provider's own document (OpenID Connect Discovery 1.0, 3)."""

    authorize: str
    token: str
    end_session: str | None
    secret_in_body: bool
    names_issuer: bool
    id_tokens: JwtAuthenticator


class Provider:
    """The provider that ``[login]`` names.

    Every method raises ``ApiError`` (503) when it cannot be reached or says what cannot be used.
    """

    def __init__(self, settings: LoginSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._lock = asyncio.Lock()
        self._known: Metadata | None = None
        self._asked_at = float("-inf")
        self._failure: ApiError | None = None

    async def metadata(self) -> Metadata:
        """What it says of itself, at most an hour old; older when it does not answer any more."""
        async with self._lock:
            if self._now() - self._asked_at >= (KEPT if self._failure is None else PAUSE):
                try:
                    self._known, self._failure = await self._discover(), None
                except ApiError as exc:
                    self._failure = exc.with_traceback(None)
                self._asked_at = self._now()
            if self._known is None:
                assert self._failure is not None
                raise self._failure
            return self._known

    async def authorization(self, attempt: Attempt, redirect: str) -> str:
        """The address at which somebody logs in and is sent back to ``redirect``."""
        said = await self.metadata()
        scopes = dict.fromkeys(("openid", *self._settings.scopes))
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with(said.authorize, asked)

    async def end_session(self, back: str) -> str | None:
        """The address at which somebody logs out of the provider too; None without one, or an answer."""
        try:
            said = await self.metadata()
        except ApiError:
            return None
        if said.end_session is None:
            return None
        return _with(said.end_session, {"client_id": self._settings.client_id, "post_logout_redirect_uri": back})

    async def redeem(self, code: str, issuer: str | None, attempt: Attempt, redirect: str) -> dict[str, Any]:
        """The claims of the ID token that a code stands for; ``issuer`` is who sent the code, as far as it says so.

        Raises ``NotAuthenticated`` for a code or a token that cannot be used.
        """
        said = await self.metadata()
        if issuer != self._settings.issuer and (issuer is not None or said.names_issuer):  # RFC 9207
            raise NotAuthenticated("The answer comes from another provider.")
        token = await self._token(said, code, attempt, redirect)
        claims = await said.id_tokens.claims(token)
        self._check(claims, attempt)
        return claims

    def _check(self, claims: Mapping[str, Any], attempt: Attempt) -> None:
        """What PyJWT does not look at (OpenID Connect Core 1.0, 3.1.3.7)."""
        nonce = claims["nonce"]
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise NotAuthenticated("The ID token was made for another login.")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else self._settings.client_id) != self._settings.client_id:
            raise NotAuthenticated("The ID token was given to another client.")

    async def _token(self, said: Metadata, code: str, attempt: Attempt, redirect: str) -> str:
        settings = self._settings
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        form |= {"code_verifier": attempt.verifier}
        headers = {}
        if settings.client_secret and not said.secret_in_body:  # RFC 6749, 2.3.1
            login = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id}
            form |= {"client_secret": settings.client_secret} if settings.client_secret else {}
        status, found = await _asked("POST", said.token, data=form, headers=headers)
        token = found.get("id_token")
        if status == 200 and isinstance(token, str):
            return token
        error = found.get("error")
        if error == "invalid_grant":
            raise NotAuthenticated("The provider does not take the code: it is too old, or was used.")
        named = f" ({error})" if isinstance(error, str) and _CODE.fullmatch(error) else ""
        raise _unusable(f"it answers {status}{named} instead of giving an ID token")

    async def _discover(self) -> Metadata:
        issuer = self._settings.issuer
        status, said = await _asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if status != 200:
            raise _unusable(f"it answers {status}")
        if said.get("issuer") != issuer:
            raise _unusable("it calls itself by another name than issuer in [login]")
        needed = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if not all(isinstance(each, str) and _is_endpoint(each) for each in needed):
            raise _unusable("what it says of itself lacks an https address")
        authorize, token, keys = map(str, needed)
        end = said.get("end_session_endpoint")
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        rules = TokenRules(
            audience=self._settings.client_id, issuer=issuer, required=("iat", "aud", "nonce"), longest=_LONGEST
        )
        return Metadata(
            authorize=authorize,
            token=token,
            end_session=end if isinstance(end, str) and _is_endpoint(end) else None,
            secret_in_body="client_secret_basic" not in methods,
            names_issuer=said.get("authorization_response_iss_parameter_supported") is True,
            id_tokens=JwtAuthenticator(Jwks(keys, named="the provider's keys"), rules),
        )


async def _asked(method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object that is answered. Redirects are not followed."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url, allow_redirects=False, **more) as reply,
        ):
            body = await _all(reply.content)
            found = json.loads(body)
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise _unusable("nobody answers there") from None
    except (ValueError, RecursionError):
        raise _unusable("the answer is not JSON") from None
    if not isinstance(found, dict):
        raise _unusable("the answer is no object of JSON")
    return reply.status, found


async def _all(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER:
            raise ValueError
    return bytes(body)


def _is_endpoint(url: str) -> bool:
    return is_safe_url(url.partition("?")[0])


def _with(url: str, asked: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"


def _unusable(why: str) -> ApiError:
    return ApiError(
        503,
        "no-provider",
        "Nobody can log in",
        f"The OpenID provider cannot be used: {why}.",
        "Look at issuer in [login], and at the provider. Tokens are taken as ever.",
        headers={"Retry-After": "10"},
    )
