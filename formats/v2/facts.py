"""Archive format V2: what the head says of an archive in clear text (SPEC.md, section 3)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, cast, get_args

from ..errors import DamagedArchive, UnsupportedArchive
from ..facts import BackupType, Facts, format_time, parse_time
from ..json.strict import exact_base64, strict_object

VERSION = 2
#: Largest facts, in bytes; ours have about 450.
MAX_FACTS = 64 * 1024
#: Bytes of an Ed25519 public key.
SIGNER_SIZE = 32

#: Seconds since 1970 that a tar header has no room for.
MAX_TIME = 8**11

ABOUT = "Encrypted backup; see SPEC.md of kleidia-backup's archive format V2, or open it with `kleidia-backup restore`."

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9]Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts(Facts):
    """The facts: a UUID, the Ed25519 public key that signed (32 bytes, or none), the writer.

    Slots, body and signature are bound to the bytes they were read from.
    """

    id: str
    signer: bytes = b""
    tool: str = ""
    version: int = VERSION

    def encode(self) -> bytes:
        """The facts as JSON in UTF-8, with one sentence on how to open the archive."""
        optional = {
            "system": self.system,
            "signer": base64.b64encode(self.signer).decode(),
            "tool": self.tool,
            "about": ABOUT,
        }
        return json.dumps(
            {
                "version": self.version,
                "id": self.id,
                "created_at": format_time(self.created_at),
                "backup_type": self.backup_type,
                "includes_db": self.includes_db,
                "includes_kv": self.includes_kv,
                "includes_audit": self.includes_audit,
                **{name: value for name, value in optional.items() if value},
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, raw: bytes) -> ArchiveFacts:
        """Read facts. Raises ``DamagedArchive`` (layer ``header``), and ``UnsupportedArchive`` for another version."""
        try:
            members = strict_object(raw)
        except ValueError:
            raise DamagedArchive("header", "The archive's facts are not a JSON object.") from None
        version = members.get("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise DamagedArchive("header", "The archive's facts name no version.")
        if version != VERSION:
            raise UnsupportedArchive(
                f"The archive's facts say version {version}; this program reads version {VERSION} here.",
                hint="Use a newer release of kleidia-backup.",
            )
        return cls._from_members(members)

    @classmethod
    def _from_members(cls, members: dict[str, Any]) -> ArchiveFacts:
        kind = _text(members, "backup_type")
        if kind not in get_args(BackupType):
            raise DamagedArchive("header", "The archive's facts name no backup_type that exists.")
        if not _UUID.fullmatch(_text(members, "id")):
            raise DamagedArchive("header", "The archive's facts have no UUID in id.")
        if not _TIME.fullmatch(_text(members, "created_at")):
            raise DamagedArchive("header", "The archive's facts have no time in UTC in created_at.")
        try:
            signer = exact_base64(members["signer"], SIGNER_SIZE) if "signer" in members else b""
        except ValueError:
            raise DamagedArchive("header", "The archive's facts have no Ed25519 public key in signer.") from None
        _text(members, "about", "")
        created_at = parse_time(members["created_at"])
        if not 0 <= created_at.timestamp() < MAX_TIME:
            raise DamagedArchive("header", "The archive's facts have a time in created_at that no tar can hold.")
        return cls(
            id=members["id"],
            created_at=created_at,
            backup_type=cast("BackupType", kind),
            includes_db=_flag(members, "includes_db"),
            includes_kv=_flag(members, "includes_kv"),
            includes_audit=_flag(members, "includes_audit"),
            system=_text(members, "system", ""),
            signer=signer,
            tool=_text(members, "tool", ""),
        )


def _text(members: dict[str, Any], name: str, default: str | None = None) -> str:
    value = members.get(name, default)
    if not isinstance(value, str):
        raise DamagedArchive("header", f"The archive's facts have no text in {name}.")
    return value


def _flag(members: dict[str, Any], name: str) -> bool:
    value = members.get(name)
    if not isinstance(value, bool):
        raise DamagedArchive("header", f"The archive's facts have no true or false in {name}.")
    return value
