"""A POST of JSON, signed: whoever has the secret can tell that it is ours, and how old it is."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .posting import post

if TYPE_CHECKING:
    from .message import Message

#: The header with the time and the signature: ``t=1767225600,v1=<hex>``.
SIGNATURE = "X-Kleidia-Signature"


def signature(secret: str, moment: int, body: bytes) -> str:
    """The header's value: HMAC-SHA-256 over the time in seconds, a dot, and the body."""
    made = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={made}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes messages."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: frozenset[str]
    name: str = "webhook"

    def wants(self, event: str) -> bool:
        """What was chosen."""
        return event in self.events

    async def send(self, message: Message) -> None:
        """Send it. Raises ``NotSent``."""
        body = json.dumps(message.json()).encode()  # ASCII: a file's name may be no Unicode
        signed = signature(self.secret, int(time.time()), body)
        await post(self.url, body, {"Content-Type": "application/json", SIGNATURE: signed})
