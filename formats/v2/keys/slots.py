"""Archive format V2: the data key, encrypted once for each password and each public key (SPEC.md, section 4)."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import DamagedArchive, PayloadError, UnsupportedArchive, WrongPassword
from ...json.strict import strict_object
from .slot_kinds import CHECK_SIZE, KEY_SIZE, SALT_SIZE, Password, Recipient, Slot, Transit, Unknown, parse_slot

if TYPE_CHECKING:
    from .pairs import PrivateKey, PublicKey

__all__ = [
    "Password",
    "Recipient",
    "Slot",
    "Transit",
    "Unknown",
    "encode",
    "open_slots",
    "parse",
    "seal_password",
    "seal_public",
]

MAX_SLOTS = 64
MAX_PASSWORDS = 8
#: Most work that one password may cost: the sum of passes times KiB over its slots. 2 GiB take a second or two.
MAX_WORK = 2 * 1024 * 1024
#: The slots' size is a multiple of this, in bytes, and at most ``MAX_SIZE``.
BLOCK = 4096
MAX_SIZE = 64 * 1024

_CONTEXT = b"kleidia-backup/v2 slot"
#: Every slot key seals one data key and nothing else.
_NONCE = bytes(12)


def parse(raw: bytes) -> tuple[Slot, ...]:
    """The slots, those of unknown types too. Raises ``DamagedArchive`` (layer ``slots``).

    All limits are checked here, before anybody computes anything.
    """
    try:
        members = strict_object(raw)
    except ValueError:
        raise DamagedArchive("slots", "The archive's key slots are not a JSON object.") from None
    found = members.get("slots")
    if len(members) != 1 or not isinstance(found, list):
        raise DamagedArchive("slots", "The archive's key slots are not an object with one array.")
    if not 1 <= len(found) <= MAX_SLOTS:
        raise DamagedArchive("slots", f"The archive has {len(found)} key slots; 1 to {MAX_SLOTS} are allowed.")
    slots = tuple(map(parse_slot, found))
    passwords = [slot for slot in slots if isinstance(slot, Password)]
    if len(passwords) > MAX_PASSWORDS:
        raise DamagedArchive("slots", f"The archive has more than {MAX_PASSWORDS} key slots for passwords.")
    if sum(slot.t * slot.m for slot in passwords) > MAX_WORK:
        raise DamagedArchive("slots", "The archive's key slots for passwords ask for too much work.")
    if all(isinstance(slot, Transit) for slot in slots):
        raise DamagedArchive("slots", "The archive has key slots of a vault's Transit engine alone.")
    return slots


def encode(slots: Sequence[Slot], size: int | None = None) -> bytes:
    """The slots as JSON, padded with spaces to ``size`` bytes, or to the next multiple of 4,096.

    Raises ``PayloadError`` for slots that no archive can hold: too many, beyond the limits, larger than ``size``.
    """
    text = json.dumps({"slots": [slot.members() for slot in slots]}, ensure_ascii=False, separators=(",", ":"))
    try:
        raw = text.encode()
        parse(raw)
    except UnicodeEncodeError:
        raise PayloadError("A key slot holds text that UTF-8 cannot.") from None
    except DamagedArchive as error:
        raise PayloadError(f"These key slots cannot be written. {error.message}") from None
    size = -(-len(raw) // BLOCK) * BLOCK if size is None else size
    if size % BLOCK or not max(len(raw), BLOCK) <= size <= MAX_SIZE:
        raise PayloadError(f"The archive's key slots take {len(raw)} bytes; there is room for {min(size, MAX_SIZE)}.")
    return raw.ljust(size)


def seal_password(
    password: str, data_key: bytes, facts_digest: bytes, *, t: int = 3, m: int = 65536, p: int = 4
) -> Password:
    """A slot that this password opens: Argon2id with ``t`` passes, ``m`` KiB and ``p`` lanes.

    Raises ``PayloadError`` for a password that is no text of Unicode.
    """
    salt = os.urandom(SALT_SIZE)
    encoded = _utf8(password)
    if encoded is None:
        raise PayloadError("The password holds half of a surrogate pair, which UTF-8 cannot encode.")
    key, check = _derive(encoded, salt, t, m, p)
    wrapped = AESGCM(key).encrypt(_NONCE, data_key, _CONTEXT + facts_digest)
    return Password(t=t, m=m, p=p, salt=salt, check=check, wrapped=wrapped)


def seal_public(recipient: PublicKey, data_key: bytes, facts_digest: bytes) -> Recipient:
    """A slot that the recipient's private key opens. Raises ``InvalidKey`` for a key that nothing can be sealed for."""
    sealed = recipient.seal(data_key, _CONTEXT + facts_digest)
    return Recipient(kem=recipient.kem, key=recipient.id, sealed=sealed)


def open_slots(
    slots: Sequence[Slot],
    facts_digest: bytes,
    *,
    password: str | None = None,
    identities: Sequence[PrivateKey] = (),
) -> bytes:
    """The data key, 32 bytes. Private keys are tried first; a password costs one Argon2 a slot, at most.

    Raises ``WrongPassword`` when nothing given fits a slot; ``DamagedArchive`` (layer ``slots``) when a slot is for
    this password or key, and does not open; ``UnsupportedArchive`` when there is no memory to try a password.
    """
    by_id = {(key.kem, key.public.id): key for key in identities}
    for slot in slots:
        if isinstance(slot, Recipient) and (slot.kem, slot.key) in by_id:
            return _open_recipient(slot, by_id[slot.kem, slot.key], facts_digest)
    encoded = None if password is None else _utf8(password)
    for slot in slots:
        if isinstance(slot, Password) and encoded is not None:
            key, check = _derive(encoded, slot.salt, slot.t, slot.m, slot.p)
            if hmac.compare_digest(check, slot.check):
                return _open_password(slot, key, facts_digest)
    given = [*(["password"] if password is not None else []), *(["key"] if identities else [])]
    raise WrongPassword(
        f"No key slot of the archive is for this {' or '.join(given)}."
        if given
        else "The archive needs a password or a key.",
        hint="`kleidia-backup inspect` shows what the archive's key slots are for.",
    )


def _open_password(slot: Password, key: bytes, facts_digest: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(_NONCE, slot.wrapped, _CONTEXT + facts_digest)
    except InvalidTag:
        raise _damaged("password") from None


def _open_recipient(slot: Recipient, identity: PrivateKey, facts_digest: bytes) -> bytes:
    try:
        return identity.open(slot.sealed, _CONTEXT + facts_digest)
    except InvalidTag:
        raise _damaged("key") from None


def _damaged(what: str) -> DamagedArchive:
    return DamagedArchive("slots", f"The key slot for this {what} is damaged, or of another archive.")


def _utf8(password: str) -> bytes | None:
    """None where there is no UTF-8. The error would quote the password."""
    try:
        return password.encode()
    except UnicodeEncodeError:
        return None


def _derive(password: bytes, salt: bytes, t: int, m: int, p: int) -> tuple[bytes, bytes]:
    """The slot's key and its check."""
    try:
        derived = hash_secret_raw(
            password, salt, time_cost=t, memory_cost=m, parallelism=p, hash_len=KEY_SIZE + CHECK_SIZE, type=Type.ID
        )
    except HashingError:
        raise UnsupportedArchive(
            f"There are no {m // 1024} MiB of memory to compute a key from the password."
        ) from None
    return derived[:KEY_SIZE], derived[KEY_SIZE:]
