"""A proxy between an S3 client and a real S3 server that breaks what it is told to break.

It passes requests on unchanged, Host header included, so that their signatures stay valid.
"""

from __future__ import annotations

import asyncio
import io
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    import ssl


class Forward(Protocol):
    """Passes the request on, with another body if one is given, and returns the server's answer."""

    async def __call__(self, body: bytes | None = None) -> web.Response: ...


#: Answers in the server's place, or breaks the connection.
Fault = Callable[[web.BaseRequest, Forward], Awaitable[web.StreamResponse]]

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date"}


def operation(request: web.BaseRequest) -> str:
    """S3's name of a request."""
    query = request.query
    if request.method == "GET":
        for key, name in (
            ("uploads", "ListMultipartUploads"),
            ("uploadId", "ListParts"),
            ("list-type", "ListObjectsV2"),
        ):
            if key in query:
                return name
        return "GetObject"
    if request.method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if request.method == "PUT":
        return "UploadPart" if "partNumber" in query else "PutObject"
    if request.method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return "HeadObject"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    operation: str
    query: dict[str, str]
    headers: CIMultiDict[str]


@dataclass(slots=True)
class _Plan:
    operation: str
    fault: Fault
    times: int


@dataclass
class FaultProxy:
    """Where the proxy listens, what came, and what to break next."""

    upstream: str
    endpoint: str = ""
    seen: list[Seen] = field(default_factory=list)
    _plans: list[_Plan] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    def fail(self, operation: str, fault: Fault, *, times: int = 1) -> None:
        """Break the next ``times`` requests of that kind; faults of one kind follow each other."""
        self._plans.append(_Plan(operation, fault, times))

    def count(self, operation: str) -> int:
        """How many requests of that kind came."""
        return sum(each.operation == operation for each in self.seen)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        what = operation(request)
        self.seen.append(Seen(what, dict(request.query), CIMultiDict(request.headers)))
        for plan in self._plans:
            if plan.operation == what and plan.times > 0:
                plan.times -= 1
                return await plan.fault(request, partial(self._forward, request))
        return await self._forward(request)

    async def _forward(self, request: web.BaseRequest, body: bytes | None = None) -> web.Response:
        assert self._session is not None
        async with self._session.request(
            request.method,
            URL(self.upstream + request.raw_path, encoded=True),
            headers=request.headers,
            data=io.BytesIO(await request.content.read() if body is None else body),
            skip_auto_headers=["Content-Type", "User-Agent", "Accept"],
        ) as answer:
            headers = [(key, value) for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP]
            content = await answer.read()
            if request.method == "HEAD":
                return web.Response(status=answer.status, headers=CIMultiDict(headers))
            headers = [(key, value) for key, value in headers if key.lower() != "content-length"]
            return web.Response(status=answer.status, headers=CIMultiDict(headers), body=content)


@asynccontextmanager
async def fault_proxy(upstream: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultProxy]:
    """A proxy in front of ``upstream``, on a free port of the loopback."""
    proxy = FaultProxy(upstream)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy._session = session
        server = web.Server(proxy.handle)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            port = runner.addresses[0][1]
            proxy.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            yield proxy
        finally:
            await runner.cleanup()


def answer(status: int, code: str, message: str = "As told.", *, retry_after: str = "") -> Fault:
    """An error of S3's form."""
    headers = {"Retry-After": retry_after} if retry_after else None

    async def act(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return web.Response(status=status, text=body, content_type="application/xml", headers=headers)

    return act


def page(status: int, html: str = "<html><body><h1>Bad Gateway</h1></body></html>") -> Fault:
    """A page as a load balancer gives it."""

    async def act(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        return web.Response(status=status, text=html, content_type="text/html")

    return act


def redirect(location: str) -> Fault:
    """The way to another server."""

    async def act(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        return web.Response(status=302, headers={"Location": location})

    return act


async def reset(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
    """The connection is reset before the server saw the request."""
    return _drop(request)


async def lose_answer(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
    """The server does what it was asked, and the answer gets lost."""
    await forward()
    return _drop(request)


async def cut_body(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
    """Half of the body, then the connection ends."""
    whole = await forward()
    assert isinstance(whole.body, bytes)
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(whole.body)
    await half.prepare(request)
    await half.write(whole.body[: len(whole.body) // 2])
    return _drop(request, politely=True)


def stall_body(release: asyncio.Event) -> Fault:
    """Half of the body, then nothing until told to."""

    async def act(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        whole = await forward()
        assert isinstance(whole.body, bytes)
        half = web.StreamResponse(status=whole.status, headers=whole.headers)
        half.content_length = len(whole.body)
        await half.prepare(request)
        await half.write(whole.body[: len(whole.body) // 2])
        await release.wait()
        return _drop(request)

    return act


async def cut_request(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
    """The connection is reset in the middle of the request's body."""
    await request.content.readany()
    return _drop(request)


async def corrupt(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
    """One bit of the body is another when it arrives."""
    body = bytearray(await request.content.read())
    body[0] ^= 1
    return await forward(bytes(body))


def rewrite(**headers: str) -> Fault:
    """The server's answer with other headers; an empty value removes one. ``_`` stands for ``-``."""

    async def act(_: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        response = await forward()
        for key, value in headers.items():
            response.headers.pop(key.replace("_", "-"), None)
            if value:
                response.headers[key.replace("_", "-")] = value
        return response

    return act


def hold(arrived: asyncio.Event, release: asyncio.Event, *, after: bool = False) -> Fault:
    """Say that the request is there, and go on when told to; ``after`` the server has done what it was asked."""

    async def act(_: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        response = await forward() if after else None
        arrived.set()
        await release.wait()
        return response or await forward()

    return act


def _drop(request: web.BaseRequest, *, politely: bool = False) -> web.StreamResponse:
    transport = request.transport
    assert transport is not None
    if politely:
        transport.close()
    else:
        # Lingering for zero seconds makes the kernel send a reset.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise ConnectionResetError
