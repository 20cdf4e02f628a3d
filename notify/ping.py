"""Pings as healthchecks.io takes them: ``/start``, the address itself for success, ``/fail`` and ``/log``.

What pings are for is the silence when there are none: the other side alarms when a backup does not begin, or does not
end. So they are sent for every backup, and for nothing else that could be taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from ..config.notifying.events import TEST
from .posting import post

if TYPE_CHECKING:
    from .message import Message

_SUFFIX = {
    "backup.started": "/start",
    "backup.completed": "",
    "backup.failed": "/fail",
    TEST: "/log",
}


@dataclass(frozen=True, slots=True)
class Ping:
    """A check of healthchecks.io, or of another server with its protocol."""

    url: str = field(repr=False)
    name: str = "ping"

    def wants(self, event: str) -> bool:
        """A backup's start and end, and tests."""
        return event in _SUFFIX

    async def send(self, message: Message) -> None:
        """Ping; the run's id ties the start to the end. Raises ``NotSent``."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/") + _SUFFIX[message.event]
        query = "&".join(filter(None, (parts.query, f"rid={quote(message.run)}")))
        url = urlunsplit((parts.scheme, parts.netloc, path, query, ""))
        await post(url, message.text().encode(), {"Content-Type": "text/plain; charset=utf-8"})
