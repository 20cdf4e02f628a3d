"""Login by every method, renewal during a job, and what happens when a token dies."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import hvac  # type: ignore[import-untyped]  # it ships no types
import pytest
from aiohttp import web

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.pipeline.engine.testing import collect
from kleidia_backup.stages.errors import ConfigurationError, VaultError, VaultForbidden, VaultUnreachable
from kleidia_backup.stages.vault.kv.answers import Found, Refused
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import AppRoleAuth, Auth, KubernetesAuth, Root, TokenAuth, UserpassAuth
from kleidia_backup.stages.vault.source import VaultSource

from .conftest import Policies
from .stub import Counters, StubVault, counters, settings

pytestmark = pytest.mark.anyio


class AuthMount:
    """An authentication method of the real server, mounted for one test."""

    def __init__(self, server: OpenBaoServer, kind: str) -> None:
        self.server = server
        self.path = f"{kind}-{secrets.token_hex(6)}"
        self.call("POST", f"sys/auth/{self.path}", {"type": kind})

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """A request that must succeed; its data."""
        status, answer = self.server.request(method, path, body)
        assert status in {200, 204}, answer
        return (answer or {}).get("data") or {}

    def remove(self) -> None:
        """Unmount it."""
        self.call("DELETE", f"sys/auth/{self.path}")


@pytest.fixture
def auth_mount(openbao_server: OpenBaoServer) -> Iterator[Callable[[str], AuthMount]]:
    """Mounts an authentication method."""
    made: list[AuthMount] = []

    def mount(kind: str) -> AuthMount:
        made.append(AuthMount(openbao_server, kind))
        return made[-1]

    yield mount
    for each in made:
        each.remove()


@pytest.fixture
def approle(auth_mount: Callable[[str], AuthMount], kv: KvMount, policies: Policies) -> Callable[..., AppRoleAuth]:
    """Makes an AppRole that may read the test's KV mount."""
    mount = auth_mount("approle")

    def make(*, role: str = "backup", **options: object) -> AppRoleAuth:
        name = policies.policy(**{f"{kv.path}/*": ["read", "list"]})
        role = f"auth/{mount.path}/role/{role}"
        mount.call("POST", role, {"token_policies": name, "token_ttl": "1h", **options})
        role_id = str(mount.call("GET", f"{role}/role-id")["role_id"])
        return AppRoleAuth(role_id, str(mount.call("POST", f"{role}/secret-id", {})["secret_id"]), mount.path)

    return make


def wrapped(server: OpenBaoServer, auth: AppRoleAuth) -> AppRoleAuth:
    """The same login with its secret id wrapped, as the tool that hands it out does."""
    client = hvac.Client(server.address, token=server.root_token)
    try:
        answer = client.sys.wrap({"secret_id": auth.secret_id}, ttl=60)
    finally:
        client.adapter.close()
    return AppRoleAuth(auth.role_id, answer["wrap_info"]["token"], auth.mount, wrapped=True)


def check_alive(server: OpenBaoServer, token: str) -> bool:
    """Whether a token still lives."""
    return server.request("POST", "auth/token/lookup", {"token": token})[0] == 200


async def reads(server: OpenBaoServer, kv: KvMount, auth: Auth) -> str:
    """Log in, read a secret, and leave; returns the token that was used."""
    kv.put("x", {"a": 1})
    async with VaultClient(settings(server, Root("", kv.path), auth=auth)) as client:
        assert isinstance(await client.read(kv.path, "x"), Found)
        token = client._tokens.token
        assert check_alive(server, token)
    return token


# Methods ---------------------------------------------------------------------------------------------------------


async def test_a_token(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """A given token is used, and lives on afterwards: it is not ours."""
    token = policies.token({f"{kv.path}/*": ["read"]})
    assert await reads(openbao_server, kv, TokenAuth(token)) == token
    assert check_alive(openbao_server, token)


async def test_a_token_that_may_not_look_at_itself(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies
) -> None:
    """Without the default policy a token still works."""
    await reads(openbao_server, kv, TokenAuth(policies.token({f"{kv.path}/*": ["read"]}, no_default_policy=True)))


async def test_approle(openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]) -> None:
    """AppRole logs in, and its token is revoked at the end."""
    assert not check_alive(openbao_server, await reads(openbao_server, kv, approle()))


