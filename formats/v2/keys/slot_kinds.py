"""Archive format V2: what stands in one slot, of each type (SPEC.md, section 4)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...errors import DamagedArchive
from ...json.strict import exact_base64
from .pairs import ENCAPSULATED_SIZES, KEMS, Kem

KEY_SIZE = 32
#: Bytes of the data key, encrypted, with its tag.
WRAPPED_SIZE = KEY_SIZE + 16
SALT_SIZE = 16
CHECK_SIZE = 32
MAX_PASSES = 16
#: KiB of memory.
MAX_MEMORY = 256 * 1024
MAX_LANES = 16

_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A slot that a password opens: Argon2id with ``t`` passes, ``m`` KiB, ``p`` lanes."""

    t: int
    m: int
    p: int
    salt: bytes = field(repr=False)
    check: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    #: JSON of the members that we do not know; kept when slots are replaced.
    others: str = "{}"

    def members(self) -> dict[str, Any]:
        """The slot's JSON object."""
        return {
            "type": "password",
            "kdf": "argon2id",
            "t": self.t,
            "m": self.m,
            "p": self.p,
            "salt": base64.b64encode(self.salt).decode(),
            "check": base64.b64encode(self.check).decode(),
            "wrapped": base64.b64encode(self.wrapped).decode(),
            **json.loads(self.others),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A slot that the private key of a KEM opens. ``key`` names it: 16 hex digits."""

    kem: Kem
    key: str
    sealed: bytes = field(repr=False)
    others: str = "{}"

    def members(self) -> dict[str, Any]:
        """The slot's JSON object."""
        sealed = base64.b64encode(self.sealed).decode()
        return {"type": self.kem, "key": self.key, "sealed": sealed, **json.loads(self.others)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """A slot that a vault opens: a key of its Transit engine, and that engine's ciphertext of the data key."""

    mount: str
    name: str
    wrapped: str = field(repr=False)
    others: str = "{}"

    def members(self) -> dict[str, Any]:
        """The slot's JSON object."""
        return {
            "type": "transit",
            "mount": self.mount,
            "name": self.name,
            "wrapped": self.wrapped,
            **json.loads(self.others),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A slot of a type that we do not know, as it stands there. It opens nothing."""

    type: str
    others: str = field(default="{}", repr=False)

    def members(self) -> dict[str, Any]:
        """The slot's JSON object."""
        return {"type": self.type, **json.loads(self.others)}


Slot: TypeAlias = Password | Recipient | Transit | Unknown


def parse_slot(found: object) -> Slot:
    """One element of the array. Raises ``DamagedArchive`` (layer ``slots``), also for numbers beyond the limits."""
    if not isinstance(found, dict):
        raise _wrong("type")
    members = dict(found)
    kind = _text(members, "type", empty=True)
    if kind == "password":
        return _password(members)
    if kind == "transit":
        mount, name, wrapped = (_text(members, member) for member in ("mount", "name", "wrapped"))
        return Transit(mount=mount, name=name, wrapped=wrapped, others=_others(members))
    for kem in KEMS:
        if kind == kem:
            key = _text(members, "key")
            if not _KEY_ID.fullmatch(key):
                raise _wrong("key")
            sealed = _bytes(members, "sealed", ENCAPSULATED_SIZES[kem] + WRAPPED_SIZE)
            return Recipient(kem=kem, key=key, sealed=sealed, others=_others(members))
    return Unknown(type=kind, others=_others(members))


def _password(members: dict[str, Any]) -> Password:
    if _text(members, "kdf") != "argon2id":
        raise _wrong("kdf")
    lanes = _number(members, "p", 1, MAX_LANES)
    return Password(
        t=_number(members, "t", 1, MAX_PASSES),
        m=_number(members, "m", 8 * lanes, MAX_MEMORY),
        p=lanes,
        salt=_bytes(members, "salt", SALT_SIZE),
        check=_bytes(members, "check", CHECK_SIZE),
        wrapped=_bytes(members, "wrapped", WRAPPED_SIZE),
        others=_others(members),
    )


def _others(members: dict[str, Any]) -> str:
    """What is left when the known members were taken."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _text(members: dict[str, Any], name: str, *, empty: bool = False) -> str:
    value = members.pop(name, None)
    if not isinstance(value, str) or not (value or empty):
        raise _wrong(name)
    return value


def _number(members: dict[str, Any], name: str, low: int, high: int) -> int:
    value = members.pop(name, None)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _wrong(name)
    return value


def _bytes(members: dict[str, Any], name: str, size: int) -> bytes:
    try:
        return exact_base64(members.pop(name, None), size)
    except ValueError:
        raise _wrong(name) from None


def _wrong(name: str) -> DamagedArchive:
    return DamagedArchive("slots", f"A key slot of the archive has no valid {name}.")
