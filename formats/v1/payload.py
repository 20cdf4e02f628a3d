"""The sealed payload: one JSON object, written and read as a stream (SPEC.md, section 6).

    {"header": {...}, "database_sql": "…", "vault_secrets": {"path": {...}, ...}}

The SQL can be larger than memory and a vault can hold millions of secrets, so neither side ever holds the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from ..errors import PayloadError
from ..facts import format_time
from ..json.scan import whole_utf8

if TYPE_CHECKING:
    from ..secret import Secret
    from .header import Header

_encode_text = msgspec.json.Encoder().encode


def encode_inner_header(header: Header) -> bytes:
    """The payload's own header object: what the clear-text header says, but for the checksum."""
    return json.dumps(
        {
            "version": header.version,
            "created_at": format_time(header.created_at),
            "backup_type": header.backup_type,
            "includes_db": header.includes_db,
            "includes_kv": header.includes_kv,
            "includes_audit_logs": header.includes_audit,
        },
        separators=(",", ":"),
    ).encode()


class PayloadWriter:
    """Writes a payload: ``begin``, ``sql`` as often as needed, ``end_sql``, ``secrets`` likewise, ``finish``."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._rest = b""
        self._first = True

    def begin(self) -> bytes:
        """Everything before the SQL text."""
        return b'{"header":' + encode_inner_header(self._header) + b',"database_sql":"'

    def sql(self, data: bytes) -> bytes:
        """Escape a piece of SQL; any cut is fine. At most six times as long. Raises ``PayloadError`` if not UTF-8."""
        data = self._rest + data if self._rest else data
        end = whole_utf8(data, len(data))
        self._rest = data[end:]
        return self._escape(data[:end])

    def end_sql(self) -> bytes:
        """Everything between the SQL text and the first secret. Raises ``PayloadError`` if the text was cut."""
        return self._escape(self._rest) + b'","vault_secrets":{'

    def secrets(self, secrets: Iterable[Secret]) -> bytes:
        """Some secrets as members."""
        parts = []
        for secret in secrets:
            parts.append(b"" if self._first else b",")
            self._first = False
            parts += (_encode_text(secret.path), b":", secret.value)
        return b"".join(parts)

    def finish(self) -> bytes:
        """The end of the payload."""
        return b"}}"

    def _escape(self, data: bytes) -> bytes:
        try:
            return _encode_text(data.decode())[1:-1]
        except UnicodeDecodeError:
            raise PayloadError(
                "The dump holds text that is not UTF-8, as a SQL_ASCII database can; JSON cannot carry it.",
                hint="Convert the database to UTF8, or repair the rows that hold other bytes.",
            ) from None
