"""Which rights a token lacks, asked before a job rather than found out in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ....formats.json.broken import BROKEN
from ...errors import Right
from .rights import ASKING
from .transport import Call

if TYPE_CHECKING:
    from .client import VaultClient
    from .roots import Root

#: Stands for any name: a policy that ends in ``*`` matches it, one that names single secrets does not.
PROBE = "kleidia-backup-check"


#: The path to ask about, how it is shown, and the capabilities there.
Needed: TypeAlias = tuple[str, str, list[str]]


class _Answer(msgspec.Struct):
    data: dict[str, list[str]] = msgspec.field(default_factory=dict)


async def check_vault(
    client: VaultClient, roots: Sequence[Root], *, restore: bool, undo: bool = False, prune: bool = False
) -> list[Right]:
    """The rights that a backup of these roots (or a restore) needs and the token lacks, such as ``list on kv/data/*``.

    ``undo`` adds what taking back newly created secrets needs, ``prune`` what removing others does. Changes nothing
    in the vault. Raises what every request of the client raises: ``VaultSealed``, ``VaultForbidden``,
    ``VaultMountMissing`` and so on.
    """
    needed: list[Needed] = []
    for root in roots:
        versioned = await client.kv_version(root.mount) == 2
        names = f"{root.mount}/{'metadata/' if versioned else ''}{root.folder}"
        values = f"{root.mount}/{'data/' if versioned else ''}{root.folder}"
        if prune or not restore:
            needed.append((names, names, ["list"]))
        needed.append((values + PROBE, values + "*", ["read", "create", "update"] if restore else ["read"]))
        if prune:
            needed.append((values + PROBE, values + "*", ["delete"]))
        if undo and versioned:  # version 1 keeps nothing that could be put back
            deleting = f"{root.mount}/delete/{root.folder}"
            needed.append((names + PROBE, names + "*", ["read", "delete"]))
            needed.append((deleting + PROBE, deleting + "*", ["update"]))
    return await lacking(client, needed)


async def lacking(client: VaultClient, needed: Sequence[Needed]) -> list[Right]:
    """What the token lacks of rights on paths; ``ASKING`` alone when it may not even ask. Raises as ``check_vault``."""
    body = msgspec.json.encode({"paths": [path for path, _, _ in needed]})
    answer = await client.control(Call("POST", "sys/capabilities-self", body))
    if answer.status != 200:
        return [ASKING]
    held = _held(answer.body)
    return [
        Right(verb, shown)
        for path, shown, verbs in needed
        for verb in verbs
        if not {verb, "root"} & set(held.get(path, ()))
    ]


def _held(body: bytes) -> dict[str, list[str]]:
    try:
        return msgspec.json.decode(body, type=_Answer).data
    except BROKEN:
        return {}
