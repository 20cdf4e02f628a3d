"""Whether an archive is of the vault that is read now, root by root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..kv.check import PROBE, lacking
from ..kv.rights import ASKING
from .outcome import FullRead, Why

if TYPE_CHECKING:
    from ....formats.v2.recorded import ReadRoot, Vault
    from ..kv.client import VaultClient
    from ..kv.roots import Root


def other_vault(now: Vault, then: Vault | None) -> Why | None:
    """Why nothing of an archive may be used: it was made of ``then``, and ``now`` is read."""
    if then is None or not then.cluster or not then.program:
        return "unrecorded"
    if now.cluster != then.cluster:
        return "other_vault"
    if now.program != then.program:  # another program may write the same value in another way
        return "other_version"
    # By its prefix a root owns paths of the archive, as long as no other prefix is there or gone.
    if {root.prefix for root in now.roots} != {root.prefix for root in then.roots}:
        return "other_roots"
    return None


def other_roots(now: Vault, then: Vault) -> Iterator[tuple[str, FullRead]]:
    """The prefixes of roots that an archive has nothing of that can be used, and why. Both have the same prefixes."""
    before = {root.prefix: root for root in then.roots}
    for root in now.roots:
        if why := _other(root, before[root.prefix]):
            yield root.prefix, FullRead(why, root=f"{root.mount}/{root.folder}")


def _other(now: ReadRoot, then: ReadRoot) -> Why | None:
    if now.version != 2:
        return "kv_v1"
    if now.folder != then.folder:
        return "other_roots"
    # A mount that was moved keeps both; one that was made again has others.
    known = now.accessor and now.uuid
    return None if known and (now.accessor, now.uuid) == (then.accessor, then.uuid) else "other_mount"


async def unreadable(client: VaultClient, roots: Sequence[Root]) -> set[Root]:
    """The roots whose values the token may not read now, as far as it may ask: nothing of them may be taken either.

    Raises what the client's requests raise.
    """
    wanted = {f"{root.mount}/data/{root.folder}{PROBE}": root for root in roots}
    missing = await lacking(client, [(path, path, ["read"]) for path in wanted])
    if ASKING in missing:
        return set(roots)
    return {wanted[right.path] for right in missing}
