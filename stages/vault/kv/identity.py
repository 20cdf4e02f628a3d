"""The identity of a vault, which does not depend on its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ....formats.json.broken import BROKEN
from .backoff import GaveUp
from .transport import Call

if TYPE_CHECKING:
    from .client import VaultClient


class _Status(msgspec.Struct):
    cluster_id: str = ""
    version: str = ""


async def cluster_of(client: VaultClient) -> str:
    """The id that a vault gave itself when it was initialised; empty when it reports none. Raises as ``request``."""
    return (await _status(client)).cluster_id


async def version_of(client: VaultClient) -> str:
    """The version of its program; empty when it reports none. Raises as ``request``."""
    return (await _status(client)).version


class _Leader(msgspec.Struct):
    ha_enabled: bool = False
    is_self: bool = True


async def may_be_behind(client: VaultClient) -> bool:
    """Whether the server that answers is a standby whose reads may be older than what the active server holds.

    Raises as ``request``.
    """
    if client.consistent:
        return False
    try:
        answer = await client.request(Call("GET", "sys/leader"))
        leader = msgspec.json.decode(answer.body, type=_Leader) if answer.status == 200 else _Leader()
    except (GaveUp, *BROKEN):
        return False
    return leader.ha_enabled and not leader.is_self


async def identity_of(client: VaultClient) -> tuple[str, str]:
    """Both, in this order, by one request."""
    status = await _status(client)
    return status.cluster_id, status.version


async def _status(client: VaultClient) -> _Status:
    try:
        answer = await client.request(Call("GET", "sys/seal-status"))
        return msgspec.json.decode(answer.body, type=_Status) if answer.status == 200 else _Status()
    except (GaveUp, *BROKEN):
        return _Status()
