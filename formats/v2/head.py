"""Archive format V2: the clear-text head in front of the body (SPEC.md, section 2)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import ArchiveError, DamagedArchive, NotAnArchive, PayloadError, UnsupportedArchive
from .facts import MAX_FACTS, ArchiveFacts
from .keys import slots as key_slots
from .keys.slots import Recipient, Slot, Transit

MAGIC = b"KLEIDIA_BACKUP_V2"
MAC_SIZE = 32
#: Bytes of the smallest body: a FLOE header, and a segment of nothing.
MIN_BODY = 74 + 32
#: The first bytes of a file that are enough for ``Head.parse``, whatever its head.
MAX_HEAD = len(MAGIC) + 4 + MAX_FACTS + 4 + key_slots.MAX_SIZE + MAC_SIZE + MIN_BODY

_FAMILY = re.compile(rb"KLEIDIA_BACKUP_V[0-9]")


@dataclass(frozen=True, slots=True)
class Head:
    """Everything in front of the body, which begins at ``size`` bytes. Nothing authenticates it before ``check``."""

    facts: ArchiveFacts
    facts_digest: bytes
    slots: tuple[Slot, ...]
    size: int
    #: The bytes, MAC included.
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Head:
        """Read it from the first ``MAX_HEAD`` bytes of a file (fewer only if the file is shorter).

        Raises ``NotAnArchive``, ``UnsupportedArchive`` (V1 and others), and ``DamagedArchive`` (``header``, ``slots``).
        """
        if not data.startswith(MAGIC):
            raise _wrong_magic(data)
        at, length = _length(data, len(MAGIC))
        if length > MAX_FACTS:
            raise DamagedArchive("header", f"The archive claims facts of {length} bytes; at most {MAX_FACTS} are.")
        end = at + length
        if len(data) < end:
            raise _cut()
        facts = ArchiveFacts.decode(data[at:end])
        at, length = _length(data, end)
        if length % key_slots.BLOCK or not key_slots.BLOCK <= length <= key_slots.MAX_SIZE:
            raise DamagedArchive(
                "header", f"The archive claims key slots of {length} bytes; they are a multiple of {key_slots.BLOCK}."
            )
        size = at + length + MAC_SIZE
        if len(data) < size + MIN_BODY:
            raise _cut()
        slots = key_slots.parse(data[at : at + length])
        return cls(facts, sha256(data[:end]).digest(), slots, size, data[:size])

    @property
    def anybodys(self) -> bool:
        """Whether anybody could have made it: it has a slot that takes no secret to make (SPEC.md, section 9)."""
        return _anybodys(self.slots)

    @property
    def header(self) -> ArchiveFacts:
        """The facts, as V1 calls them."""
        return self.facts

    def check(self, data_key: bytes) -> None:
        """Nothing, when this data key's MAC stands behind the head: only now are facts and slots what they say.

        Raises ``DamagedArchive`` of the layer ``header``, or ``signature`` where the slots ask for a signer.
        """
        if not hmac.compare_digest(_mac(data_key, self.raw[:-MAC_SIZE]), self.raw[-MAC_SIZE:]):
            raise DamagedArchive("header", "The archive's head was changed: it does not fit its MAC.")
        if _lacks_signer(self.facts, self.slots):
            raise DamagedArchive("signature", "The archive has a key slot that anybody can make, and is not signed.")


def facts_digest(facts: bytes) -> bytes:
    """What slots, body and signature are bound to: SHA-256 over magic, length and facts."""
    return sha256(_opening(facts)).digest()


def header_key(data_key: bytes) -> bytes:
    """The key of the head's MAC, 32 bytes."""
    return _derive(data_key, b"kleidia-backup/v2 header")


def payload_key(data_key: bytes) -> bytes:
    """The key of the body, 32 bytes."""
    return _derive(data_key, b"kleidia-backup/v2 payload")


def encode_head(facts: ArchiveFacts, slots: Sequence[Slot], data_key: bytes) -> bytes:
    """The head, MAC included. The slots must be sealed with ``facts_digest(facts.encode())``.

    Raises ``PayloadError`` for facts or slots that no archive can hold.
    """
    try:
        raw = facts.encode()
        ArchiveFacts.decode(raw)
    except UnicodeEncodeError:
        raise PayloadError("The archive's facts hold text that UTF-8 cannot.") from None
    except ArchiveError as error:
        raise PayloadError(f"These facts cannot be written. {error.message}") from None
    return _encode(facts, _opening(raw), slots, data_key)


def replace_slots(head: Head, slots: Sequence[Slot], data_key: bytes) -> bytes:
    """A head with other slots, and the facts byte for byte. Its size may differ from the old one's.

    Raises ``DamagedArchive`` when the old head was changed, ``PayloadError`` for slots that no archive can hold.
    """
    head.check(data_key)
    end = len(MAGIC) + 4
    end += int.from_bytes(head.raw[len(MAGIC) : end], "big")
    return _encode(head.facts, head.raw[:end], slots, data_key)


def _encode(facts: ArchiveFacts, opening: bytes, slots: Sequence[Slot], data_key: bytes) -> bytes:
    if _lacks_signer(facts, slots):
        raise PayloadError(
            "An archive with a key slot for a public key or a vault's Transit engine must be signed.",
            hint="Configure a signing key: anybody can encrypt for a public key.",
        )
    raw = key_slots.encode(slots)
    head = opening + len(raw).to_bytes(4, "big") + raw
    return head + _mac(data_key, head)


def _opening(facts: bytes) -> bytes:
    if len(facts) > MAX_FACTS:
        raise PayloadError(f"The archive's facts take {len(facts)} bytes; at most {MAX_FACTS} fit.")
    return MAGIC + len(facts).to_bytes(4, "big") + facts


def _lacks_signer(facts: ArchiveFacts, slots: Sequence[Slot]) -> bool:
    return not facts.signer and _anybodys(slots)


def _anybodys(slots: Sequence[Slot]) -> bool:
    return any(isinstance(slot, Recipient | Transit) for slot in slots)


def _mac(data_key: bytes, head: bytes) -> bytes:
    return hmac.digest(header_key(data_key), head, "sha256")


def _derive(data_key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(data_key)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where a length's content begins, and the length."""
    if len(data) < at + 4:
        raise _cut()
    return at + 4, int.from_bytes(data[at : at + 4], "big")


def _cut() -> DamagedArchive:
    return DamagedArchive("header", "The archive ends inside its head.")


def _wrong_magic(data: bytes) -> NotAnArchive | UnsupportedArchive:
    if _FAMILY.match(data):
        return UnsupportedArchive(
            "This is an archive of another format version; here V2 is read.",
            hint="Use a newer release of kleidia-backup.",
        )
    return NotAnArchive(
        "This file is no kleidia-backup archive: it begins with neither KLEIDIA_BACKUP_V1 nor KLEIDIA_BACKUP_V2.",
        hint="Check the name; `kleidia-backup list` shows the archives.",
    )
