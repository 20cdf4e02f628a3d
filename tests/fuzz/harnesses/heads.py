"""The head of format V2, facts and key slots: our reader beside ``recover.py``, and what is written again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from kleidia_backup.formats.errors import ArchiveError, NotAnArchive, UnsupportedArchive
from kleidia_backup.formats.v2 import recover
from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.head import MAGIC, Head
from kleidia_backup.formats.v2.keys import slots as key_slots
from kleidia_backup.formats.v2.keys.pairs import PrivateKey
from kleidia_backup.formats.v2.keys.slot_kinds import Password

from ...formats import v2_heads as heads
from ...formats import v2_second_writer as writer
from ..harness import Finding, Harness, expect_same, joined, parts, words
from ..second_index import strict

#: Passes times KiB that opening may cost here.
_CHEAP = 4096
#: Slots that ``recover.py`` passes over without a look at their members, and with them whether there are others.
_PASSED_OVER = {"mlkem768-x25519", "transit"}
_KEYS = tuple(PrivateKey(kem, bytes(range(32))) for kem in ("x25519", "mlkem768-x25519"))


def built(facts: bytes, slots: bytes) -> bytes:
    """A head with its MAC, and the smallest body; the slots are padded."""
    slots += b" " * (-len(slots) % key_slots.BLOCK or (0 if slots else key_slots.BLOCK))
    return heads.head(facts, slots) + heads.BODY


def one(data: bytes) -> None:
    """``facts ␞ slots``, or a head as it stands in a file."""
    if data.startswith(MAGIC):
        with suppress(ArchiveError):
            Head.parse(data)
        return
    facts, slots = parts(data, 2)
    file = built(facts, slots)
    try:
        head: Head | None = Head.parse(file)
        assert head is not None
        head.check(heads.DATA_KEY)
    except NotAnArchive as exc:
        raise Finding("the magic is right") from exc
    except ArchiveError as exc:
        head, magic = None, isinstance(exc, UnsupportedArchive)
        theirs = _theirs(facts, slots)
        ours = "magic" if magic else "refused"
        if theirs not in (None, ours) and (theirs == "refused" or not _lenient(facts, slots)):
            raise Finding(f"{ours} here, {theirs} there: {exc}") from exc
        return
    theirs = _theirs(facts, slots)
    if theirs is not None:
        expect_same("read", theirs, "a head")
    _again(head, slots)
    _open(head)


def _theirs(facts: bytes, slots: bytes) -> str | None:
    """What ``recover.py`` makes of it; None where it looks at less than the page wants."""
    try:
        found = recover.check_facts(facts)
    except SystemExit:
        return "magic"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "refused"
    try:
        entries = recover.check_slots(slots)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "refused"
    if _PASSED_OVER & {slot["type"] for slot in entries}:
        return None
    return "refused" if "signer" not in found and any(slot["type"] == "x25519" for slot in entries) else "read"


def _lenient(facts: bytes, slots: bytes) -> bool:
    """Whether the page refuses what ``recover.py`` reads: it is short, and the MAC says who wrote all this."""
    try:
        strict(slots)
        return not 0 <= datetime.fromisoformat(strict(facts)["created_at"]).timestamp() < 8**11
    except (ValueError, KeyError, TypeError):
        return True


def _again(head: Head, slots: bytes) -> None:
    """Facts and slots mean the same when they are written again, members that nobody knows included."""
    expect_same(ArchiveFacts.decode(head.facts.encode()), head.facts, "facts written again")
    again = key_slots.encode(head.slots)
    expect_same(key_slots.parse(again), head.slots, "slots written again")
    expect_same(json.loads(again), json.loads(slots), "members of slots written again")


def _open(head: Head) -> None:
    """Find the data key, where that costs little."""
    if sum(slot.t * slot.m for slot in head.slots if isinstance(slot, Password)) > _CHEAP:
        return
    for how in ({"password": writer.PASSWORD}, {"password": "another"}, {"identities": _KEYS}):
        given: Any = how
        with suppress(ArchiveError):
            expect_same(key_slots.open_slots(head.slots, head.facts_digest, **given), heads.DATA_KEY, "the data key")


def seeds() -> Mapping[str, bytes]:
    """A slot of each type."""
    plain, signed = heads.facts(), heads.facts(signer="A" * 43 + "=")
    password = writer.password_slot(heads.digest(plain))
    x25519 = writer.x25519_slot(heads.digest(signed), X25519PublicKey.from_public_bytes(_KEYS[0].public.raw))
    hybrid = {"type": "mlkem768-x25519", "key": _KEYS[1].public.id, "sealed": writer.b64(bytes(1168))}
    transit = {"type": "transit", "mount": "transit", "name": "backup", "wrapped": "vault:v1:AAAA"}

    def slots(*members: object) -> bytes:
        return json.dumps({"slots": members}, separators=(",", ":")).encode()

    return {
        "password": joined(plain, slots(password)),
        "later": joined(plain, slots({"type": "later", "n": [1, {"a": None}]}, password | {"note": "é"})),
        "x25519": joined(signed, slots(x25519)),
        "transit": joined(signed, slots(transit, x25519)),
        "hybrid": joined(signed, slots(hybrid)),
        "raw": heads.head(plain, heads.slots(password))[:1200],
    }


_WORDS = words(
    rb"""
    "slots":[ "type":"password" "type":"x25519" "kdf":"argon2id" "t": "m": "p": "key": "signer":" "version":2
    "created_at":" "includes_db": null true -1 1.0 262144 9007199254740993 1e3 NaN \ud800 {} == "m":262144 "t":16
    """,
    b"[" * 70,
    b'{"a":' * 66,
)
HARNESSES = {"v2-head": Harness(one, seeds, _WORDS)}
