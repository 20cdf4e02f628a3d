"""Clients that nobody knows, and that send or take without end: the service's memory stays, and it answers others."""

from __future__ import annotations

import itertools
import selectors
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from kleidia_backup.service import connections
from kleidia_backup.service.api.middleware import MAX_BODY

from .serving import serving
from .test_serve import ask

MIB = 1024 * 1024
#: How much a flood may cost, in bytes; and how long each one lasts, in seconds.
ALLOWED = 50 * MIB
LASTS = 0.5
#: Seconds in which a client as others are gets its answer on any machine, and before a silent one is given up.
HEALTHY = connections.REQUEST - 5
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/backup/trigger HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#: What a connection sends first, what it repeats without end, and how many do.
ENDLESS = {
    "a request line": (b"GET /", b"a" * 65536, 4),
    "a query": (b"GET /?", b"a=b&" * 16384, 4),
    "a field's value": (GET + b"X: ", b"a" * 65536, 4),
    "a field's name": (GET, b"a" * 65536, 4),
    "fields": (GET, b"a: b\r\n" * 10000, 4),
    "blank lines": (b"", b"\r\n" * 30000, 4),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n" * 10000, 4),
    "a trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: ", b"a" * 65536, 4),
    "the extension of a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=", b"a" * 65536, 4),
    "small chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10000, 4),
    "a body": (POST + b"Content-Length: 1000000000000\r\n\r\n", b"a" * 65536, 4),
    "a body where none is read": (GET + b"Content-Length: 1000000000000\r\n\r\n", b"a" * 65536, 4),
    "requests": (b"", (GET + b"\r\n") * 5000, 4),
    "requests whose answers are not read": (b"", b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n", 300),
}
#: What each of very many connections sends before it falls silent.
HALVES = {
    "nothing": b"",
    "half a field": GET + b"X: " + b"a" * 15000,
    "many fields": GET + b"a: b\r\n" * 90,
    "half a body": POST + b"Content-Length: 65000\r\n\r\n" + b"a" * 64000,
    "an answer that is not read": b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n",
    "an idle connection": GET + b"\r\n",
}
MANY = 1000
#: Descriptors that the process has at most, whatever comes.
MOST = 700


@dataclass
class Server:
    """The service as a process."""

    url: str
    process: psutil.Process
    before: int = 0  # bytes of memory when nobody had asked for anything

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        # Little room for answers, so that those which are not read stay in the server.
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.setblocking(False)
        return client

    def healthy(self) -> bool:
        """Whether a client as others are gets its answer; it tries again once, as they do."""
        for last in (False, True):
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=HEALTHY) as answer:
                    return bool(answer.status == 200)
            except OSError:
                if last:
                    return False
        raise AssertionError

    @contextmanager
    def kept_small(self, what: str) -> Iterator[None]:
        """Its memory stays, and somebody else is answered all the time."""
        largest, refused, over = 0, 0, threading.Event()

        def watch() -> None:
            nonlocal largest, refused
            while not over.wait(0.1):
                largest = max(largest, self.process.memory_info().rss)
                refused += not self.healthy()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        assert largest - self.before < ALLOWED, f"{what}: {(largest - self.before) / MIB:.0f} MiB more"
        assert not refused, what


@contextmanager
def started(configuration: Path, *, short: bool) -> Iterator[Server]:
    with serving("--config", str(configuration), short=short) as (process, told):
        drain = threading.Thread(target=lambda: [None for _ in process.stderr or ()])
        drain.start()  # its log
        found = Server(told["url"], psutil.Process(process.pid))
        assert found.healthy()
        found.before = found.process.memory_info().rss
        ask("PUT", f"{found.url}/api/backup/settings", {"schedule_enabled": False})  # a backup of its own takes memory
        yield found
        process.kill()
        drain.join()


@pytest.fixture
def server(configuration: Path) -> Iterator[Server]:
    with started(configuration, short=False) as found:
        yield found


@pytest.fixture
def short_server(configuration: Path) -> Iterator[Server]:
    with started(configuration, short=True) as found:
        yield found


def send(client: socket.socket, data: bytes) -> int | None:
    """How much of it was sent; None when the server has closed the connection."""
    try:
        return client.send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return None


def flood(server: Server, first: bytes, again: bytes, count: int, end: float) -> None:
    """Send without end on so many connections; one that the server closes is opened anew."""
    with ExitStack() as stack, selectors.DefaultSelector() as ready:

        def begin() -> None:
            client = stack.enter_context(server.connect())
            ready.register(
                client, selectors.EVENT_WRITE, itertools.chain([first] if first else (), itertools.repeat(again))
            )

        for _ in range(count):
            begin()
        left: dict[socket.socket, bytes] = {}
        while time.monotonic() < end:
            for key, _ in ready.select(0.1):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                data = left.pop(client, b"") or next(key.data)
                sent = send(client, data)
                if sent is None:
                    ready.unregister(client)
                    client.close()
                    begin()
                elif sent < len(data):
                    left[client] = data[sent:]


def test_a_flood_takes_no_memory_and_keeps_nobody_out(server: Server) -> None:
    """Whatever a request may have without end, and many clients that fall silent, one after the other."""
    for what, (first, again, count) in ENDLESS.items():
        with server.kept_small(what):
            end = time.monotonic() + LASTS
            flood(server, first, again, count, end)
    for what, begun in HALVES.items():
        with ExitStack() as stack, server.kept_small(what):
            for _ in range(MANY):
                send(stack.enter_context(server.connect()), begun)
            end = time.monotonic() + connections.REQUEST / 2  # before those that are too slow are ended anyway
            time.sleep(1.0)
            while server.process.num_fds() >= MOST and time.monotonic() < end:
                time.sleep(0.1)
            assert server.process.num_fds() < MOST, what


def test_a_request_that_is_never_whole_is_ended(short_server: Server) -> None:
    """Also when it grows by a byte now and then, or was answered already."""
    began = time.monotonic()
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for begun in (*HALVES.values(), POST + b"Authorization: no\r\nContent-Length: 60000\r\n\r\n"):
            client = stack.enter_context(short_server.connect())
            send(client, begun)
            ready.register(client, selectors.EVENT_READ)
        while ready.get_map():
            assert time.monotonic() - began < 60
            for key, _ in ready.select(1):
                client = key.fileobj  # type: ignore[assignment]
                try:
                    data = client.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    ready.unregister(client)
            for key in [*ready.get_map().values()]:
                send(key.fileobj, b"a")  # type: ignore[arg-type]


def test_a_head_at_the_limit_is_taken(server: Server) -> None:
    """A hundred fields, 16 KiB, a body of 64 KiB: all that, and no more."""
    room = connections.HEAD - len("/healthzHostxContent-LengthX") - 5
    for head, body, status in (
        (f"X: {'a' * room}", 0, 200),
        (f"X: {'a' * (room + 20)}", 0, 400),
        ("\r\n".join(f"X{n}: a" for n in range(connections.FIELDS - 2)), 0, 200),
        ("\r\n".join(f"X{n}: a" for n in range(connections.FIELDS - 1)), 0, 400),
        ("X: a", MAX_BODY, 200),
    ):
        with server.connect() as client:
            client.settimeout(10)
            client.sendall(f"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n{head}\r\n\r\n".encode())
            client.sendall(b"a" * body)
            assert client.recv(12) == f"HTTP/1.1 {status}".encode()
