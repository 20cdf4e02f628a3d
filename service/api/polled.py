"""Polled routes are answered from a cache, before the framework is called.

An answer is made by the app, sent, and kept for a second; the same bytes are sent to everybody who asks for the same
within that time. Only those get it whose token was verified before; everything else goes through the app. What this
replica writes about jobs is seen at once, what another one writes a second later.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..control.changes import Changes

#: Seconds for which an answer is sent again.
KEPT = 1.0
#: Most paths whose answers are kept; then all are forgotten.
_MOST = 100


@dataclass(eq=False, slots=True)
class _Answer:
    """An answer that is being made, and then was. ``usable``: it is 200 and whole."""

    change: int
    since: float
    made: asyncio.Event = field(default_factory=asyncio.Event)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def store(self, message: Message) -> None:
        """Store a message; its headers as they are now, for outer layers may add others."""
        copy = dict(message)
        if "headers" in copy:
            copy["headers"] = [*copy["headers"]]
        self.messages.append(copy)

    @property
    def usable(self) -> bool:
        if len(self.messages) != 2:
            return False
        start, body = self.messages
        return start.get("status") == 200 and not body.get("more_body")


class PolledAnswers:
    """A layer around the app, for the ``paths`` whose answers are the same for everybody who has a role.

    ``may`` checks whether an Authorization header is a verified token that may read a target (None: the default one);
    ``changes`` counts writes. ``prefix`` is what
    every path of the app begins with, besides where it is mounted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: Sequence[re.Pattern[str]],
        may: Callable[[str, str | None], bool],
        changes: Changes,
        prefix: str,
    ) -> None:
        self._app = app
        self._paths = paths
        self._may = may
        self._changes = changes
        self._prefix = prefix
        self._answers: dict[str, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = self._asked(scope)
        if path is None:
            await self._app(scope, receive, send)
            return
        answer = self._answers.get(path)
        if answer is None or answer.change != self._changes.number or monotonic() - answer.since >= KEPT:
            await self._make(path, scope, receive, send)
            return
        if not answer.made.is_set():
            await answer.made.wait()
        if not answer.usable:
            await self._app(scope, receive, send)
            return
        start, body = answer.messages
        await send(start | {"headers": [*start["headers"]]})
        await send(body)

    def _asked(self, scope: Scope) -> str | None:
        """The path of a polled request with a verified token; None for any other."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return None
        path: str = scope["path"]
        inside = path.removeprefix(scope.get("root_path", "")).removeprefix(self._prefix)
        found = next((match for each in self._paths if (match := each.match(inside))), None)
        if found is None:
            return None
        authorization = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if authorization is not None:
                    return None
                authorization = value.decode("latin-1")
            elif name in {b"content-length", b"transfer-encoding"}:
                return None
        target = found.groupdict().get("target")
        return path if authorization is not None and self._may(authorization, target) else None

    async def _make(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._answers) >= _MOST:
            self._answers.clear()
        answer = self._answers[path] = _Answer(self._changes.number, monotonic())

        async def storing(message: Message) -> None:
            answer.store(message)
            if answer.usable:
                answer.made.set()
            await send(message)

        try:
            await self._app(scope, receive, storing)
        finally:
            answer.made.set()
            if not answer.usable and self._answers.get(path) is answer:
                del self._answers[path]
