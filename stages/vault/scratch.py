"""Scratch mounts: a KV engine that is made for a drill and removed with all it holds, and who a vault is.

No session of a vault's shows whose a mount is. So each says when it was made, and one that is older than any drill was
left behind by a process that was killed: the next drill removes it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING

import anyio
import msgspec

from ..errors import Right, VaultError, VaultForbidden
from .kv.answers import Refused
from .kv.client import VaultClient
from .kv.identity import cluster_of
from .kv.mounts import described_mounts
from .kv.roots import Root
from .kv.transport import Call

if TYPE_CHECKING:
    from .kv.settings import VaultSettings

#: What the name of a scratch mount begins with; the rest is random and never from outside.
PREFIX = "kleidia-drill-"
#: Seconds after which no drill still uses a mount.
LEFT = 2 * 24 * 3600.0
#: What its description is, with the Unix time.
_MADE = "Scratch of a drill of kleidia-backup, made at "
_SECONDS = re.compile(r"[0-9]{1,15}")
#: Seconds in which a new engine becomes ready.
_READY = 30.0


async def cluster(settings: VaultSettings) -> str:
    """The id of the vault, which does not depend on its address; empty when it reports none. Raises ``VaultError``."""
    async with VaultClient(settings) as client:
        return await cluster_of(client)


async def enable(settings: VaultSettings) -> VaultSettings:
    """Mount an empty KV engine of version 2; the settings whose only root it is. Those that were left go first.

    Raises ``VaultForbidden`` when the token may not, and what every request of the client raises.
    """
    name = PREFIX + secrets.token_hex(8)
    scratch = replace(settings, roots=(Root("", name, kv_version=2),), own=())
    async with VaultClient(scratch) as client:
        await _remove_left(client)
        described = {"type": "kv", "options": {"version": "2"}, "description": f"{_MADE}{time():.0f}"}
        body = msgspec.json.encode(described)
        await _expect(client, Call("POST", f"sys/mounts/{name}", body), "create")
        with anyio.move_on_after(_READY):  # the engine makes itself ready after the answer
            while isinstance(await client.list(name, ""), Refused):  # noqa: ASYNC110 - nobody says when it is
                await anyio.sleep(0.05)
    return scratch


async def disable(scratch: VaultSettings) -> None:
    """Remove a mount that ``enable`` made, with all it holds. Raises as ``enable``, and for any other mount."""
    (root,) = scratch.roots
    if not root.mount.startswith(PREFIX):
        raise ValueError("only mounts that a drill made are removed by one")
    async with VaultClient(scratch) as client:
        await _expect(client, Call("DELETE", f"sys/mounts/{root.mount}"), "delete")


async def _remove_left(client: VaultClient) -> None:
    """Remove those that drills have left, as far as the token sees them, and may."""
    for name, description in (await described_mounts(client.control)).items():
        made = description.removeprefix(_MADE)
        if name.startswith(PREFIX) and made != description and _SECONDS.fullmatch(made) and int(made) + LEFT < time():
            await client.control(Call("DELETE", f"sys/mounts/{name}"))  # it is the next one's, if it is refused


async def _expect(client: VaultClient, call: Call, verb: str) -> None:
    answer = await client.control(call)
    if answer.status == 403:
        right = Right(verb, f"sys/mounts/{PREFIX}*")
        raise VaultForbidden(
            f"The token may not make and remove a scratch mount: it lacks {right}.",
            hint="Grant it, or run the drill with the embedded servers.",
            rights=(right,),
        )
    if answer.status not in {200, 204}:
        raise VaultError(
            f"The vault answers {answer.status} when a scratch mount is made or removed: {answer.errors()}.",
            hint="Look into the vault's log.",
        )
