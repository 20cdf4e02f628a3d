"""What stands between a service and a server of its: it lets everything through, holds it back, or refuses it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 64 * 1024


@dataclass(eq=False)
class Gate:
    """A TCP proxy at ``url`` in front of ``upstream``. Headers pass as they are, so signatures stay valid."""

    upstream: tuple[str, int]
    url: str = ""
    _go_on: threading.Event = field(default_factory=threading.Event)
    _shut: bool = False
    _open: set[socket.socket] = field(default_factory=set)

    def hold(self) -> None:
        """From now on nothing gets to the server; it waits."""
        self._go_on.clear()

    def shut(self) -> None:
        """From now on every connection is closed at once, those that are there too."""
        self._shut = True
        for each in [*self._open]:
            _close(each)

    def open(self) -> None:
        """Let everything through again."""
        self._shut = False
        self._go_on.set()

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._shut:
                client.close()
                continue
            server = socket.create_connection(self.upstream)
            self._open |= {client, server}
            for source, target, waits in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, waits), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, waits: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if waits:
                    self._go_on.wait()
                target.sendall(data)
        for each in (source, target):
            _close(each)
            self._open.discard(each)

    def close(self) -> None:
        """End what is left."""
        self._go_on.set()
        self.shut()


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextmanager
def gate(upstream: str) -> Iterator[Gate]:
    """An open one in front of an HTTP server, on a free port of loopback."""
    parts = urlsplit(upstream)
    assert parts.hostname is not None
    assert parts.port is not None
    made = Gate((parts.hostname, parts.port))
    made.open()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        taking = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        taking.start()
        try:
            yield made
        finally:
            made.close()
            listener.shutdown(socket.SHUT_RDWR)
            taking.join()