async def test_a_wrapped_secret_id(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]
) -> None:
    """It is unwrapped once; a second use is refused, and says what that can mean."""
    auth = wrapped(openbao_server, approle())
    await reads(openbao_server, kv, auth)
    with pytest.raises(VaultForbidden, match="used before") as caught:
        await reads(openbao_server, kv, auth)
    assert "revoke it" in caught.value.hint


async def test_a_batch_token(openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]) -> None:
    """A batch token cannot be renewed or revoked, and that is no error."""
    await reads(openbao_server, kv, approle(token_type="batch"))


async def test_userpass(
    openbao_server: OpenBaoServer, kv: KvMount, auth_mount: Callable[[str], AuthMount], policies: Policies
) -> None:
    """A user name and password log in; a wrong password is refused and not repeated in the error."""
    mount = auth_mount("userpass")
    name = policies.policy(**{f"{kv.path}/*": ["read"]})
    mount.call("POST", f"auth/{mount.path}/users/back.up-user", {"password": "s3cret", "policies": name})
    await reads(openbao_server, kv, UserpassAuth("back.up-user", "s3cret", mount.path))
    with pytest.raises(VaultForbidden, match=f"refuses the login at auth/{mount.path}") as caught:
        await reads(openbao_server, kv, UserpassAuth("back.up-user", "canary", mount.path))
    assert "canary" not in str(caught.value)


class TokenReview:
    """The one endpoint of a Kubernetes API server that the login needs."""

    def __init__(self) -> None:
        self.address = ""
        self.tokens: list[str] = []

    async def review(self, request: web.Request) -> web.Response:
        """Find every token genuine."""
        body = await request.json()
        self.tokens.append(body["spec"]["token"])
        body["status"] = {
            "authenticated": True,
            "user": {"username": "system:serviceaccount:kleidia:backup", "uid": "u-1"},
        }
        return web.json_response(body, status=201)


@pytest.fixture
async def kubernetes(anyio_backend: str) -> AsyncIterator[TokenReview]:
    """A ``TokenReview`` that answers."""
    api = TokenReview()
    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", api.review)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()


def service_account_token() -> str:
    """A token as a pod finds it; only the API server checks the signature."""
    now = int(time.time())
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:kleidia:backup",
        "iat": now,
        "nbf": now - 5,
        "exp": now + 600,
        "kubernetes.io": {"namespace": "kleidia", "serviceaccount": {"name": "backup", "uid": "u-1"}},
    }
    parts = [json.dumps({"alg": "RS256", "kid": "k"}).encode(), json.dumps(claims).encode(), secrets.token_bytes(256)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def test_kubernetes(
    openbao_server: OpenBaoServer,
    kv: KvMount,
    auth_mount: Callable[[str], AuthMount],
    policies: Policies,
    kubernetes: TokenReview,
    certificate: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    """A service account logs in with the token in its file, read anew each time."""
    mount = auth_mount("kubernetes")
    name = policies.policy(**{f"{kv.path}/*": ["read"]})
    config = {
        "kubernetes_host": kubernetes.address,
        "kubernetes_ca_cert": certificate[0].read_text(),
        "disable_local_ca_jwt": True,
        "token_reviewer_jwt": service_account_token(),
    }
    role = {"bound_service_account_names": "backup", "bound_service_account_namespaces": "kleidia", "policies": name}
    await asyncio.to_thread(mount.call, "POST", f"auth/{mount.path}/config", config)
    await asyncio.to_thread(mount.call, "POST", f"auth/{mount.path}/role/backup", role)
    file = tmp_path / "token"
    for token in (service_account_token(), service_account_token()):
        file.write_text(token + "\n")
        await reads(openbao_server, kv, KubernetesAuth("backup", file, mount.path))
        assert kubernetes.tokens[-1] == token


async def test_a_service_account_token_that_is_not_there(openbao_server: OpenBaoServer, tmp_path: Path) -> None:
    """Outside a pod the error names the file."""
    with pytest.raises(ConfigurationError, match="no-token"):
        async with VaultClient(settings(openbao_server, auth=KubernetesAuth("backup", tmp_path / "no-token"))):
            pass


# Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "auth",
    [
        AppRoleAuth("canary", "canary"),
        AppRoleAuth("canary", "canary", wrapped=True),
        UserpassAuth("joe", "canary"),
        TokenAuth("s.canary"),
    ],
    ids=["approle", "wrapped", "userpass", "token"],
)
async def test_a_refused_login(openbao_server: OpenBaoServer, auth: Auth) -> None:
    """A wrong login, or one where no such method is mounted, is refused in words, without what was sent."""
    with pytest.raises(VaultForbidden) as caught:
        async with VaultClient(settings(openbao_server, auth=auth)):
            pass
    assert caught.value.hint
    assert "canary" not in repr(caught.value)
    assert "canary" not in str(caught.value)


async def test_an_expired_token(openbao_server: OpenBaoServer, policies: Policies) -> None:
    """A revoked token is told apart from a missing right before anything else happens."""
    token = policies.token({"secret/*": ["read"]})
    openbao_server.request("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(VaultForbidden, match="unknown, expired or revoked"):
        async with VaultClient(settings(openbao_server, auth=TokenAuth(token))):
            pass


async def test_a_token_that_dies_during_the_job(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """A given token that is revoked in the middle ends the job with that reason, not with unreadable paths."""
    kv.put("x", {})
    token = policies.token({f"{kv.path}/*": ["read"]})
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=TokenAuth(token))) as client:
        assert isinstance(await client.read(kv.path, "x"), Found)
        openbao_server.request("POST", "auth/token/revoke", {"token": token})
        with pytest.raises(VaultForbidden, match="unknown, expired or revoked"):
            await client.read(kv.path, "x")


async def test_a_missing_right_is_not_a_dead_token(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]
) -> None:
    """A path that policies forbid is refused for that path only, and nobody logs in again."""
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=approle())) as client:
        result = await client.write(kv.path, "x", b"{}", cas=0)
        assert isinstance(result, Refused)
        assert result.status == 403
        assert counters(client).logins == 1


