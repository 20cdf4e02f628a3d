"""What is mounted at a path, as far as a token may know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import VaultForbidden, VaultMountMissing
from .tokens import ALIVE
from .transport import LIST, Call

if TYPE_CHECKING:
    from .client import VaultClient


class _Mount(msgspec.Struct):
    type: str = ""
    options: dict[str, str] | None = None


class _Mounts(msgspec.Struct):
    secret: dict[str, _Mount] = msgspec.field(default_factory=dict)


class _MountsAnswer(msgspec.Struct):
    data: _Mounts = msgspec.field(default_factory=_Mounts)


async def ask_version(client: VaultClient, mount: str) -> int:
    """The version of the KV engine at a mount, from the list of all mounts on which the token has any right.

    Raises ``VaultMountMissing`` and ``VaultForbidden``.
    """
    answer = await client.control(Call("GET", ALIVE))
    try:
        mounts = msgspec.json.decode(answer.body, type=_MountsAnswer).data.secret
    except msgspec.DecodeError:
        mounts = {}
    found = mounts.get(mount + "/")
    kv = sorted(name.rstrip("/") for name, each in mounts.items() if each.type == "kv")
    seen = f"The token sees the KV mounts {', '.join(kv)}." if kv else "The token sees no KV mount at all."
    if found is None:
        probe = await client.control(Call("GET", f"{mount}/metadata/", query=LIST))
        if probe.status == 403:
            raise VaultForbidden(
                f"The token may do nothing at mount {mount!r}, or there is no such mount: a vault does not tell.",
                hint=f"{seen} Grant list on {mount}/metadata/* and read on {mount}/data/*, or correct the mount.",
            )
        raise no_mount(client.settings.address, mount, seen)
    if found.type not in {"kv", "generic"}:
        raise VaultMountMissing(f"The mount {mount!r} is a {found.type} engine, not a KV engine.", hint=seen)
    return 2 if (found.options or {}).get("version") == "2" else 1


def no_mount(address: str, mount: str, seen: str = "") -> VaultMountMissing:
    """The error for a mount that is not there."""
    hint = f"{seen} Correct the configured root, or enable a KV engine there.".lstrip()
    return VaultMountMissing(f"There is no mount {mount!r} in the vault at {address}.", hint=hint)
