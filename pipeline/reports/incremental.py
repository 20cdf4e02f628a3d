"""What came of an incremental read of a vault, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .words import count

if TYPE_CHECKING:
    from ...stages.vault.incremental.outcome import FullRead, Incremental, Why

_WHY: dict[Why, str] = {
    "no_archive": "there is no earlier archive with secrets",
    "format_v1": "the newest archive is of format V1",
    "no_key": "neither the password nor a key here opens the newest archive",
    "signer": "the newest archive is not signed by a key that is trusted here",
    "damaged": "the newest archive is damaged",
    "store": "the store did not give the newest archive",
    "other_system": "the newest archive is of another system",
    "unrecorded": "the newest archive does not say which versions it holds",
    "other_vault": "the newest archive is of another vault",
    "other_version": "the vault's program has another version than when the newest archive was made",
    "other_roots": "the roots are others than when the newest archive was made",
    "scattered": "the secrets in the newest archive are in a very different order",
    "metadata_off": "metadata is left out ([vault] metadata)",
    "other_mount": "what is mounted there is not what was when the newest archive was made",
    "kv_v1": "KV version 1 counts no versions",
    "no_listing": "the vault does not list the metadata of a whole folder, the token may not, or a folder is too large",
    "rights": "the token may not read all values there, or may not ask whether it may",
}
#: Of these the operator should hear, for something is wrong with the archive or with the keys.
_WRONG: frozenset[Why] = frozenset({"no_key", "signer", "damaged", "store"})


def because(full: FullRead) -> str:
    """Why everything, or everything of a root, was read."""
    return f"{full.root}: {_WHY[full.why]}" if full.root else _WHY[full.why]


def said(found: Incremental) -> str:
    """How many were taken and read, and why, on one line."""
    done = f"{count(found.read, 'secret')} read"
    if found.taken:
        done = f"{found.taken:,} taken from {found.archive}, {found.read:,} read"
    why = "; ".join(map(because, found.full))
    return f"{done} ({why})" if why else done


def warnings(found: Incremental | None) -> Iterator[str]:
    """What an operator should know, one sentence each."""
    for full in found.full if found else ():
        if full.why in _WRONG:
            yield f"Secrets were read from the vault that an incremental read would have taken: {because(full)}."
