"""Archive format V1: the fixed fields in front of the ciphertext (SPEC.md, sections 2 and 3)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast, get_args

from ..errors import DamagedArchive, NotAnArchive, UnsupportedArchive
from ..facts import BackupType, Facts, format_time, parse_time
from ..json.strict import refuse_constant, without_duplicates

MAGIC = b"KLEIDIA_BACKUP_V1"
SALT_SIZE = 32
NONCE_SIZE = 12
#: Largest header JSON a reader takes, in bytes; ours has about 250.
MAX_HEADER = 64 * 1024
#: The first bytes of a file that hold the whole preamble, whatever its header.
MAX_PREAMBLE = len(MAGIC) + 4 + MAX_HEADER + SALT_SIZE + NONCE_SIZE
#: Stands for the checksum while the ciphertext is not known yet; as long as a real one.
NO_CHECKSUM = "0" * 64

_FAMILY = re.compile(rb"KLEIDIA_BACKUP_V[0-9]")
_CHECKSUM = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Facts):
    """The clear-text header. ``checksum`` is lower-case hex SHA-256 over the ciphertext, tag included.

    Nothing authenticates it; the sealed payload repeats all but the checksum, and a reader compares.
    """

    checksum: str = NO_CHECKSUM
    version: int = 1

    def encode(self) -> bytes:
        """The header JSON; its length does not depend on the checksum."""
        return json.dumps(
            {
                "version": self.version,
                "created_at": format_time(self.created_at),
                "backup_type": self.backup_type,
                "checksum": self.checksum,
                "includes_db": self.includes_db,
                "includes_kv": self.includes_kv,
                "includes_audit": self.includes_audit,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """Read a header JSON, in any key order. Raises ``DamagedArchive`` and ``UnsupportedArchive``."""
        try:
            fields = json.loads(raw.decode(), parse_constant=refuse_constant, object_pairs_hook=without_duplicates)
        except (ValueError, RecursionError):
            raise DamagedArchive("header", "The archive's header is not JSON.") from None
        if not isinstance(fields, dict):
            raise DamagedArchive("header", "The archive's header is not a JSON object.")
        version = fields.get("version")
        if not isinstance(version, (int, float)) or isinstance(version, bool):
            raise DamagedArchive("header", "The archive's header names no version.")
        if version != 1:
            raise UnsupportedArchive(
                f"The archive's header says version {str(version)[:20]}; this program reads version 1.",
                hint="Use a newer release of kleidia-backup.",
            )
        return cls._from_fields(fields)

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> Header:
        kind = fields.get("backup_type")
        checksum = fields.get("checksum")
        if kind not in get_args(BackupType):
            raise DamagedArchive("header", "The archive's header names no backup_type that exists.")
        if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
            raise DamagedArchive("header", "The archive's header holds no SHA-256 checksum.")
        flags: dict[str, Any] = {
            "includes_db": kind != "vault",
            "includes_kv": kind != "database",
            "includes_audit": kind != "vault",
        }
        for name, default in flags.items():
            flags[name] = fields.get(name, default)
            if not isinstance(flags[name], bool):
                raise DamagedArchive("header", f"The archive's header has no true or false in {name}.")
        return cls(
            created_at=parse_time(fields.get("created_at")),
            backup_type=cast("BackupType", kind),
            checksum=checksum.lower(),
            **flags,
        )


@dataclass(frozen=True, slots=True)
class Preamble:
    """Everything in front of the ciphertext: magic, header length, header, salt (32 bytes), nonce (12 bytes)."""

    header: Header
    salt: bytes
    nonce: bytes
    size: int

    @classmethod
    def parse(cls, data: bytes) -> Preamble:
        """Read it from the first ``MAX_PREAMBLE`` bytes of a file (fewer only if the file is shorter).

        Raises ``NotAnArchive``, ``UnsupportedArchive`` and ``DamagedArchive``.
        """
        if not data.startswith(MAGIC):
            raise _wrong_magic(data)
        at = len(MAGIC) + 4
        length = int.from_bytes(data[len(MAGIC) : at], "big")
        if len(data) < at:
            raise DamagedArchive("header", "The archive ends inside its first bytes.")
        if length > MAX_HEADER:
            raise DamagedArchive("header", f"The archive claims a header of {length} bytes; at most {MAX_HEADER} are.")
        size = at + length + SALT_SIZE + NONCE_SIZE
        if len(data) < size:
            raise DamagedArchive("header", "The archive ends inside its header.")
        header = Header.decode(data[at : at + length])
        salt = data[at + length : at + length + SALT_SIZE]
        return cls(header, salt, data[size - NONCE_SIZE : size], size)


def encode_preamble(header: Header, salt: bytes, nonce: bytes) -> bytes:
    """The bytes in front of the ciphertext. Their number does not depend on the header's checksum."""
    raw = header.encode()
    return b"".join([MAGIC, len(raw).to_bytes(4, "big"), raw, salt, nonce])


def _wrong_magic(data: bytes) -> NotAnArchive | UnsupportedArchive:
    if _FAMILY.match(data):
        return UnsupportedArchive(
            "This is an archive of another format version; this program reads V1 and V2.",
            hint="Use a newer release of kleidia-backup.",
        )
    return NotAnArchive(
        "This file is no kleidia-backup archive: it begins with neither KLEIDIA_BACKUP_V1 nor KLEIDIA_BACKUP_V2.",
        hint="Check the name; `kleidia-backup list` shows the archives.",
    )
