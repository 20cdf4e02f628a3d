"""Answers that are no older than what the active server of a cluster holds.

Since OpenBao 2.5 a standby answers reads by itself, and is behind the active server: by milliseconds usually, by more
when it was started again, and for as long as it lasts when it is cut off. A restore that takes an old value for the
live one leaves it. Since 2.7 a request may name the state that its answer must include, and what a standby does that
has not got there. A state that no server has reached yet makes each standby ask the active server.
"""

from __future__ import annotations

import base64

import msgspec

from ....formats.json.broken import BROKEN

#: The header of the state, in answers and in requests, and the one that says what else to do.
INDEX, INCONSISTENT = "X-Vault-Index", "X-Vault-Inconsistent"
FORWARD = "forward-active-node"
#: A state that no storage reaches.
_NEVER = str(2**62)


class _Index(msgspec.Struct):
    cluster: str
    value: str


def beyond(index: str) -> str:
    """The state that no server of a cluster has reached, from any state of it; empty when that is not OpenBao's."""
    try:
        found = msgspec.json.decode(base64.b64decode(index, validate=True), type=_Index)
    except (ValueError, *BROKEN):
        return ""
    found.value = _NEVER
    return base64.b64encode(msgspec.json.encode(found)).decode("ascii")
