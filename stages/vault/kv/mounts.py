"""What is mounted at a path, as far as a token may know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from ....formats.json.broken import BROKEN
from ...errors import Right, VaultForbidden, VaultMountMissing
from .tokens import ALIVE
from .transport import LIST, Call

if TYPE_CHECKING:
    from .roots import Root
    from .troubles import Answer


class _Mount(msgspec.Struct):
    type: str = ""
    description: str = ""
    options: dict[str, str] | None = None


class _Mounts(msgspec.Struct):
    secret: dict[str, _Mount] = msgspec.field(default_factory=dict)


class _MountsAnswer(msgspec.Struct):
    data: _Mounts = msgspec.field(default_factory=_Mounts)


async def _mounts(control: Callable[[Call], Awaitable[Answer]]) -> dict[str, _Mount]:
    """Those on which the token has any right; none where the vault does not say."""
    answer = await control(Call("GET", ALIVE))
    try:
        return msgspec.json.decode(answer.body, type=_MountsAnswer).data.secret
    except BROKEN:
        return {}


async def described_mounts(control: Callable[[Call], Awaitable[Answer]]) -> dict[str, str]:
    """The descriptions of all mounts on which the token has any right, by their paths."""
    return {path.rstrip("/"): each.description for path, each in (await _mounts(control)).items()}


async def ask_version(control: Callable[[Call], Awaitable[Answer]], address: str, mount: str) -> int:
    """The version of the KV engine at a mount, from the list of all mounts on which the token has any right.

    ``control`` sends a request to the vault at ``address``. Raises ``VaultMountMissing`` and ``VaultForbidden``.
    """
    mounts = await _mounts(control)
    found = mounts.get(mount + "/")
    kv = sorted(name.rstrip("/") for name, each in mounts.items() if each.type == "kv")
    seen = f"The token sees the KV mounts {', '.join(kv)}." if kv else "The token sees no KV mount at all."
    if found is None:
        probe = await control(Call("GET", f"{mount}/metadata/", query=LIST))
        if probe.status == 403:
            rights = (Right("list", f"{mount}/metadata/*"), Right("read", f"{mount}/data/*"))
            raise VaultForbidden(
                f"The token may do nothing at mount {mount!r}, or there is no such mount: a vault does not tell.",
                hint=f"{seen} Grant {rights[0]} and {rights[1]}, or correct the mount.",
                rights=rights,
            )
        raise no_mount(address, mount, seen)
    if found.type not in {"kv", "generic"}:
        raise VaultMountMissing(f"The mount {mount!r} is a {found.type} engine, not a KV engine.", hint=seen)
    return 2 if (found.options or {}).get("version") == "2" else 1


async def check_version(control: Callable[[Call], Awaitable[Answer]], address: str, root: Root) -> None:
    """Refuse a root whose version is another one than is configured: there a KV engine shows nothing, or nonsense.

    Raises ``VaultMountMissing``; nothing where the token may not ask.
    """
    if root.kv_version is None:
        return
    with suppress(VaultForbidden):
        actual = await ask_version(control, address, root.mount)
        if actual != root.kv_version:
            raise wrong_version(root.mount, actual, root.kv_version)


def wrong_version(mount: str, actual: int, configured: int) -> VaultMountMissing:
    """The error for a mount that has another version than is configured."""
    return VaultMountMissing(
        f"The mount {mount!r} is KV version {actual}, and is configured as version {configured}.",
        hint="Leave the version out (kv_version).",
    )


def no_mount(address: str, mount: str, seen: str = "") -> VaultMountMissing:
    """The error for a mount that is not there."""
    hint = f"{seen} Correct the configured root, or enable a KV engine there.".lstrip()
    return VaultMountMissing(f"There is no mount {mount!r} in the vault at {address}.", hint=hint)
