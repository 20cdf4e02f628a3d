"""Questions to a vault whose answer may be missing, or be another one: then there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from ...formats.json.broken import BROKEN
from .kv.backoff import GaveUp

if TYPE_CHECKING:
    from .kv.client import VaultClient
    from .kv.transport import Call
    from .kv.troubles import Answer

T = TypeVar("T")


def read_as(answer: Answer | None, wanted: type[T]) -> T | None:
    """What an answer says; None where there is none, or it says something else."""
    try:
        return None if answer is None else msgspec.json.decode(answer.body, type=wanted)
    except BROKEN:
        return None


async def ask(client: VaultClient, call: Call) -> Answer | None:
    """The answer, if it is one."""
    try:
        answer = await client.request(call)
    except GaveUp:
        return None
    return answer if answer.status == 200 and not answer.oversize else None
