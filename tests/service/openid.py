"""A small OpenID provider on loopback: real keys, codes that are good once, PKCE, and what a test makes it do wrong.

For a person before a browser it has a page (``shows``): whoever it knows goes on from there, or does not want to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT, SECRET = "kleidia-backup", "canary-of-a-client-secret"
#: Where the service is, for its users.
PUBLIC = "https://backup.example.org"


@dataclass
class OpenId:
    """The provider. ``user``: the claims of whoever sits before the browser; ``sign`` makes an ID token of claims."""

    issuer: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    user: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    forgetful: bool = False
    shows: bool = False
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(self, claims: dict[str, Any]) -> str:
        """As it is done properly."""
        return jwt.encode(claims, self.key, "RS256", headers={"kid": "k1"})

    async def about(self, _: web.Request) -> web.Response:
        paths = {
            "authorization_endpoint": "/authorize?tenant=1",
            "token_endpoint": "/token",
            "jwks_uri": "/keys",
            "end_session_endpoint": "/end",
        }
        said = {name: f"{self.issuer}{path}" for name, path in paths.items()}
        return web.json_response(
            {"issuer": self.issuer, **said, "authorization_response_iss_parameter_supported": True}
        )

    async def keys(self, _: web.Request) -> web.Response:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [key | {"kid": "k1", "alg": "RS256", "use": "sig"}]})

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        self.asked[code] = asked
        back = self._back(asked, code=code)
        if self.shows:
            no = self._back(asked, error="access_denied")
            links = f'<a href="{escape(back)}">Go on as {self.user["name"]}</a> <a href="{escape(no)}">Do not</a>'
            icon = '<link rel="icon" href="data:,">'  # else a browser asks for one
            return web.Response(text=f"{icon}<h1>The provider</h1>{links}", content_type="text/html")
        return web.Response(status=302, headers={"Location": back})

    def _back(self, asked: dict[str, str], **answer: str) -> str:
        said = urlencode(answer | {"state": asked["state"], "iss": self.issuer})
        return f"{asked['redirect_uri']}?{said}"

    async def end(self, request: web.Request) -> web.Response:
        """Whose session ends there is led back."""
        return web.Response(status=302, headers={"Location": request.query["post_logout_redirect_uri"]})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            return web.json_response({"error": "invalid_client"}, status=401)
        code = str(form["code"])
        asked = self.asked.get(code) if self.forgetful else self.asked.pop(code, None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {name: value for name, value in (claims | self.user | self.change).items() if value is not None}
        return web.json_response({"id_token": (self.sign or self.signed)(claims), "token_type": "Bearer"})


@asynccontextmanager
async def open_id() -> AsyncIterator[OpenId]:
    """A provider, at a free port."""
    provider = OpenId(user={"sub": "s-ada", "name": "Ada", "realm": {"groups": ["ops", "staff"]}})
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.about)
    app.router.add_get("/keys", provider.keys)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_get("/end", provider.end)
    app.router.add_post("/token", provider.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