# Lifetime --------------------------------------------------------------------------------------------------------


async def reading(server: OpenBaoServer, kv: KvMount, auth: Auth, seconds: float) -> tuple[Counters, set[str]]:
    """Read for a while without ever being refused; returns what the client did and the tokens it used."""
    tokens = set()
    async with VaultClient(settings(server, Root("", kv.path), auth=auth)) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            tokens.add(client._tokens.token)
            assert isinstance(await client.read(kv.path, "x"), Found)
            await asyncio.sleep(0.05)
        return counters(client), tokens


async def test_tokens_live_as_long_as_the_job(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth], policies: Policies
) -> None:
    """Tokens of two seconds: renewed, ours and a given one; and replaced where they may live three seconds only."""
    kv.put("x", {})
    long, short = approle(token_ttl="2s"), approle(role="short", token_ttl="2s", token_max_ttl="3s")
    given = TokenAuth(policies.token({f"{kv.path}/*": ["read"]}, ttl="2s"))
    renewed, kept, replaced = await asyncio.gather(
        *(reading(openbao_server, kv, auth, 4.2) for auth in (long, given, short))
    )
    assert (renewed[0].logins, len(renewed[1])) == (1, 1)
    assert renewed[0].renewals >= 2
    assert kept[1] == {given.token}
    assert kept[0].renewals >= 2
    assert replaced[0].logins >= len(replaced[1]) >= 2  # a token may be replaced before it was seen


@pytest.mark.parametrize("uses", [1, 7, 30])
async def test_tokens_of_few_uses_are_replaced_before_they_are_used_up(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth], uses: int
) -> None:
    """Every secret is read; none is called unreadable because the token of its request was used up by others."""
    for n in range(40):
        kv.put(f"x{n:02}", {"n": n})
    auth = approle(token_num_uses=uses)
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=auth)) as client:
        source = VaultSource(client, client.settings.roots)
        found = await collect(source)
        assert {secret.path for secret in found} == {f"x{n:02}" for n in range(40)}
        assert source.report.unreadable.count == 0
        assert counters(client).logins >= 40 // uses


async def test_a_missing_right_is_told_from_a_token_that_is_used_up(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]
) -> None:
    """With tokens of few uses, a path that policies forbid is still refused as such, for that path only."""
    kv.put("x", {})
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=approle(token_num_uses=5))) as client:
        for _ in range(4):
            assert isinstance(await client.read(kv.path, "x"), Found)
            assert await client.write(kv.path, "x", b"{}", cas=1) == Refused(
                403, "1 error occurred: * permission denied"
            )


