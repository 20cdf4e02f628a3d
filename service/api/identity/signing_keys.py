"""Where the keys of tokens come from: a secret in the vault, or a JWKS URL. Both are cached."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from ....config.login.settings import is_loopback
from ....stages.errors import ConfigurationError, KleidiaError
from ....stages.urls import is_host
from ..problems import ApiError
from .tokens import check_secret

#: Seconds for which keys are kept, between two readings that bad signatures cause, and for which keys that cannot be
#: read again are still good: a restore and a short outage of the vault shall not lock everybody out.
FRESH, PAUSE, STALE = 60.0, 5.0, 600.0
#: Shorter RSA keys are not taken (RFC 7518, 3.3).
_RSA_BITS = 2048
_MAX_JWKS = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class _CachedKeys:
    """Keys that are read again when they are too old."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = asyncio.Lock()
        self._keys: list[Any] = []
        self._read_at = self._tried_at = float("-inf")
        self._failure: Exception | None = None

    @property
    def current(self) -> object | None:
        """As in ``Keys``."""
        return self._keys if self._now() - self._read_at < FRESH else None

    async def keys(self, *, again: bool) -> tuple[list[Any], bool]:
        """The keys, and whether they are newer than before. Raises what ``_read`` raises when there are none."""
        async with self._lock:
            age = self._now() - self._read_at
            if age < FRESH and not again:
                return self._keys, False
            if self._now() - self._tried_at < PAUSE:
                if age >= STALE and self._failure is not None:
                    raise self._failure
                return self._keys, False
            self._tried_at = self._now()
            before = self._keys
            try:
                read = await self._read()
                self._keys = before if read == before else read  # equal keys stay the same object: see ``current``
            except (KleidiaError, ApiError) as exc:
                self._failure = exc.with_traceback(None)
                if age < STALE:
                    return before, False
                raise
            self._read_at, self._failure = self._now(), None
            return self._keys, True

    async def _read(self) -> list[Any]:
        raise NotImplementedError


class VaultSecret(_CachedKeys):
    """HS256 with a secret that ``read`` gets from the vault.

    A restore may change it: it is read again at once, but not more often than every few seconds, when a signature
    does not fit.
    """

    algorithms: tuple[str, ...] = ("HS256",)

    def __init__(self, read: Callable[[], Awaitable[str]], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._ask = read

    async def _read(self) -> list[Any]:
        return [check_secret(await self._ask())]

    async def find(self, header: dict[str, Any], *, again: bool) -> Sequence[Any]:  # noqa: ARG002
        """As in ``Keys``."""
        keys, newer = await self.keys(again=again)
        return keys if newer or not again else []


class Jwks(_CachedKeys):
    """RS256, ES256 or EdDSA with the keys at a URL. An unknown key id makes it read again.

    Raises ``ConfigurationError`` for a URL on which the keys could be exchanged on the way.
    """

    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")

    def __init__(
        self, url: str, now: Callable[[], float] = time.monotonic, *, named: str = "jwks_url in [service]"
    ) -> None:
        super().__init__(now)
        self._named = named
        try:
            parts = urlsplit(url)
            fits = is_host(parts.hostname or "") and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ConfigurationError(f"{named} is no URL.", hint="Use the issuer's https URL.")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ConfigurationError(
                f"{named} is not https, so its keys could be exchanged on the way.",
                hint="Use the issuer's https URL.",
            )
        self._url = url

    async def _read(self) -> list[Any]:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(self._url, allow_redirects=False) as reply,
            ):
                body = await reply.content.read(_MAX_JWKS)
                if reply.status != 200:
                    raise self._no_keys(f"it answers {reply.status}")
                found = _usable(json.loads(body), self.algorithms)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise self._no_keys("nobody answers there") from None
        except (ValueError, RecursionError):
            raise self._no_keys("the answer is not JSON") from None
        if not found:
            raise self._no_keys(f"it has no key for {', '.join(self.algorithms)}")
        return found

    def _no_keys(self, why: str) -> ApiError:
        return ApiError(
            503,
            "no-keys",
            "The keys of tokens cannot be read",
            f"The keys at {self._named.removesuffix(' in [service]')} cannot be read: {why}.",
            f"Look at {self._named}, and at the service behind it.",
            headers={"Retry-After": "10"},
        )

    async def find(self, header: dict[str, Any], *, again: bool) -> Sequence[Any]:
        """As in ``Keys``."""
        keys, newer = await self.keys(again=again)
        if again and not newer:
            return []
        fitting = [key for key in keys if key.algorithm_name == header["alg"]]
        named = header.get("kid")
        return fitting if named is None else [key for key in fitting if key.key_id == named]


def _usable(document: Any, algorithms: tuple[str, ...]) -> list[Any]:
    """Public signing keys of our algorithms; never a symmetric one."""
    found = []
    keys = document.get("keys") if isinstance(document, dict) else None
    for each in keys if isinstance(keys, list) else []:
        if not isinstance(each, dict) or each.get("kty") == "oct" or each.get("use", "sig") != "sig":
            continue
        with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError):
            key = jwt.PyJWK(each)
            weak = isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < _RSA_BITS
            if key.algorithm_name in algorithms and not weak:
                found.append(key)
    return found
