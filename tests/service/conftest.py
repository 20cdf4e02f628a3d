"""A service on the real servers: small data, its own database, KV mount and directory, and intervals of a test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psycopg
import pytest

from kleidia_backup import DirectorySettings, PostgresSettings, Root, TokenAuth, VaultSettings
from kleidia_backup.config.service import Intervals, ServiceSettings
from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer, PostgresServer
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Job, NewJob
from kleidia_backup.service.service import Service

from ..databases import new_database

#: The encryption password that the service of the tests begins with.
PASSWORD = "canary-encryption-password"
#: Short enough for tests; each is in its place relative to the others. But ``dead`` is as for users: a busy machine may
#: keep a replica from its beat for seconds, and only tests about the death of one wait for it (``test_replicas.py``).
INTERVALS = Intervals(beat=0.1, poll=0.5, reap=0.3, dead=30, tick=0.3, margin=5)
#: The application that is backed up.
APPLICATION = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE audit_logs (id serial PRIMARY KEY, action text);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n;
INSERT INTO audit_logs (action) SELECT 'login' FROM generate_series(1, 5);
"""
SECRETS = 12


def new_backup(**changes: object) -> NewJob:
    """A full backup that somebody asks for."""
    values: dict[str, object] = {
        "kind": "backup",
        "backup_type": "full",
        "requested_by": "u-1",
        "requested_by_name": "ada",
        "ip": "192.0.2.7",
        "workstation": "desk",
    }
    return NewJob(**(values | changes))  # type: ignore[arg-type]  # as the caller says


@pytest.fixture(scope="module")
def control_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The connection string of a database for the control tables of one module's tests."""
    with new_database(postgres_server) as name:
        yield postgres_server.conninfo(name)


@pytest.fixture
async def control(control_database: str) -> AsyncIterator[Control]:
    """Control tables with nothing in them."""
    async with Control(PostgresSettings(control_database)) as opened:
        async with opened.connection() as connection:
            await connection.execute(
                "TRUNCATE kleidia_backup.jobs, kleidia_backup.audit, kleidia_backup.settings,"
                " kleidia_backup.schedules, kleidia_backup.limits, kleidia_backup.outbox, kleidia_backup.verifications,"
                " kleidia_backup.inspections, kleidia_backup.missed_runs, kleidia_backup.unfinished_restores"
                " RESTART IDENTITY"
            )
        yield opened


@pytest.fixture
def application(database: str, kv: KvMount) -> str:
    """The connection string of a database with an application in it, whose secrets are in the folder ``app``."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(APPLICATION)
    for number in range(SECRETS):
        kv.put(f"app/secret-{number}", {"value": f"s{number}"})
    kv.put("app/jwt-secret", {"secret": "canary-jwt-secret-of-at-least-32-bytes"})
    return database


@pytest.fixture
def service_settings(
    application: str,
    kv: KvMount,
    postgres_server: PostgresServer,
    openbao_server: OpenBaoServer,
    store_directory: Path,
    tmp_path: Path,
) -> ServiceSettings:
    """Settings of a service for ``application``; its archives go to ``store_directory``."""
    postgres = PostgresSettings(
        application,
        pg_dump=str(postgres_server.bin_dir / "pg_dump"),
    )
    return ServiceSettings(
        control=postgres,
        database=postgres,
        vault=VaultSettings(
            address=openbao_server.address,
            auth=TokenAuth(openbao_server.root_token),
            roots=(Root("", kv.path, "app"),),
        ),
        store=DirectorySettings(store_directory, "backups/"),
        password=PASSWORD,
        secrets_mount=kv.path,
        secrets_path="service",
        jwt_mount=kv.path,
        jwt_path="app/jwt-secret",
        target="app",
        state=tmp_path / "state",
        grace=5,
        intervals=INTERVALS,
    )


@pytest.fixture
def configuration(service_settings: ServiceSettings, tmp_path: Path, store_directory: Path) -> Path:
    """A configuration file for the service of the tests, at a free port."""
    settings = service_settings
    assert settings.database is not None
    assert isinstance(settings.vault.auth, TokenAuth)
    path = tmp_path / "service.toml"
    path.write_text(
        f"""
[database]
conninfo = {json.dumps(settings.database.full_conninfo())}
pg_dump = {json.dumps(settings.database.pg_dump)}
[vault]
address = {json.dumps(settings.vault.address)}
roots = [{{ mount = {json.dumps(settings.secrets_mount)}, path = "app" }}]
[vault.auth]
token = {json.dumps(settings.vault.auth.token)}
[store]
type = "directory"
path = {json.dumps(str(store_directory))}
prefix = "backups/"
[password]
env = "SERVICE_PASSWORD"
[service]
port = 0
grace = 5
secrets_path = "service"
""",
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path


@pytest.fixture
async def service(service_settings: ServiceSettings) -> AsyncIterator[Service]:
    """A running service."""
    async with Service(service_settings) as running:
        yield running


async def ended(service: Service, job_id: int) -> Job:
    """A job, once it has ended."""
    with anyio.fail_after(30):
        while True:
            job = await service.jobs.get(job_id)
            assert job is not None
            if not job.active:
                return job
            await anyio.sleep(0.02)


def files(directory: Path) -> list[Path]:
    """Every file below a directory."""
    return [path for path in directory.rglob("*") if path.is_file()]
