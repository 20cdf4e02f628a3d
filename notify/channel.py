"""What every channel has, and the error that none of them lets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .message import Message

#: Seconds that one attempt to send may take.
PATIENCE = 10.0


class NotSent(Exception):
    """A message was not sent. ``code`` says why, in one word: what a server answered may hold anything.

    ``refused``: the other side understood it, and does not want this one; later it will hardly think otherwise.
    """

    def __init__(self, code: str, *, refused: bool = False) -> None:
        super().__init__(code)
        self.code, self.refused = code, refused


class Channel(Protocol):
    """A way to tell somebody."""

    @property
    def name(self) -> str:
        """What it is called in the outbox, and where it is told that it failed."""

    def wants(self, event: str) -> bool:
        """Whether it tells of such an event."""

    async def send(self, message: Message) -> None:
        """Send it once. Raises ``NotSent``."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one attempt: ``error`` is the code, empty when it was sent, and ``refused`` as of ``NotSent``."""

    channel: str
    error: str = ""
    refused: bool = False

    @property
    def ok(self) -> bool:
        """Whether it was sent."""
        return not self.error
