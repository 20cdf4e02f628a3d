"""Tokens: which are taken, which are refused and noted, and where their keys come from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import httpx
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Request

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.api import problems
from kleidia_backup.service.api.identity.authenticators import jwt_secret
from kleidia_backup.service.api.identity.granting import Granting
from kleidia_backup.service.api.identity.refused import ADDRESSES, EACH, RefusedLogins
from kleidia_backup.service.api.identity.roles import Principal
from kleidia_backup.service.api.identity.signing_keys import FRESH, PAUSE, STALE, Jwks, VaultSecret
from kleidia_backup.service.api.identity.tokens import JwtAuthenticator, Keys, TokenRules
from kleidia_backup.service.api.routes.shared import Admin, Viewer
from kleidia_backup.service.control.audit import Audit, AuditEntry
from kleidia_backup.stages.errors import ConfigurationError, VaultUnreachable

pytestmark = pytest.mark.anyio

SECRET = "canary-of-a-jwt-secret-with-enough-bytes"


@dataclass
class Clock:
    """A time that stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Notes:
    """An audit log in memory."""

    entries: list[AuditEntry] = field(default_factory=list)

    async def write(self, entry: AuditEntry) -> AuditEntry:
        self.entries.append(entry)
        return entry


@dataclass
class Vault:
    """A vault with one secret, which may be out of reach."""

    secret: str = SECRET
    reachable: bool = True
    readings: int = 0

    async def read(self) -> str:
        self.readings += 1
        if not self.reachable:
            raise VaultUnreachable("The vault does not answer.", hint="Look at it.")
        return self.secret


