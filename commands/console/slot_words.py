"""What the key slots of an archive are for, in words and for programs. Nothing of a key is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...formats.v2.keys.pairs import VerifyKey
from ...formats.v2.keys.slot_kinds import Password, Recipient, Slot, Transit
from ...pipeline.reports import words

if TYPE_CHECKING:
    from ...formats.v2.head import Head

#: Members of a slot that name what it is for.
_SHOWN = ("type", "key", "t", "m", "p", "mount", "name")


def slots_json(slots: Sequence[Slot]) -> list[dict[str, Any]]:
    """The slots without what is sealed in them."""
    return [{name: value for name, value in slot.members().items() if name in _SHOWN} for slot in slots]


def who_opens(head: Head) -> dict[str, str]:
    """Pairs for a table: what opens an archive, and who says to have signed it."""
    pairs = {"opened by": "; ".join(map(in_words, head.slots))}
    if head.facts.signer:
        pairs["signed by"] = VerifyKey(head.facts.signer).text
    return pairs


def in_words(slot: Slot) -> str:
    """What a slot is for."""
    match slot:
        case Password():
            return f"a password (Argon2id, t = {slot.t}, {words.size(slot.m * 1024)})"
        case Recipient():
            return f"the private key of {slot.key} ({slot.kem})"
        case Transit():
            return f"the key {slot.name} of a vault's Transit engine at {slot.mount}"
    return f"{slot.type or 'a slot without a type'}, which this release does not know"
