"""Sentences of the specification about archives and limits that no other test holds word by word."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kleidia_backup import backup
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.pipeline.archives.actions import URL_EXPIRES
from kleidia_backup.pipeline.job import JOB_TIMEOUT
from kleidia_backup.pipeline.parts.request import BackupRequest, RestoreRequest
from kleidia_backup.stages.stores.s3.settings import S3Settings
from kleidia_backup.stages.vault.sink import VaultSink
from kleidia_backup.stages.vault.source import VaultSource

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio


def _parts(data: bytes) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Header, salt, nonce and ciphertext, cut as the drawing of the file's structure says."""
    assert data[:17] == b"KLEIDIA_BACKUP_V1"
    end = 21 + int.from_bytes(data[17:21], "big")
    return json.loads(data[21:end]), data[end : end + 32], data[end + 32 : end + 44], data[end + 44 :]


def _payload(data: bytes) -> Any:
    """The payload, opened with the numbers of the table alone: Argon2id 3, 64 MiB, 4, AES-256-GCM, gzip, JSON."""
    _, salt, nonce, ciphertext = _parts(data)
    key = hash_secret_raw(PASSWORD.encode(), salt, 3, 64 * 1024, 4, 32, Type.ID)
    return json.loads(gzip.decompress(AESGCM(key).decrypt(nonce, ciphertext, None)))


async def _archive(system: System, **options: Any) -> tuple[str, bytes]:
    given: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": system.store} | options
    made = await backup(password=PASSWORD, **given)
    return made.name, (system.directory / made.name).read_bytes()


async def test_the_payload_is_the_promised_object(system: System) -> None:
    """A header of six members, the SQL of pg_dump, and the secrets by their paths."""
    name, data = await _archive(system)
    found = _payload(data)
    assert set(found) == {"header", "database_sql", "vault_secrets"}
    created = found["header"].pop("created_at")
    assert created == _parts(data)[0]["created_at"]
    assert created.replace("-", "").replace("T", "-").replace(":", "").replace("Z", "") in name
    assert found["header"] == {
        "version": 1,
        "backup_type": "full",
        "includes_db": True,
        "includes_kv": True,
        "includes_audit_logs": True,
    }
    assert found["database_sql"].startswith("--\n-- PostgreSQL database dump\n--\n")
    assert found["vault_secrets"]["jwt-secret"] == {"secret": 'ünï\u2028cødé"\\'}
    assert found["vault_secrets"]["yubikeys/0001/piv"]["pin"] == 123456


async def test_an_archive_drops_creates_and_copies(system: System) -> None:
    """For each table a DROP before its CREATE, and a COPY of its rows behind that; no rows of the job history."""
    _, data = await _archive(system)
    sql = _payload(data)["database_sql"]
    for table in ("users", "notes", "audit_logs"):
        places = [
            sql.index(words)
            for words in (
                f"DROP TABLE IF EXISTS public.{table}",
                f"CREATE TABLE public.{table}",
                f"COPY public.{table} ",
            )
        ]
        assert places == sorted(places)
    assert "CREATE TABLE public.backup_jobs" in sql
    assert "COPY public.backup_jobs" not in sql


async def test_the_checksum_is_that_of_the_ciphertext(system: System) -> None:
    """SHA-256, in the header, of all that stands behind the nonce."""
    _, data = await _archive(system)
    header, _, _, ciphertext = _parts(data)
    assert header["checksum"] == hashlib.sha256(ciphertext).hexdigest()


async def test_each_archive_has_a_nonce_of_its_own(system: System) -> None:
    """Under one key, for tests have few salts, none comes twice."""
    nonces = [_parts((await _archive(system, database=None))[1])[2] for _ in range(10)]
    assert len(set(nonces)) == 10


async def test_an_archive_has_no_token_of_the_vault(system: System) -> None:
    """Neither what the backup logs in with, which here is the root token, nor any other text of it."""
    _, data = await _archive(system)
    token = system.application.server.root_token
    assert token not in json.dumps(_payload(data))
    assert token.encode() not in data


def _defaults(*callables: Any) -> Iterator[Any]:
    for each in callables:
        yield from (value.default for name, value in inspect.signature(each).parameters.items() if name == "workers")


def test_the_limits_are_those_that_are_promised() -> None:
    """20 workers, 30 minutes for an operation of S3, 2 hours for a job, an hour for a URL."""
    assert list(_defaults(VaultSource, VaultSink)) == [20, 20]
    assert S3Settings("b").operation_timeout == 30 * 60
    assert timedelta(hours=1) == URL_EXPIRES
    assert JOB_TIMEOUT == 2 * 60 * 60
    for each in (BackupRequest, RestoreRequest):
        assert inspect.signature(each).parameters["timeout"].default == JOB_TIMEOUT
    assert inspect.signature(ServiceSettings).parameters["job_timeout"].default == JOB_TIMEOUT