class Door:
    """Two routes behind an authenticator, and what was noted."""

    def __init__(
        self, keys: Keys, rules: TokenRules | None = None, clock: Clock | None = None, each: int = 1000
    ) -> None:
        self.notes = Notes()
        app = FastAPI()
        app.state.authenticate = JwtAuthenticator(keys, rules or TokenRules())
        app.state.targets = SimpleNamespace(default="app")
        app.state.refused = RefusedLogins(cast(Audit, self.notes), clock or Clock(), each)
        problems.install(app)

        @app.get("/look")
        async def look(caller: Viewer) -> dict[str, str]:
            return {
                "subject": caller.principal.subject,
                "name": caller.principal.name,
                "role": str(caller.principal.role),
            }

        @app.get("/do")
        async def do(caller: Admin) -> dict[str, str]:
            return {"workstation": caller.workstation, "ip": caller.ip}

        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")

    async def get(self, token: str | None, path: str = "/look", **headers: str) -> httpx.Response:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self._client.get(path, headers=headers)

    async def refuses(self, token: str) -> str:
        """The reason why a token is not taken; it was noted, and nothing of the token is told."""
        before = len(self.notes.entries)
        answer = await self.get(token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert answer.headers["Content-Type"] == "application/problem+json"
        (noted,) = self.notes.entries[before:]
        assert noted.action == "login.refused"
        reason: str = answer.json()["detail"]
        assert reason in noted.details
        assert token not in answer.text + str(dict(answer.headers)) + noted.details
        return reason


def claims(**changes: Any) -> dict[str, Any]:
    values = {"sub": "42", "name": "Ada", "role": "admin", "exp": int(time.time()) + 600} | changes
    return {name: value for name, value in values.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


def by_hand(header: dict[str, Any], payload: dict[str, Any], key: bytes = b"") -> str:
    """A token that no library would make; signed with HMAC when a key is given."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, payload)]
    signed = b".".join(parts)
    signature = hmac.new(key, signed, hashlib.sha256).digest() if key else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.fixture
def door() -> Door:
    return Door(VaultSecret(Vault().read))


async def test_a_good_token_says_who_and_what(door: Door) -> None:
    """Subject, name and role come from the claims; the name falls back on others, then on the subject."""
    assert (await door.get(token())).json() == {"subject": "42", "name": "Ada", "role": "admin"}
    assert (await door.get(token(name=None, username="ada"))).json()["name"] == "ada"
    assert (await door.get(token(name="two\nlines", role="viewer"))).json() == {
        "subject": "42",
        "name": "42",
        "role": "viewer",
    }
    assert door.notes.entries == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": "  "}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"aud": "somebody-else"}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": ""}, "audience"),
        ({"exp": 1e300}, "a time that is none"),
        ({"exp": 253_402_300_800}, "a time that is none"),
        ({"exp": "9999999999"}, "a time that is none"),
        ({"exp": float("inf")}, "not valid"),
        ({"exp": float("nan")}, "not valid"),
        ({"exp": [1]}, "not valid"),
        ({"nbf": -1}, "a time that is none"),
    ],
)
async def test_wrong_claims_are_refused(door: Door, changes: dict[str, Any], reason: str) -> None:
    """Expired, without end or subject, not yet valid, or meant for somebody else: 401, and noted."""
    assert reason in await door.refuses(token(**changes))


async def test_thirty_seconds_of_leeway(door: Door) -> None:
    """A token that expired ten seconds ago is still taken, for clocks differ."""
    assert (await door.get(token(exp=int(time.time()) - 10))).status_code == 200


async def test_unsigned_and_forged_tokens_are_refused(door: Door) -> None:
    """No signature, ``none`` in any writing, another key, another algorithm of the family, rubbish."""
    for algorithm in ("none", "None", "NONE", "", None, 5, ["HS256"]):
        await door.refuses(by_hand({"alg": algorithm, "typ": "JWT"}, claims()))
    await door.refuses(by_hand({"typ": "JWT"}, claims(), SECRET.encode()))
    await door.refuses(by_hand({"alg": "HS256"}, claims()))  # an empty signature
    assert "signature" in await door.refuses(token("x" * 40))
    await door.refuses(token(SECRET * 2, "HS512"))
    good = token()
    for other in (f"{good}=", f"{good}==", good.replace(".", "=.", 1), f"{good}.", f".{good}", good.replace(".", "..")):
        await door.refuses(other)  # what decoders take too, and nobody writes
    await door.refuses(good[:-1] + chr(ord(good[-1]) + 1))  # 32 bytes leave two bits, which must be none
    await door.refuses(good[:-6] + "AAAAAA")
    await door.refuses("rubbish")
    await door.refuses("a.b.c")
    await door.refuses(good + "A" * 9000)
    await door.refuses(by_hand({"alg": "HS256", "crit": ["exp"]}, claims(), SECRET.encode()))


async def test_what_is_no_bearer_token_is_refused(door: Door) -> None:
    """Without any Authorization nothing was tried, and nothing is noted; another scheme is refused and noted."""
    answer = await door.get(None)
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert door.notes.entries == []
    assert "error" not in answer.headers["WWW-Authenticate"]
    answer = await door._client.get("/look", headers={"Authorization": "Basic YTpi"})
    assert (answer.status_code, len(door.notes.entries)) == (401, 1)
    two = [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token()}")]
    assert (await door._client.get("/look", headers=two)).status_code == 401


async def test_roles_decide(door: Door) -> None:
    """A viewer looks, an administrator does; a string or a list; no role, or another one: 403."""
    assert (await door.get(token(role="viewer"), "/do")).status_code == 403
    assert (await door.get(token(role=["x", "viewer"]))).json()["role"] == "viewer"
    assert (await door.get(token(role=["viewer", "admin"]), "/do")).status_code == 200
    for role in (None, "root", [], [["admin"]], {"admin": True}, "admin viewer", "Admin", 1):
        answer = await door.get(token(role=role))
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:kleidia-backup:problem:forbidden"), role


async def test_roles_may_stand_elsewhere_and_have_other_names() -> None:
    """The claim's name, a path into objects, and the names of the roles are configured."""
    rules = TokenRules(role_claim="realm_access.roles", granting=Granting(admin=("ops", "dba"), viewer=("staff",)))
    door = Door(VaultSecret(Vault().read), rules)
    assert (await door.get(token(realm_access={"roles": ["dba"]}))).json()["role"] == "admin"
    assert (await door.get(token(realm_access={"roles": ["staff"]}))).json()["role"] == "viewer"
    assert (await door.get(token())).status_code == 403
    assert (await door.get(token(realm_access="dba"))).status_code == 403


async def test_audience_and_issuer_where_configured() -> None:
    """A configured audience and issuer must be named."""
    door = Door(VaultSecret(Vault().read), TokenRules(audience="us", issuer="https://login"))
    assert (await door.get(token(aud=["them", "us"], iss="https://login"))).status_code == 200
    assert "audience" in await door.refuses(token(aud="them", iss="https://login"))
    assert "lacks" in await door.refuses(token(iss="https://login"))
    assert "issuer" in await door.refuses(token(aud="us", iss="https://other"))
    assert "lacks" in await door.refuses(token(aud="us"))


async def test_where_a_request_comes_from_is_kept_when_it_can_be(door: Door) -> None:
    """X-Workstation is one printable line of bounded length, else nothing; X-Forwarded-For is not believed."""
    answer = await door.get(token(), "/do", **{"X-Workstation": "desk-7", "X-Forwarded-For": "198.51.100.1"})
    assert answer.json() == {"workstation": "desk-7", "ip": "127.0.0.1"}
    answer = await door.get(token(), "/do", **{"X-Workstation": "x" * 300})
    assert answer.json()["workstation"] == ""


async def test_refused_logins_do_not_fill_the_audit_log() -> None:
    """The first five of an address in a minute, the tenth, the hundredth; the next says how many were left out."""
    clock = Clock()
    door = Door(VaultSecret(Vault().read), clock=clock, each=EACH)
    for _ in range(150):
        assert (await door.get("rubbish")).status_code == 401
    assert len(door.notes.entries) == 5 + 2
    assert "Number 100 from this address" in door.notes.entries[-1].details
    clock.now += 61
    await door.get("rubbish")
    assert len(door.notes.entries) == 8
    assert "50 more" in door.notes.entries[-1].details


async def test_a_flood_hides_no_address() -> None:
    """Refused once amid thousands of others, it is written; a network of IPv6 is one; there is an end to it."""
    notes = Notes()
    refused = RefusedLogins(cast(Audit, notes), now=Clock())

    async def refuse(ip: str) -> None:
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": (ip, 1)}
        await refused.write(Request(scope), "no.")

    for number in range(1000):
        await refuse("198.51.100.1")
        await refuse(f"2001:db8::{number:x}")
    await refuse("192.0.2.7")
    written = [entry.ip for entry in notes.entries]
    assert written.count("192.0.2.7") == 1
    assert written.count("198.51.100.1") == len([ip for ip in written if ip and ":" in ip]) == 5 + 3
    for number in range(5 * ADDRESSES):
        await refuse(f"10.0.{number // 250}.{number % 250}")
    assert len(notes.entries) < 17 + ADDRESSES + 10
    assert "more than 100 addresses" in notes.entries[-1].details


# The secret in the vault ------------------------------------------------------------------------------------------


async def test_the_secret_is_kept_and_read_again_when_a_signature_does_not_fit() -> None:
    """A restore that changes the secret locks nobody out; forged tokens do not make us ask the vault each time."""
    vault, clock = Vault(), Clock()
    door = Door(VaultSecret(vault.read, clock))
    for _ in range(3):
        assert (await door.get(token())).status_code == 200
    assert vault.readings == 1
    vault.secret = "another-canary-of-more-than-32-bytes-length"
    clock.now += PAUSE
    assert (await door.get(token(vault.secret))).status_code == 200
    assert vault.readings == 2
    await door.refuses(token())
    for _ in range(10):
        await door.refuses(token("f" * 40))
    assert vault.readings == 2
    clock.now += FRESH
    assert (await door.get(token(vault.secret))).status_code == 200
    assert vault.readings == 3


async def test_an_outage_of_the_vault_locks_nobody_out_for_a_while() -> None:
    """The secret that was read is good for minutes more; then, and without one, the answer is 503, not 401."""
    vault, clock = Vault(), Clock()
    door = Door(VaultSecret(vault.read, clock))
    assert (await door.get(token())).status_code == 200
    vault.reachable = False
    clock.now += FRESH + 1
    for _ in range(5):
        assert (await door.get(token())).status_code == 200
    assert vault.readings == 2
    clock.now += STALE
    for _ in range(5):
        answer = await door.get(token())
        assert (answer.status_code, answer.json()["next_step"]) == (503, "Look at it.")
    assert vault.readings == 3
    vault.reachable = True
    clock.now += PAUSE
    assert (await door.get(token())).status_code == 200
    assert door.notes.entries == []


async def test_a_secret_that_can_be_guessed_is_not_used() -> None:
    """Under 32 bytes tokens could be forged: nobody gets in, and the answer says why."""
    answer = await Door(VaultSecret(Vault("short").read)).get(by_hand({"alg": "HS256"}, claims(), b"short"))
    assert answer.status_code == 503
    assert "32" in answer.json()["detail"]


async def test_the_secret_in_a_real_vault(service_settings: ServiceSettings, kv: KvMount) -> None:
    """It is read from its mount, path and field; what is missing is said without a value."""
    assert await jwt_secret(service_settings) == "canary-jwt-secret-of-at-least-32-bytes"
    kv.put("app/odd", {"secret": 5})
    for change in ({"jwt_path": "app/nothing"}, {"jwt_field": "nothing"}, {"jwt_path": "app/odd"}):
        with pytest.raises(ConfigurationError) as caught:
            await jwt_secret(replace(service_settings, **change))  # type: ignore[arg-type]  # as the line above says
        assert "canary" not in str(caught.value)


# JWKS -------------------------------------------------------------------------------------------------------------


@dataclass
class Issuer:
    """Serves keys, and counts how often."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    asked: int = 0

    def publish(self, key: Any, algorithm: str, **members: Any) -> None:
        made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        self.keys.append(made | {"kid": f"k{len(self.keys)}", "use": "sig"} | members)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()

    async def serve(_: web.Request) -> web.Response:
        found.asked += 1
        return web.Response(body=found.body or json.dumps({"keys": found.keys}).encode(), status=found.status)

    app = web.Application()
    app.router.add_get("/keys", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield found
    await runner.cleanup()


async def test_keys_of_a_jwks_url(issuer: Issuer) -> None:
    """RS256, ES256 and EdDSA; by key id, or without one by trying; each key only with its own algorithm."""
    keys: dict[str, Any] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    for algorithm, key in keys.items():
        issuer.publish(key, algorithm)
    door = Door(Jwks(issuer.url))
    for number, (algorithm, key) in enumerate(keys.items()):
        assert (await door.get(token(key, algorithm, {"kid": f"k{number}"}))).status_code == 200, algorithm
        assert (await door.get(token(key, algorithm))).status_code == 200, algorithm
    assert issuer.asked == 1
    await door.refuses(token(keys["RS256"], "RS256", {"kid": "k1"}))
    await door.refuses(token(keys["RS256"], "PS256", {"kid": "k0"}))
    await door.refuses(token(ec.generate_private_key(ec.SECP256R1()), "ES256"))


async def test_a_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    """HS256 signed with the published key is refused, in whatever form; so is a symmetric key in the set."""
    key = rsa.generate_private_key(65537, 2048)
    issuer.publish(key, "RS256")
    issuer.keys.append({"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "oct"})
    door = Door(Jwks(issuer.url))
    public = key.public_key()
    for form in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.keys[0]).encode(),
        SECRET.encode(),
    ):
        await door.refuses(by_hand({"alg": "HS256", "kid": "k0"}, claims(), form))
    await door.refuses(token(SECRET, headers={"kid": "oct"}))
    assert (await door.get(token(key, "RS256"))).status_code == 200


async def test_a_short_rsa_key_is_not_used(issuer: Issuer) -> None:
    """RSA keys below 2048 bits are passed over, whoever published them."""
    key = rsa.generate_private_key(65537, 1024)
    issuer.publish(key, "RS256")
    issuer.publish(ec.generate_private_key(ec.SECP256R1()), "ES256")
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        signed = token(key, "RS256")
    await Door(Jwks(issuer.url)).refuses(signed)


async def test_a_new_key_is_found_and_unknown_ones_do_not_hammer(issuer: Issuer) -> None:
    """An unknown key id makes the set be read again, at most every few seconds."""
    clock = Clock()
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer.publish(old, "ES256")
    door = Door(Jwks(issuer.url, clock))
    assert (await door.get(token(old, "ES256", {"kid": "k0"}))).status_code == 200
    issuer.publish(new, "ES256")
    clock.now += PAUSE
    assert (await door.get(token(new, "ES256", {"kid": "k1"}))).status_code == 200
    assert issuer.asked == 2
    for number in range(10):
        await door.refuses(token(new, "ES256", {"kid": f"made-up-{number}"}))
    assert issuer.asked == 2


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"keys": [5, {"kty": "RSA"}]}', b'{"keys": []}', b"x" * 300_000])
async def test_a_set_that_cannot_be_used_is_503(issuer: Issuer, body: bytes) -> None:
    """Rubbish, a set without a usable key, a status that is no success: 503, which says what to look at."""
    issuer.body = body
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await Door(Jwks(issuer.url)).get(token(key, "ES256"))
    assert (answer.status_code, "jwks_url" in answer.json()["next_step"]) == (503, True)
    issuer.body, issuer.status = None, 500
    assert (await Door(Jwks(issuer.url)).get(token(key, "ES256"))).status_code == 503


async def test_nobody_at_the_jwks_url_is_503(issuer: Issuer) -> None:
    """Nobody answers there: 503; and a URL without TLS is taken on loopback only."""
    key = ec.generate_private_key(ec.SECP256R1())
    closed = Jwks("http://127.0.0.1:1/keys")
    assert (await Door(closed).get(token(key, "ES256"))).status_code == 503
    for url in ("http://login.example.org/keys", "ftp://login.example.org/keys", "login.example.org"):
        with pytest.raises(ConfigurationError):
            Jwks(url)


def test_a_principal_has_no_more_than_it_needs() -> None:
    """What is kept of a caller is a subject, a name and a role: no token."""
    assert set(Principal.__dataclass_fields__) == {"subject", "name", "role", "grants"}
