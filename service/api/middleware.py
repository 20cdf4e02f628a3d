"""The outer layer of every request: security headers, a limit for bodies, and the answer to unexpected errors."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request

from . import problems

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Largest body of a request, in bytes. Bodies are read before it is known whose they are.
MAX_BODY = 64 * 1024

#: Answers are not cached, framed or run as pages. A page brings a policy of its own.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class OuterLayer:
    """The outermost layer of the app. What no handler knew is answered with 500 and logged without its text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("kleidia_backup.api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sender(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, _Limited(receive), sender)
        except Exception as exc:
            incident = secrets.token_hex(8)
            self._log.error(
                "unexpected error", incident=incident, error=type(exc).__name__, frames=problems.frames(exc)
            )
            if begun:
                raise
            reply = problems.answer(
                Request(scope),
                500,
                "unexpected",
                "Something unexpected happened",
                "The request failed in a way that nobody expected.",
                f"Look for {incident} in the service's log, and please report it.",
                incident=incident,
            )
            await reply(scope, receive, sender)


class _Limited:
    """The body of a request, up to the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def __call__(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            if self._size > MAX_BODY:
                raise HTTPException(413, headers={"Connection": "close"})
        return message
