"""A drill never writes to what the configuration backs up: who the servers are is asked of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError, DatabaseError, VaultError
from ...stages.pg.proof.identity import identity
from ...stages.vault.scratch import cluster
from ..engine import in_thread

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.vault.kv.settings import VaultSettings
    from .asked import DrillRequest, Scratch

_HINT = "Name another server for drills in [drill], or use the embedded ones: --target embedded."


async def refuse_live(request: DrillRequest, scratch: Scratch) -> None:
    """Raise ``ConfigurationError`` unless the scratch side is known to be none of what the configuration backs up.

    Addresses say little: two names may lead to one server. So a database is compared by its cluster's system
    identifier and its oid, a vault by its cluster's id, namespace, mounts and folders. A live server that does not say
    who it is might be the scratch one: then the drill is refused too, unless that was started for the drill.
    """
    if request.database is not None and scratch.database is not None:
        await _database(request.database, scratch.database, own=scratch.own)
    if request.vault is not None and scratch.vault is not None:
        await _vault(request.vault, scratch.vault, own=scratch.own)


async def _database(live: PostgresSettings, scratch: PostgresSettings, *, own: bool) -> None:
    try:
        theirs = await in_thread(identity, live)
    except DatabaseError as exc:
        if own:  # it was not there before
            return
        raise ConfigurationError(
            f"Nobody can tell whether the drill would write to the database that is backed up: {exc.message}",
            hint=_HINT,
        ) from exc
    if await in_thread(identity, scratch) == theirs:
        raise ConfigurationError(
            f"A drill never writes to what is backed up, and its scratch database is that one: {scratch.where()}.",
            hint=_HINT,
        )


async def _vault(live: VaultSettings, scratch: VaultSettings, *, own: bool) -> None:
    places = [(str(one), str(other)) for one in live.roots for other in scratch.roots if _overlap(str(one), str(other))]
    if not places or live.namespace.strip("/") != scratch.namespace.strip("/"):
        return
    try:
        theirs = await cluster(live)
    except VaultError as exc:
        if own:
            return
        raise ConfigurationError(
            f"Nobody can tell whether the drill would write to the vault that is backed up: {exc.message}", hint=_HINT
        ) from exc
    ours = await cluster(scratch)
    if theirs == ours and (theirs or not own):
        raise ConfigurationError(
            f"A drill never writes to what is backed up, and its scratch folder {places[0][1]} lies there.", hint=_HINT
        )


def _overlap(one: str, other: str) -> bool:
    """Whether one of two places in a vault lies in the other."""
    first, second = one.rstrip("/") + "/", other.rstrip("/") + "/"
    return first.startswith(second) or second.startswith(first)
