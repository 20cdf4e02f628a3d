"""What is told: one event, for people as text and for machines as JSON. No secret is in it, and no secret's path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from ..config.notifying.events import EVENTS, TEST
from ..pipeline.reports import words

#: Longest text of an error that is told, in characters.
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that happened to ``target``. ``id`` stays the same when it is sent again; ``run`` is a job's.

    ``events`` are its names, the most telling first: a backup with warnings was also made, and each channel tells
    it by the first name that it wants. ``facts`` are what the receiver learns beside it.
    """

    id: str
    events: tuple[str, ...]
    target: str
    at: datetime
    run: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event(self) -> str:
        """The most telling name."""
        return self.events[0]

    def named(self, wants: Callable[[str], bool]) -> Self | None:
        """As a channel tells it that ``wants`` some names; None when it wants none of them."""
        name = next(filter(wants, self.events), None)
        return None if name is None else replace(self, events=(name,))

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        return EVENTS.get(self.event, "A test of the notifications")

    @property
    def subject(self) -> str:
        """One line with the target."""
        return words.printable(f"[kleidia-backup] {self.target}: {self.title}")

    def text(self) -> str:
        """Some lines for people."""
        lines = [f"{self.title}.", "", f"target: {self.target}", f"time: {words.moment(self.at)}"]
        lines += [f"{name.replace('_', ' ')}: {value}" for name, value in self.facts.items() if value not in (None, "")]
        return "\n".join(words.printable(line) for line in lines) + "\n"

    def json(self) -> dict[str, Any]:
        """As the webhook sends it and the outbox keeps it."""
        return {
            "id": self.id,
            "event": self.event,
            "target": self.target,
            "at": self.at.astimezone(UTC).isoformat(),
            "run": self.run,
            "facts": dict(self.facts),
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """What ``json`` gave."""
        facts = {name: kept[name] for name in ("id", "target", "run", "facts")}
        return cls(**facts, events=(kept["event"],), at=datetime.fromisoformat(kept["at"]))


def shortened(text: str | None) -> str | None:
    """An error's text, not longer than a message takes."""
    return text if text is None or len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def test_message(target: str, message_id: str) -> Message:
    """What a test sends."""
    facts = {"note": "Somebody asked for this test. Nothing happened."}
    return Message(id=message_id, events=(TEST,), target=target, at=datetime.now(UTC), run=message_id, facts=facts)
