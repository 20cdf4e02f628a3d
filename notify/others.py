"""What apprise knows: Slack, Teams, ntfy, Telegram and a hundred others, each by an address of its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from .aside import Aside
from .channel import NotSent

if TYPE_CHECKING:
    from .message import Message


@dataclass(frozen=True, slots=True)
class Others:
    """The services behind apprise's addresses. ``found`` is an ``apprise.Apprise``, which has them.

    Each is called by itself: ``Apprise.notify`` would call them in a pool, which the process waits for at its end.
    """

    found: Any = field(repr=False)
    events: frozenset[str]
    name: str = "apprise"
    _asides: dict[int, Aside] = field(default_factory=dict, repr=False, compare=False)

    def wants(self, event: str) -> bool:
        """What was chosen."""
        return event in self.events

    async def send(self, message: Message) -> None:
        """Send it to all of them. Raises ``NotSent`` (``refused``) when one did not take it."""
        # Its log may show addresses, which hold secrets.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        refused: list[int] = []

        async def one(number: int, service: Any) -> None:
            aside = self._asides.setdefault(number, Aside())  # a slow one is slow for itself
            try:
                taken = await aside.run(partial(service.notify, body=message.text(), title=message.subject))
            except NotSent:
                taken = False
            if not taken:
                refused.append(number)

        async with anyio.create_task_group() as tasks:
            for number, service in enumerate(self.found):
                tasks.start_soon(one, number, service)
        if refused:
            raise NotSent("refused")
