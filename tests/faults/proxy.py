"""Two proxies on loopback that break what they are told to break: one speaks HTTP, one the protocol of PostgreSQL.

Both number what passes, so that an undisturbed run tells where the middle and the end of a job are, and a fault can be
put there. A fault strikes once, or for ever: then everything that comes later meets it too, new connections included.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

import aiohttp
from aiohttp import web

from ..stores.faults import Fault, FaultProxy, Forward, cut_body, lose_answer, operation, reset

Sender: TypeAlias = Literal["client", "server"]


@dataclass
class Strike:
    """Where a fault strikes: at each of these messages once, or from the first of them on for ever.

    Messages are numbered from 0; with ``only``, those of that name. One that was struck does not count: its repetition
    has the same number.
    """

    places: set[int]
    ever: bool = False
    only: str = ""
    passed: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)

    def due(self, name: str) -> bool:
        """Whether the message that is there now is struck."""
        if self.only not in {"", name}:
            return False
        if self.ever:
            hit = self.passed >= min(self.places)
        else:
            hit = self.passed in self.places
            self.places.discard(self.passed)
        if hit:
            self.struck.set()
        else:
            self.passed += 1
        return hit


# HTTP -------------------------------------------------------------------------------------------------------------


@dataclass
class HttpProxy(FaultProxy):
    """In front of an HTTP server. ``trace`` holds what was asked, in order; ``plan`` is the one fault to come."""

    name: Callable[[web.BaseRequest], str] = operation
    trace: list[str] = field(default_factory=list)
    plan: tuple[Strike, Fault] | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.trace.append(self.name(request))
        forward = partial(self._forward, request)
        if self.plan is None or not self.plan[0].due(self.trace[-1]):
            return await forward()
        return await self.plan[1](request, forward)


@asynccontextmanager
async def http_proxy(upstream: str, name: Callable[[web.BaseRequest], str] = operation) -> AsyncIterator[HttpProxy]:
    """A proxy in front of ``upstream``, on a free port of loopback."""
    proxy = HttpProxy(upstream, name=name)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy._session = session
        runner = web.ServerRunner(web.Server(proxy.handle, handler_cancellation=True), shutdown_timeout=0.05)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()


def vault_operation(request: web.BaseRequest) -> str:
    """What a request to a vault is about, without the names of this run's mounts."""
    path = request.path.removeprefix("/v1/")
    for kind in ("/data/", "/metadata/"):
        if kind in path:
            return f"{'LIST' if 'list' in request.query else request.method} {kind[1:-1]}"
    return f"{request.method} {path}"


