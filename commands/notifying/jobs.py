"""What is told of a job of the command: at once, for there is no service that could do it later.

So nothing tells of a recovery, which is known by the history alone, and a message that cannot be sent is a warning.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio

from ...config.build import notify_settings
from ...notify.channels import channels, tell
from ...notify.message import Message, shortened

if TYPE_CHECKING:
    from argparse import Namespace

    from ...config.reader import Config
    from ...notify.channel import Channel
    from ..console.failure import Failure
    from ..console.terminal import Terminal

#: The commands that are told of.
KINDS = ("backup", "restore", "verify", "drill")


@dataclass
class Notices:
    """The messages of one command's job."""

    kind: str
    type: str
    target: str
    terminal: Terminal = field(repr=False)
    found: tuple[Channel, ...] = field(repr=False)
    run: str = field(default_factory=lambda: str(uuid4()))
    _begun: float | None = None

    def begun(self) -> None:
        """The job begins."""
        if self._begun is None:
            self._begun = monotonic()
            self._tell(f"{self.kind}.started")

    def completed(self, report: Any) -> None:
        """It ended; ``report`` is what the library says of it."""
        if self._begun is None:
            return
        warnings = len(getattr(report, "warnings", ()))
        if getattr(report, "verdict", "proven") != "proven":
            self._tell(f"{self.kind}.failed", archive=_text(report, "archive"), verdict=report.verdict)
            return
        events = (*((f"{self.kind}.warning",) if warnings else ()), f"{self.kind}.completed")
        facts = {name: getattr(report, name, None) for name in ("size", "checksum")}
        self._tell(*events, archive=_text(report, "name"), warnings=warnings, **facts)

    def failed(self, failure: Failure) -> None:
        """It failed; a restore that did not begin is nothing to tell of, for somebody sits there."""
        if self._begun is not None or self.kind != "restore":
            self._tell(f"{self.kind}.failed", error=shortened(failure.message), next_step=shortened(failure.hint))

    def _tell(self, *events: str, **facts: Any) -> None:
        seconds = None if self._begun is None else round(monotonic() - self._begun, 1)
        about = {"kind": self.kind, "type": self.type, "host": socket.gethostname(), "seconds": seconds or None}
        message = Message(
            id=f"{self.run}.{events[0]}",
            events=events,
            target=self.target,
            at=datetime.now(UTC),
            run=self.run,
            facts=about | facts,
        )
        for each in anyio.run(partial(tell, self.found, message)):
            if not each.ok:
                self.terminal.warn(f"A message was not sent by {each.channel}: {each.error}.")


def notices(given: Namespace, config: Config, target: str, terminal: Terminal) -> Notices | None:
    """Those of a command; None for one that nobody is told of. Raises ``ConfigurationError``."""
    looks = ("dry_run", "undo", "dismiss", "password_only", "check_reports")
    if given.command not in KINDS or any(getattr(given, each, False) for each in looks):
        return None
    settings = notify_settings(config)
    found = () if settings is None else channels(settings)
    kind = getattr(given, "type", None) or getattr(given, "only", None) or ""
    return Notices(given.command, kind, target or socket.gethostname(), terminal, found) if found else None


def _text(report: Any, name: str) -> str | None:
    value = getattr(report, name, None)
    return value if isinstance(value, str) else None
