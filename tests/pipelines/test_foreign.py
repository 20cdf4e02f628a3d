"""Archives of others: a reader and a writer made from ``formats/SPEC.md`` that share no code with the package."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kleidia_backup import restore, verify

from ..archive_format import backup
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


def derive(salt: bytes) -> AESGCM:
    return AESGCM(hash_secret_raw(PASSWORD.encode(), salt, 3, 65536, 4, 32, Type.ID))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Open an archive by the book: the clear-text header, and the payload."""
    data = path.read_bytes()
    assert data[:17] == b"KLEIDIA_BACKUP_V1"
    size = int.from_bytes(data[17:21], "big")
    header = json.loads(data[21 : 21 + size])
    salt, nonce, ciphertext = data[21 + size : 53 + size], data[53 + size : 65 + size], data[65 + size :]
    assert hashlib.sha256(ciphertext).hexdigest() == header["checksum"]
    return header, json.loads(gzip.decompress(derive(salt).decrypt(nonce, ciphertext, None)))


def write(path: Path, header: dict[str, Any], payload: dict[str, Any]) -> None:
    r"""Write an archive as odd as the book allows: other orders, \\u escapes, white space, many gzip members."""
    text = json.dumps(dict(reversed(payload.items())), indent=2, ensure_ascii=True).encode()
    members = [zlib.compress(text[at : at + 1000], 9, wbits=31) for at in range(0, len(text), 1000)]
    salt, nonce = hashlib.sha256(b"salt").digest(), b"twelve bytes"
    ciphertext = derive(salt).encrypt(nonce, b"".join(members), None)
    odd = dict(reversed(header.items())) | {"checksum": hashlib.sha256(ciphertext).hexdigest(), "writer": "another"}
    raw = json.dumps(odd, indent=1).encode()
    path.write_bytes(b"KLEIDIA_BACKUP_V1" + len(raw).to_bytes(4, "big") + raw + salt + nonce + ciphertext)


async def test_ours_is_read_by_others(system: System) -> None:
    """What the book says is in the archive: every row of the dump, every secret as the server holds it."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    header, payload = read(system.directory / made.name)
    assert (header["version"], header["backup_type"], header["includes_kv"]) == (1, "full", True)
    assert payload["header"]["includes_audit_logs"] is True
    live = system.secrets()
    expected = {path.removeprefix("kleidia/"): value for path, value in live["application"].items()}
    expected |= {f"yubikeys/{path}": value for path, value in live["yubikeys"].items()}
    assert payload["vault_secrets"] == expected
    assert payload["database_sql"].count('quote " back') == 500
    assert len(payload["database_sql"].encode()) == made.sql_bytes


async def test_theirs_is_restored(system: System) -> None:
    """Vault before database, other key order, escapes, several gzip members: everything comes back."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    header, payload = read(system.directory / made.name)
    rows, secrets = system.rows(), system.secrets()
    write(system.directory / "backups" / "theirs.enc", header, {**payload, "more": {"x": [1, None, "y" * 5000]}})
    checked = await verify("theirs.enc", store=system.store, password=PASSWORD)
    assert (checked.secrets, checked.rows) == (33, made_rows(payload["database_sql"]))
    wreck(system)
    report = await restore(
        "theirs.enc", database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD
    )
    assert report.warnings == ()
    history: dict[str, Any] = {"backup_jobs": []}  # is kept as it was before the restore
    assert (system.rows() | history, system.secrets()) == (rows | history, secrets)


def made_rows(sql: str) -> int:
    """Rows between COPY and its end."""
    inside, count = False, 0
    for line in sql.split("\n"):
        if inside and line == "\\.":
            inside = False
        elif inside:
            count += 1
        elif line.startswith("COPY "):
            inside = True
    return count
