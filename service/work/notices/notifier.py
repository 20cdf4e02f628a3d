"""Sends what waits in the outbox. Every replica has one; each message is sent by one of them."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from ....notify.channels import attempt, tell
from ....notify.message import test_message

if TYPE_CHECKING:
    from ....notify.channel import Channel, Sent
    from ...control.outbox import Outbox

#: Seconds after which no further message of a channel is begun with in one go: the other channels wait for it.
_AT_ONCE = 10.0


class Notifier:
    """Sends the messages of a target; ``tick`` is called every few seconds."""

    def __init__(self, outbox: Outbox, target: str) -> None:
        self._outbox, self._target = outbox, target
        self._ticks = 0
        self._log = structlog.get_logger("kleidia_backup.notify").bind(target=target)

    async def tick(self) -> None:
        """Send what is due, each channel for itself. Raises what ``Control.connection`` raises."""
        if not self._outbox.channels:
            return
        ended = await asyncio.gather(*(self._drain(each) for each in self._outbox.channels), return_exceptions=True)
        for error in filter(None, ended):  # only now: no channel is left alone while it sends
            raise error
        if self._ticks % 1000 == 0:
            await self._outbox.sweep()
        self._ticks += 1

    async def _drain(self, channel: Channel) -> None:
        begun = monotonic()
        while monotonic() - begun < _AT_ONCE:
            waiting = await self._outbox.take(channel)
            if waiting is None:
                return
            result = await attempt(channel, waiting.message)
            if result.ok:
                await self._outbox.sent(waiting)
                continue
            facts = {"channel": channel.name, "event": waiting.message.event, "error": result.error}
            if await self._outbox.failed(waiting, result.error, refused=result.refused):
                self._log.warning("a message was not sent, and will be tried again", **facts)
            else:
                self._log.error("a message was given up", attempts=waiting.attempts, **facts)
            return  # those behind it wait for it

    async def test(self) -> list[Sent]:
        """Send a test by every channel, now and once. Raises nothing."""
        return await tell(self._outbox.channels, test_message(self._target, str(uuid4())))
