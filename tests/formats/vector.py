"""One test vector: a file, and what a reader must make of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .second_writer import INNER, OUTER, PASSWORD, Part, archive, document, expand, gzip_member, seal

SQL = "-- caf\u00e9 \U0001f600\nSELECT 'a\\b' AS \"x\";\n"
SECRETS = {"jwt-secret": b'{"secret":"s3cr3t"}', "yubikeys/abc123/piv": b'{"management_key":"0102","slot":154}'}


@dataclass(frozen=True)
class Vector:
    """``expect`` is ``ok`` or the layer that must fail; a ``limit`` is one that section 6.3 allows, not demands."""

    name: str
    comment: str
    data: bytes
    expect: str
    password: str = PASSWORD
    limit: bool = False
    content: Mapping[str, Any] | None = None

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.expect}-{self.name}.enc"

    def entry(self) -> dict[str, Any]:
        """What ``vectors.json`` says of it."""
        about = {"file": self.file, "comment": self.comment, "password": self.password, "expect": self.expect}
        return about | ({"limit": True} if self.limit else {}) | dict(self.content or {})


def ok(
    name: str,
    comment: str,
    *payload: Part,
    sql: str = SQL,
    secrets: Mapping[str, bytes] = SECRETS,
    outer: Mapping[str, Any] | bytes = OUTER,
    password: str = PASSWORD,
    plaintext: bytes | None = None,
    **says: Any,
) -> Vector:
    """An archive that must be read. ``payload`` (or the gzip stream ``plaintext``) must mean ``sql`` and ``secrets``.

    ``says`` are the members of the clear-text header where they are not as in ``OUTER``.
    """
    parts = payload or (document(INNER, sql, secrets),)
    ciphertext = seal(gzip_member(*parts) if plaintext is None else plaintext, password)
    content = {
        "header": {**OUTER, **says, "checksum": hashlib.sha256(ciphertext).hexdigest()},
        "sql_sha256": hashlib.sha256(sql.encode()).hexdigest(),
        "secrets_sha256": {path: hashlib.sha256(value).hexdigest() for path, value in secrets.items()},
    }
    return Vector(name, comment, archive(ciphertext, outer), "ok", password, content=content)


def bad_payload(name: str, comment: str, *payload: Part, limit: bool = False) -> Vector:
    """An archive without any fault but in its payload."""
    return Vector(name, comment, archive(seal(gzip_member(*payload))), "payload", limit=limit)


def bad_gzip(name: str, comment: str, plaintext: bytes) -> Vector:
    """An archive that seals anything but a gzip stream."""
    return Vector(name, comment, archive(seal(plaintext)), "gzip")


def bad_header(
    name: str, comment: str, outer: Mapping[str, Any] | bytes, *, expect: str = "header", length: int | None = None
) -> Vector:
    """An archive without any fault but in its clear-text header."""
    return Vector(name, comment, archive(good_ciphertext(), outer, length=length), expect)


def good_payload() -> bytes:
    """The payload without any fault."""
    return document(INNER, SQL, SECRETS)


def good_ciphertext() -> bytes:
    """The good payload, sealed."""
    return seal(gzip_member(good_payload()))


def good() -> bytes:
    """The archive without any fault, of which the others differ in one thing."""
    return archive(good_ciphertext())


def secret_payload(*value: Part) -> tuple[Part, ...]:
    """A payload with one secret named ``it``, whose value is given as JSON."""
    return (b'{"vault_secrets":{"it":', *value, b"}}")


def sql_payload(*text: Part) -> tuple[Part, ...]:
    """A payload with the inside of the SQL's string as JSON."""
    return (b'{"database_sql":"', *text, b'","vault_secrets":{}}')


def text_of(*parts: Part) -> str:
    """What some parts say."""
    return expand(*parts).decode()
