"""A small vault of our own that misbehaves on demand, and short settings for it and the real one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import anyio
from aiohttp import web

from kleidia_backup.demo.servers.together import OpenBaoServer
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Auth, Root, TokenAuth, VaultSettings

#: A misbehaviour: looks at a request and answers it, or leaves it to the vault by None.
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


async def harmless(request: web.Request) -> None:
    """No misbehaviour."""


def settings(server: OpenBaoServer | StubVault, *roots: Root, auth: Auth | None = None, **more: Any) -> VaultSettings:
    """Settings with short times: base 10 ms, budget 1 s."""
    quick: dict[str, Any] = {"retry_base": 0.01, "retry_cap": 0.05, "retry_budget": 1.0, "start_budget": 0.3}
    return VaultSettings(
        server.address,
        auth or TokenAuth(server.root_token),
        roots or (Root("", "secret"),),
        **(quick | more),
    )


@dataclass(frozen=True)
class Counters:
    """What a client did; ``paused`` is how long the back-off kept everybody waiting, in seconds."""

    requests: int
    retries: int
    paused: float
    logins: int
    renewals: int


def counters(client: VaultClient) -> Counters:
    """The counters of a client, now."""
    transport, tokens = client._transport, client._tokens
    backoff = transport.backoff
    return Counters(transport.requests, backoff.retries, backoff.paused, tokens.logins, tokens.renewals)


@dataclass
class StubVault:
    """A KV v2 vault at mount ``secret`` in memory. ``fault`` sees every request first; ``seen`` keeps them all."""

    address: str = ""
    root_token: str = "stub-token"
    values: dict[str, tuple[int, str]] = field(default_factory=dict)
    fault: Fault = harmless
    seen: list[tuple[float, str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {"stub-token"})
    running: int = 0
    most_running: int = 0

    def fill(self, count: int) -> None:
        """Hold ``count`` secrets ``s/0`` and so on."""
        self.values = {f"s/{n}": (1, json.dumps({"n": n})) for n in range(count)}

    def gathers(self, number: int, part: str) -> None:
        """Answer no request with ``part`` in its path until so many are under way."""
        full = anyio.Event()

        async def fault(request: web.Request) -> None:
            if part not in request.path:
                return
            if self.running == number:
                full.set()
            with anyio.fail_after(60):
                await full.wait()

        self.fault = fault

    def reads(self) -> list[float]:
        """When each read of a secret arrived."""
        return [when for when, method, path in self.seen if method == "GET" and "/data/" in path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        path = request.match_info["path"]
        self.seen.append((monotonic(), request.method, path))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self.fault(request) or await self._answer(request, path)
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request, path: str) -> web.Response:
        session = {
            "sys/seal-status": {"initialized": True, "sealed": False},
            "sys/internal/ui/mounts": {"data": {"secret": {"secret/": {"type": "kv", "options": {"version": "2"}}}}},
            "auth/token/lookup-self": {"data": {"ttl": 0, "renewable": False}},
        }
        if path != "sys/seal-status" and request.headers.get("X-Vault-Token") not in self.tokens:
            return web.json_response({"errors": ["permission denied"]}, status=403)
        if path in session:
            return web.json_response(session[path])
        kind, _, name = path.removeprefix("secret/").partition("/")
        if request.query.get("list") == "true":
            return self._list(name)
        if kind == "data" and request.method == "POST":
            return self._write(name, await request.text())
        return self._read(name) if kind == "data" else _nothing()

    def _list(self, folder: str) -> web.Response:
        below = [path[len(folder) :] for path in self.values if path.startswith(folder)]
        names = sorted({path.split("/")[0] + ("/" if "/" in path else "") for path in below})
        return web.json_response({"data": {"keys": names}}) if names else _nothing()

    def _read(self, name: str) -> web.Response:
        if name not in self.values:
            return _nothing()
        version, value = self.values[name]
        text = f'{{"data":{{"data":{value},"metadata":{{"version":{version},"custom_metadata":null}}}}}}'
        return web.Response(text=text, content_type="application/json")

    def _write(self, name: str, body: str) -> web.Response:
        message = json.loads(body)
        version = self.values.get(name, (0, ""))[0]
        if message.get("options", {}).get("cas", version) != version:
            error = "check-and-set parameter did not match the current version"
            return web.json_response({"errors": [error]}, status=400)
        self.values[name] = (version + 1, json.dumps(message["data"]))
        return web.json_response({"data": {"version": version + 1}})


def _nothing() -> web.Response:
    return web.json_response({"errors": []}, status=404)
