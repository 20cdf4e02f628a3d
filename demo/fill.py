"""Fill a database and a vault with what an application that manages security keys keeps there.

The same ``keys`` and ``seed`` give the same content.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import psycopg

from . import content
from .parallel import each_mount, in_parallel
from .schema import SCHEMA

if TYPE_CHECKING:
    from .servers.kv import KvMount


def fill_database(conninfo: str, *, keys: int, audit_logs: int | None = None, seed: int = 0) -> None:
    """Create the application's tables in an empty database and fill them: for ``keys`` security keys.

    ``audit_logs`` is the number of rows of the audit table, of about 200 bytes each; 5 a key unless given.
    Raises ``psycopg.Error`` when the database is not empty or not writable.
    """
    rng = random.Random(seed)  # noqa: S311 - the same content for the same seed, and secret from nobody
    organizations, users = 1 + keys // 100, 5 + keys // 4
    audit_logs = 5 * keys if audit_logs is None else audit_logs
    rows: dict[str, Iterable[content.Row]] = {
        "organizations (name, settings, created_at)": content.organizations(organizations, rng),
        "users (organization_id, email, display_name, password_hash, is_admin, created_at, last_login)": content.users(
            users, organizations, rng
        ),
        "yubikeys (serial, user_id, status, firmware, notes, enrolled_at, updated_at)": content.keys(keys, users, rng),
        "certificates (yubikey_id, slot, subject, fingerprint, pem, not_after)": content.certificates(keys, rng),
        "backup_jobs (kind, status, triggered_by, file_name, error, started_at, finished_at)": content.jobs(users),
    }
    with psycopg.connect(conninfo) as connection:
        connection.execute(SCHEMA)
        for table, each in rows.items():
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in each:
                    copy.write_row(row)
        table = "audit_logs (user_id, action, ip_address, hostname, details, created_at)"
        with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
            for line in content.audit(audit_logs, users, rng):
                copy.write(line)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("ANALYZE")


def fill_vault(application: KvMount, yubikeys: KvMount, *, keys: int, folder: str = "kleidia", seed: int = 0) -> int:
    """Write the application's own secrets below ``folder`` of one engine, and one folder a key into the other.

    Returns the number of secrets. Raises ``RuntimeError`` when the vault refuses one.
    """
    rng = random.Random(seed)  # noqa: S311
    system = [(application, f"{folder}/{path}", value) for path, value in content.system_secrets(rng)]
    piv = ((yubikeys, f"{content.serial(number)}/piv", content.piv(number, rng)) for number in range(keys))
    with each_mount(application, yubikeys) as here:
        in_parallel(chain(system, piv), lambda item: here(item[0]).put(item[1], item[2]))
    return len(system) + keys
