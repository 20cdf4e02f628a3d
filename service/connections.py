"""Limits for clients before they are authenticated: bytes, fields, requests and seconds of one connection.

uvicorn's fast parser takes heads of any size and waits for half of one for ever, so its protocol is limited here. A
request must be whole within ``REQUEST`` seconds. When there are ``most`` connections, the one that has waited longest
for its request to be whole is ended for the next; one whose request is whole is never ended. Answers that are not read
are ended too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .api.middleware import MAX_BODY

#: Most bytes of a request's first line and its fields (trailers too), and most fields.
HEAD = 16 * 1024
FIELDS = 100
#: Most requests that may wait behind another one on the same connection.
PIPELINED = 8
#: Seconds for a request to be whole, and for an answer that the network does not take to go on.
REQUEST = 20.0
ANSWER = 60.0
#: Most answers that wait for the network at the same time: each holds up to 200 KiB.
STALLED = 16
#: Bytes of bodies that are not whole yet, of all connections together.
BODIES = 8 * 1024 * 1024
#: Seconds between two checks, and between two lines of the log.
_EVERY = 1.0
_LOG_PAUSE = 60.0


class _TooMuch(Exception):
    """A request beyond a limit."""


@dataclass(eq=False)
class ConnectionLimits:
    """All connections of a server together. ``most`` is how many there may be at the same time."""

    most: int
    waiting: dict[Counted, float] = field(default_factory=dict)
    stalled: dict[Counted, float] = field(default_factory=dict)
    bodies: dict[Counted, int] = field(default_factory=dict)
    _held: int = 0
    _timer: asyncio.TimerHandle | None = None
    _logged: float = -inf
    _log: Any = field(default_factory=lambda: structlog.get_logger("kleidia_backup.api"))

    @property
    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn makes of each connection."""
        return cast("type[asyncio.Protocol]", partial(Counted, limits=self))

    def admit(self, connection: Counted, open_now: int) -> None:
        """Let a connection in, if need be in another's place."""
        if open_now > self.most:
            next(iter(self.waiting), connection).end()
            if self._logged < (now := monotonic()) - _LOG_PAUSE:
                self._logged = now
                self._log.warning("too many connections: those that keep us waiting are ended", most=self.most)
        self.wait(connection)

    def wait(self, connection: Counted) -> None:
        """The connection's next request is waited for from now on."""
        self.waiting[connection] = monotonic()
        self._arm()

    def stall(self, connection: Counted) -> None:
        """The network takes nothing of an answer from now on."""
        self.stalled[connection] = monotonic()
        if len(self.stalled) > STALLED:
            next(iter(self.stalled)).end()
        self._arm()

    def hold(self, connection: Counted, size: int) -> None:
        """``size`` more bytes of a body came; beyond the limit the oldest body's connection is ended."""
        self.bodies[connection] = self.bodies.get(connection, 0) + size
        self._held += size
        while self._held > BODIES:
            next(iter(self.bodies)).end()

    def release(self, connection: Counted) -> None:
        """The body is whole, or of no interest any more."""
        self._held -= self.bodies.pop(connection, 0)

    def forget(self, connection: Counted) -> None:
        """The connection is no more."""
        self.release(connection)
        self.waiting.pop(connection, None)
        self.stalled.pop(connection, None)

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._end_late)

    def _end_late(self) -> None:
        """End what takes too long. The oldest come first in both."""
        self._timer = None
        for these, limit in ((self.waiting, REQUEST), (self.stalled, ANSWER)):
            late = monotonic() - limit
            for connection in [each for each, since in these.items() if since < late]:
                connection.end()
        if self.waiting or self.stalled:
            self._arm()


class Counted(HttpToolsProtocol):
    """uvicorn's protocol with limits. Each override counts, and then does what uvicorn does."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._limits = limits
        self._whole = True  # of the last request that began: it was read to its end
        self._unseen = 0  # bytes since the parser's last callback: it holds them, or skips them
        self._head = self._fields = self._body = 0

    def end(self) -> None:
        """Abort the connection."""
        self._limits.forget(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        super().connection_made(transport)
        # An answer that is not read may wait here once for each of very many connections.
        transport.set_write_buffer_limits(high=4096)
        self._limits.admit(self, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._limits.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and limit what the parser does not report: half a field, blank lines, extensions of chunks."""
        for at in range(0, len(data), HEAD):
            if self.transport.is_closing():
                return
            self._unseen += len(piece := data[at : at + HEAD])
            super().data_received(piece)
            if self._unseen > HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def send_400_response(self, msg: str) -> None:
        """Refuse, unless the answer to an earlier request may be half written."""
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
        else:
            self.end()

    # Callbacks of the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= PIPELINED:
            raise _TooMuch
        self._whole = False
        self._unseen = self._head = self._fields = self._body = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of its head, or behind its body."""
        self._fields += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of its body. What is over the limit only shows that it is."""
        self._unseen = 0
        room = MAX_BODY + 1 - self._body
        self._body += len(body)
        if room > 0:
            self._limits.hold(self, min(len(body), room))
            super().on_body(body[:room])
        elif self.cycle.response_complete:
            self.transport.close()

    def on_message_complete(self) -> None:
        """It is whole: it can be answered."""
        self._whole = True
        self._unseen = 0
        self._limits.waiting.pop(self, None)
        self._limits.release(self)
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._unseen = 0
        self._head += size
        if self._head > HEAD or self._fields > FIELDS:
            raise _TooMuch

    # What becomes of the answer -------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of one that was answered before it was whole, or for the end."""
        behind = len(self.pipeline)
        super().on_response_complete()
        next_is_here = behind > 1 or (behind == 1 and self._whole)  # the next one is here already
        if not next_is_here and self not in self._limits.waiting:
            self._limits.wait(self)

    def pause_writing(self) -> None:
        """The network takes no more for now."""
        super().pause_writing()
        self._limits.stall(self)

    def resume_writing(self) -> None:
        """It does again."""
        self._limits.stalled.pop(self, None)
        super().resume_writing()
