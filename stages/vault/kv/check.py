"""Which rights a token lacks, asked before a job rather than found out in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ....formats.json.broken import BROKEN
from ...errors import Right, VaultError
from .answers import Refused
from .client import SMALL
from .mounts import check_version
from .rights import ASKING
from .roots import owns
from .transport import Call

if TYPE_CHECKING:
    from .client import VaultClient
    from .roots import Root

#: Stands for any name: a policy that ends in ``*`` matches it, one that names single secrets does not.
PROBE = "kleidia-backup-check"
#: Folders that are listed, at most, to find a secret, and names of each that are looked at.
_FOLDERS, _NAMES = 100, 1000


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


async def list_right(client: VaultClient, root: Root, folder: str) -> Right:
    """What lists a folder of a root's mount, and those below it."""
    kind = "metadata/" if await client.kv_version(root.mount) == 2 else ""
    return Right("list", f"{root.mount}/{kind}{folder}*")


async def read_right(client: VaultClient, root: Root) -> Right:
    """What reads the secrets of a root."""
    kind = "data/" if await client.kv_version(root.mount) == 2 else ""
    return Right("read", f"{root.mount}/{kind}{root.folder}*")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of listing the roots and reading one secret of each: the rights that are missing, and empty roots."""

    lacking: tuple[Right, ...]
    empty: tuple[Root, ...]


async def try_roots(client: VaultClient, roots: Sequence[Root], own: Sequence[str] = ()) -> Tried:
    """List each root, and read one secret of it: rights alone do not show that what answers is a KV engine.

    The product's ``own`` (see ``VaultSettings``) are passed over.

    Raises ``VaultMountMissing`` for a mount of another version than is configured, ``VaultError`` for answers that are
    none of a KV engine, and what every request of the client raises.
    """
    missing: dict[Right, None] = {}
    empty: list[Root] = []
    for root in roots:
        await check_version(client.control, client.settings.address, root)
        found = await _first(client, root, own)
        if found is None:
            empty.append(root)
        elif isinstance(found, Right):
            missing[found] = None
        else:
            result = await client.read(root.mount, found, limit=SMALL)
            if isinstance(result, Refused) and result.status == 403:
                missing[await read_right(client, root)] = None
            elif isinstance(result, Refused):
                raise _no_kv(client, f"{root.mount}/{found}", result)
    return Tried(tuple(missing), tuple(empty))


async def _first(client: VaultClient, root: Root, own: Sequence[str]) -> str | Right | None:
    """The path of some secret of a root; the right that is missing to find one; None where there is none."""
    folders = [root.folder]
    for _ in range(_FOLDERS):
        if not folders:
            break
        folder = folders.pop()
        names = await client.list(root.mount, folder)
        if isinstance(names, Refused):
            if names.status == 403:
                return await list_right(client, root, folder)
            raise _no_kv(client, f"{root.mount}/{folder}", names)
        try:
            found = [name for name in islice(names, _NAMES) if not owns(own, root.mount, folder + name)]
        except ValueError:
            raise _no_kv(client, f"{root.mount}/{folder}", Refused(200, "it is no list of names")) from None
        secret = next((name for name in found if not name.endswith("/")), None)
        if secret is not None:
            return folder + secret
        folders += [folder + name for name in reversed(found)]
    return None


def _no_kv(client: VaultClient, place: str, refused: Refused) -> VaultError:
    return VaultError(
        f"What answers at {client.settings.address} for {place} is no KV engine, or cannot be asked: {refused.reason}.",
        hint="Look for a proxy in between, and into the vault's log.",
    )


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