def answer(status: int, body: str, kind: str, **headers: str) -> Fault:
    """An answer in the server's place; ``_`` in a header's name stands for ``-``."""

    async def act(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(status=status, text=body, content_type=kind, headers=named)

    return act


async def stall(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
    """No answer, for as long as the client waits."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("never reached")


async def cut(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
    """The answer ends in the middle: of its body, or of its head where there is no body."""
    whole = await forward()
    if whole.body and request.method != "HEAD":
        return await cut_body(request, _already(whole))
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    request.transport.close()
    raise ConnectionResetError


def _already(response: web.Response) -> Forward:
    async def forward(body: bytes | None = None) -> web.Response:
        return response

    return forward


@dataclass
class Elsewhere:
    """Where a redirect leads: a server that counts who comes, and answers nothing."""

    address: str = ""
    visits: int = 0


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """It, on a free port of loopback."""
    place = Elsewhere()

    def visit(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place.visits += 1
        writer.close()

    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        place.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield place


#: The same for every HTTP server: the connection, and what stands between it and us.
CONNECTION: dict[str, Fault] = {
    "reset": reset,
    "answer lost": lose_answer,
    "answer cut": cut,
    "stall": stall,
    "not JSON": answer(200, "<html><body>Welcome to the intranet</body></html>", "text/html"),
}


# PostgreSQL -------------------------------------------------------------------------------------------------------

PgFault: TypeAlias = Literal["reset", "cut", "stall"]


@dataclass(frozen=True)
class Message:
    """One message of PostgreSQL's protocol: which connection, who sent it, its type, the beginning of its content."""

    connection: int
    sender: Sender
    kind: str
    content: bytes

    @property
    def name(self) -> str:
        """Its type; of a query and its end the first letters as well, such as ``Q COMMIT``."""
        return f"{self.kind} {self.content[:6].decode('latin-1')}" if self.kind in {"Q", "C"} else self.kind


class _Link:
    """One connection through the proxy: both ends."""

    def __init__(self, ends: dict[Sender, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._ends = ends
        self.broken = False

    def reader(self, sender: Sender) -> asyncio.StreamReader:
        return self._ends[sender][0]

    def writer(self, sender: Sender) -> asyncio.StreamWriter:
        """Where what ``sender`` sends goes to."""
        return self._ends["server" if sender == "client" else "client"][1]

    def close(self, *, hard: bool = False) -> None:
        """Close both ends; ``hard`` makes the kernel send a reset."""
        for _, writer in self._ends.values():
            if hard:
                linger = struct.pack("ii", 1, 0)
                with contextlib.suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()


@dataclass
class PgProxy:
    """In front of PostgreSQL. Connections must neither ask for TLS nor for GSSAPI.

    ``trace`` holds every message. ``plan`` is the fault to come: it counts the messages of one sender. When it strikes,
    the message does not get through (cut: half of it does).
    """

    host: str
    port: int
    trace: list[Message] = field(default_factory=list)
    plan: tuple[Strike, Sender, PgFault] | None = None
    #: Told of every message before it is passed on.
    on_message: Callable[[Message], None] = lambda _: None
    listens: int = 0
    _links: dict[int, _Link] = field(default_factory=dict)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _connections: int = 0
    _dead: bool = False

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._connections = self._connections, self._connections + 1
        link = _Link({"client": (reader, writer), "server": await asyncio.open_connection(self.host, self.port)})
        self._links[number] = link
        pumps = [asyncio.ensure_future(self._pump(number, link, sender)) for sender in ("client", "server")]
        try:
            if self._dead:
                with contextlib.suppress(ConnectionError):
                    await self._break(link)
            await asyncio.wait(pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            link.close()
            del self._links[number]

    async def _pump(self, number: int, link: _Link, sender: Sender) -> None:
        try:
            async for kind, data in _messages(link.reader(sender), untyped=sender == "client"):
                if self._dead or link.broken:
                    await self._break(link)
                self.trace.append(Message(number, sender, kind, data[5:45]))
                self.on_message(self.trace[-1])
                if self.plan is not None and self.plan[1] == sender and self.plan[0].due(self.trace[-1].name):
                    self._dead = self.plan[0].ever
                    if self.plan[2] == "cut":
                        link.writer(sender).write(data[: len(data) // 2])
                        with contextlib.suppress(ConnectionError):
                            await link.writer(sender).drain()
                    await self._break(link)
                link.writer(sender).write(data)
                await link.writer(sender).drain()
            if link.broken:  # nobody learns that the other end is gone
                await self._break(link)
        except ConnectionError:
            pass
        finally:
            link.close()

    async def _break(self, link: _Link) -> None:
        """Do to a connection what the plan says; does not return when it stalls."""
        assert self.plan is not None
        link.broken = True
        if self.plan[2] == "stall":
            await asyncio.get_running_loop().create_future()
        link.close(hard=self.plan[2] == "reset")
        raise ConnectionResetError

    def sent(self, sender: Sender) -> list[Message]:
        """What one side sent, in order."""
        return [message for message in self.trace if message.sender == sender]

    def connected(self, number: int) -> bool:
        """Whether a connection is there."""
        return number in self._links

    def end(self, number: int) -> None:
        """Reset a connection, from both ends."""
        self._links[number].close(hard=True)

    async def release(self) -> None:
        """End every connection, stalled ones too; from now on nothing is broken."""
        self.plan, self._dead = None, False
        while self._serving:
            for link in self._links.values():
                link.close(hard=True)
            for task in tuple(self._serving):
                task.cancel()
            await asyncio.wait(self._serving)


async def _messages(reader: asyncio.StreamReader, *, untyped: bool) -> AsyncIterator[tuple[str, bytes]]:
    """Cut a stream into messages: a letter, a length, the content; the client's first one has no letter."""
    first = untyped
    while True:
        try:
            head = await reader.readexactly(4 if first else 5)
            rest = await reader.readexactly(int.from_bytes(head[-4:], "big") - 4)
        except asyncio.IncompleteReadError:
            return
        yield ("startup" if first else chr(head[0])), head + rest
        first = False


@asynccontextmanager
async def pg_proxy(host: str, port: int) -> AsyncIterator[PgProxy]:
    """A proxy in front of a PostgreSQL, on a free port of loopback."""
    proxy = PgProxy(host, port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.listens = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.release()