async def test_a_secret_id_that_is_used_up_ends_the_job(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]
) -> None:
    """No new login is to be had in the middle: the error says what to look at, and no path is called unreadable."""
    for n in range(40):
        kv.put(f"x{n:02}", {"n": n})
    auth = approle(token_num_uses=20, secret_id_num_uses=1)
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=auth)) as client:
        with pytest.raises(VaultForbidden, match="refuses the login") as caught:
            await collect(VaultSource(client, client.settings.roots, allow_unreadable=True))
    assert "its uses" in caught.value.hint


async def test_a_given_token_of_few_uses_is_refused_beforehand(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies
) -> None:
    """It would be used up in the middle, and cannot be replaced."""
    token = policies.token({f"{kv.path}/*": ["read"]}, num_uses=30)
    with pytest.raises(VaultForbidden, match=r"may be used for 2[0-9] more requests only") as caught:
        async with VaultClient(settings(openbao_server, auth=TokenAuth(token))):
            pass
    assert "without a limit" in caught.value.hint


async def test_twenty_refused_workers_log_in_once(
    openbao_server: OpenBaoServer, kv: KvMount, approle: Callable[..., AppRoleAuth]
) -> None:
    """When the token is revoked under twenty workers, one of them logs in again and all go on."""
    for n in range(20):
        kv.put(f"x{n}", {})
    async with VaultClient(settings(openbao_server, Root("", kv.path), auth=approle())) as client:
        openbao_server.request("POST", "auth/token/revoke", {"token": client._tokens.token})
        results = await asyncio.gather(*(client.read(kv.path, f"x{n}") for n in range(20)))
        assert all(isinstance(result, Found) for result in results)
        assert counters(client).logins == 2


async def test_a_login_waits_for_a_vault_that_is_busy(stub: StubVault) -> None:
    """Logging in and renewing share the back-off with everybody else."""
    tries: list[str] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        path = request.match_info["path"]
        if path == "auth/approle/login":
            tries.append(path)
            if len(tries) < 4:
                return web.json_response({"errors": ["no"]}, status=[429, 503, 500][len(tries) - 1])
            auth = {"client_token": "stub-token", "lease_duration": 3600, "renewable": True}
            return web.json_response({"auth": auth})
        return None

    stub.fault = fault
    async with VaultClient(settings(stub, auth=AppRoleAuth("role", "secret"))) as client:
        assert counters(client).retries == 3
    assert stub.seen[-1][2] == "auth/token/revoke-self"


async def test_a_login_that_is_never_answered(stub: StubVault) -> None:
    """It ends in time, and a cancellation does not wait for it."""

    async def fault(request: web.Request) -> None:
        if "login" in request.path:
            await asyncio.sleep(30)

    stub.fault = fault
    auth = AppRoleAuth("role", "secret")
    with pytest.raises(VaultUnreachable, match="no answer in time"):
        async with VaultClient(settings(stub, auth=auth, request_timeout=0.1)):
            pass
    started = time.monotonic()
    with anyio.move_on_after(0.1) as scope:
        async with VaultClient(settings(stub, auth=auth, request_timeout=60)):
            pass
    assert scope.cancelled_caught
    assert time.monotonic() - started < 15


async def test_a_login_that_keeps_failing_ends_the_job(stub: StubVault) -> None:
    """With a dead token and no new one, no path is called unreadable: it is the vault's fault."""
    stub.fill(200)
    auth = AppRoleAuth("role", "secret")
    granted: list[str] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if "login" not in request.path:
            await asyncio.sleep(0.002)
            return None
        if granted:
            return web.json_response({"errors": ["storage is gone"]}, status=500)
        granted.append("stub-token")
        return web.json_response({"auth": {"client_token": "stub-token", "lease_duration": 3600, "renewable": True}})

    stub.fault = fault
    async with VaultClient(settings(stub, auth=auth)) as client:
        stub.tokens.clear()
        with pytest.raises(VaultError, match="answers a login with a server error"):
            await collect(VaultSource(client, client.settings.roots, allow_unreadable=True))


async def test_a_login_that_gives_no_token(stub: StubVault) -> None:
    """Something else that answers at the login's address is not taken for a vault."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({}) if "login" in request.path else None

    stub.fault = fault
    with pytest.raises(VaultError, match="no token"):
        async with VaultClient(settings(stub, auth=AppRoleAuth("role", "secret"))):
            pass
