"""An OpenBao and its KV engines as the demo and the tests set them up and look at them: one blocking request each.

Deliberately not the product's client: what is checked must not be read by what is checked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, slots=True)
class OpenBaoServer:
    """Where an OpenBao answers, with a token that may do everything."""

    address: str
    root_token: str = field(repr=False)

    def request(self, method: str, path: str, body: object = None, *, query: str = "") -> tuple[int, Any]:
        """One request to ``/v1/path`` for setting things up and looking: the status and the decoded JSON (or None)."""
        return vault_request(self.address, method, path, body, query=query, token=self.root_token)

    def mount(self, path: str, *, version: int = 2) -> KvMount:
        """Mount a KV engine and return when it takes writes."""
        _expect(self.request("POST", f"sys/mounts/{path}", {"type": "kv", "options": {"version": str(version)}}), 204)
        mount = KvMount(self, path, version)
        while version == 2 and self.request("GET", f"{path}/config")[0] != 200:
            time.sleep(0.01)  # a new KV v2 mount answers 400 while it prepares its storage
        return mount


@dataclass(frozen=True, slots=True)
class KvMount:
    """A KV engine, version 1 or 2, for setting things up and looking."""

    server: OpenBaoServer
    path: str
    version: int = 2

    @property
    def _data(self) -> str:
        return f"{self.path}/data" if self.version == 2 else self.path

    @property
    def _metadata(self) -> str:
        return f"{self.path}/metadata" if self.version == 2 else self.path

    def put(self, path: str, value: object) -> None:
        """Write a secret (a new version of it)."""
        body = {"data": value} if self.version == 2 else value
        _expect(self.server.request("POST", f"{self._data}/{path}", body), 200, 204)

    def get(self, path: str) -> Any:
        """A secret's newest value; None when there is none."""
        status, answer = self.server.request("GET", f"{self._data}/{path}")
        if status == 404:
            return None
        _expect((status, answer), 200)
        return answer["data"]["data"] if self.version == 2 else answer["data"]

    def delete(self, path: str) -> None:
        """Remove a secret with all its versions."""
        _expect(self.server.request("DELETE", f"{self._metadata}/{path}"), 204)

    def names(self, folder: str = "") -> list[str]:
        """What is in one folder (empty or with a slash at its end); folders end with a slash."""
        status, answer = self.server.request("GET", f"{self._metadata}/{folder}", query="list=true")
        if status == 404:
            return []
        _expect((status, answer), 200)
        return list(answer["data"]["keys"])

    def paths(self, folder: str = "") -> list[str]:
        """The paths of all secrets below a folder (empty or with a slash at its end), sorted."""
        found: list[str] = []
        for name in self.names(folder):
            found += self.paths(folder + name) if name.endswith("/") else [folder + name]
        return sorted(found)

    def all(self) -> dict[str, Any]:
        """Every secret's newest value by its path."""
        return {path: self.get(path) for path in self.paths()}

    def remove(self) -> None:
        """Remove the mount and all it holds."""
        _expect(self.server.request("DELETE", f"sys/mounts/{self.path}"), 204)


def _expect(answer: tuple[int, Any], *statuses: int) -> None:
    if answer[0] not in statuses:
        errors = answer[1].get("errors") if isinstance(answer[1], dict) else None
        raise RuntimeError(f"OpenBao answered {answer[0]}: {errors}")


class Connection(OpenBaoServer):
    """The same server over one connection that is kept open, for one thread: a context manager."""

    __slots__ = ("_http",)
    _http: http.client.HTTPConnection

    def __init__(self, server: OpenBaoServer) -> None:
        super().__init__(server.address, server.root_token)
        object.__setattr__(self, "_http", _http(server.address))

    def request(self, method: str, path: str, body: object = None, *, query: str = "") -> tuple[int, Any]:
        """As the server's, over this connection; over a new one when the server has closed it, idle for too long."""
        try:
            return _exchange(self._http, method, path, body, query, self.root_token)
        except http.client.RemoteDisconnected:
            self._http.close()
            return _exchange(self._http, method, path, body, query, self.root_token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()


def vault_request(
    address: str, method: str, path: str, body: object = None, *, query: str = "", token: str = ""
) -> tuple[int, Any]:
    """One request to an OpenBao on a connection of its own. Raises ``OSError`` when nobody answers."""
    with contextlib.closing(_http(address)) as connection:
        return _exchange(connection, method, path, body, query, token)


def _http(address: str) -> http.client.HTTPConnection:
    url = urlsplit(address)
    assert url.hostname is not None
    if url.scheme == "https":
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=60, context=ssl.create_default_context())
    return http.client.HTTPConnection(url.hostname, url.port, timeout=60)


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: object, query: str, token: str
) -> tuple[int, Any]:
    target = f"/v1/{quote(path)}" + (f"?{query}" if query else "")
    headers = {"X-Vault-Token": token} if token else {}
    connection.request(method, target, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read()
    return response.status, json.loads(answer) if answer else None
