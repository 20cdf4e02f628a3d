"""What every format says of an archive in clear text, and the name that an archive has."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from .errors import DamagedArchive

BackupType: TypeAlias = Literal["full", "database", "vault"]

#: What ``archive_name`` makes, without its prefix: the type, the day and the time. What was converted says to what.
ARCHIVE_NAME = re.compile(r"backup-(full|database|vault)-([0-9]{8})-([0-9]{6})(?:-v[12])?\.enc")

#: RFC 3339, section 5.6: datetime alone takes an offset of 5 hours and 80 minutes too.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60))(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """When an archive was made, and what it holds: SQL, secrets, the rows of the audit tables.

    ``version`` is that of its format; ``checksum`` SHA-256 over its ciphertext, in hex, where the format says it;
    ``system`` the installation that made it, where that is known and the format says it.
    """

    created_at: datetime
    backup_type: BackupType
    includes_db: bool
    includes_kv: bool
    includes_audit: bool
    version: int = 0
    checksum: str = ""
    system: str = ""


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second, with ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_time(text: object) -> datetime:
    """Read an RFC 3339 time with any offset and any number of digits. Raises ``DamagedArchive``."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match:
        day, clock, fraction, offset = match.groups(default="")
        # Go writes up to nine digits of a second; datetime takes six, and has no leap seconds.
        clock = re.sub(":60$", ":59", clock)
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(f"{day}T{clock}{fraction[:7]}{offset.upper()}").astimezone(UTC)
    raise DamagedArchive("header", "The archive's header has no RFC 3339 time in created_at.")


def archive_name(prefix: str, kind: BackupType, moment: datetime) -> str:
    """``{prefix}backup-{type}-{YYYYMMDD}-{HHMMSS}.enc``, in UTC."""
    return f"{prefix}backup-{kind}-{moment.astimezone(UTC):%Y%m%d-%H%M%S}.enc"
