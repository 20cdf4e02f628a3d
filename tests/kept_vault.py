"""The tests' OpenBao over one connection that is kept: a test asks it dozens of things around its subject."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kleidia_backup.demo.servers.kv import Connection, OpenBaoServer


class KeptVault(OpenBaoServer):
    """The same server; other threads than the first, for which a connection is not, have one for each request."""

    __slots__ = ("_kept",)
    _kept: Connection | None

    def __init__(self, server: OpenBaoServer) -> None:
        super().__init__(server.address, server.root_token)
        object.__setattr__(self, "_kept", None)

    def request(self, method: str, path: str, body: object = None, *, query: str = "") -> tuple[int, Any]:
        """As the server's; once more over a new connection when the server has closed the one that was idle."""
        if threading.current_thread() is not threading.main_thread():
            return OpenBaoServer.request(self, method, path, body, query=query)
        if self._kept is not None:
            try:
                return self._kept.request(method, path, body, query=query)
            except TimeoutError:
                self.close()
                raise
            except (http.client.HTTPException, ConnectionError):
                self.close()
        object.__setattr__(self, "_kept", Connection(OpenBaoServer(self.address, self.root_token)))
        assert self._kept is not None
        return self._kept.request(method, path, body, query=query)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._kept is not None:
            self._kept.__exit__(None, None, None)
            object.__setattr__(self, "_kept", None)


@contextmanager
def kept(server: OpenBaoServer) -> Iterator[KeptVault]:
    """The server, whose connection is closed at the end."""
    vault = KeptVault(server)
    try:
        yield vault
    finally:
        vault.close()
