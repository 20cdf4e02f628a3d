"""The service's settings as the configuration has them: what cannot be changed while it runs."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from ..pipeline.job import JOB_TIMEOUT
from ..stages.errors import ConfigurationError
from ..stages.pg.settings import PostgresSettings
from ..stages.vault.settings import AppRoleAuth
from .settings import database_settings, missing_section, store_settings, vault_settings

if TYPE_CHECKING:
    from ..stages.vault.settings import VaultSettings
    from .config import Config
    from .settings import StoreSettings


#: Characters that the token for /metrics has at least.
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often, and after how long; seconds. Tests make them short.

    ``beat``: progress is written and the row asked whether to go on. ``poll``: the queue is looked at, besides LISTEN.
    ``reap``: dead and stale jobs are looked for. ``dead``: silence after which a job's replica counts as dead.
    ``tick``: the schedule is looked at. ``margin``: how much longer than its time limit a job may take to clean up.
    """

    beat: float = 1.0
    poll: float = 5.0
    reap: float = 5.0
    dead: float = 30.0
    tick: float = 5.0
    margin: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Everything that ``Service`` is made from. Times are seconds; ``repr`` shows no secret.

    ``store`` and ``password`` are only what the settings in the database begin with.
    """

    control: PostgresSettings
    vault: VaultSettings
    secrets_mount: str
    secrets_path: str
    target: str
    database: PostgresSettings | None = None
    store: StoreSettings | None = None
    password: str | None = field(default=None, repr=False)
    include_audit_logs: bool = True
    part_size: int | None = None
    state: Path | None = None
    job_timeout: float = JOB_TIMEOUT
    grace: float = 30.0
    host: str = "127.0.0.1"
    port: int = 8080
    forwarded_allow_ips: tuple[str, ...] = ()
    metrics_token: str = field(default="", repr=False)
    metrics_public: bool = False
    jwt_mount: str = ""
    jwt_path: str = ""
    jwt_field: str = "secret"
    jwks_url: str | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    role_claim: str = "role"
    admin_roles: tuple[str, ...] = ("admin",)
    viewer_roles: tuple[str, ...] = ("viewer",)
    intervals: Intervals = field(default_factory=Intervals)


def service_settings(config: Config) -> ServiceSettings:
    """The service's settings. Raises ``ConfigurationError``."""
    given = config.given("service")
    database, vault = database_settings(config), vault_settings(config)
    if vault is None:
        raise missing_section(config, "vault", "The vault, where the service keeps its secrets,")
    if isinstance(vault.auth, AppRoleAuth) and vault.auth.wrapped:
        raise ConfigurationError(
            "The service cannot log in to the vault with a wrapped secret_id: it opens once, and the service logs in "
            "again and again.",
            hint="Unwrap it, give the real secret_id (secret_id_file) and set wrapped = false in [vault.auth]; or use "
            "the method kubernetes.",
        )
    conninfo = config.secret("service", "control_conninfo")
    control = PostgresSettings(conninfo) if conninfo is not None else database
    if control is None:
        raise missing_section(config, "database", "The database for the service's own tables")
    target: Any = given.get("target") or _target(database)
    limits: dict[str, Any] = {
        "job_timeout": config.get("backup", "job_timeout", float),
        "part_size": config.get("backup", "part_size", int),
        "state": config.get("backup", "state_dir", Path),
        "include_audit_logs": config.get("backup", "include_audit_logs", bool),
    }
    return ServiceSettings(
        control=control,
        database=database,
        vault=vault,
        metrics_token=_metrics_token(config),
        store=store_settings(config) if "store" in config.sections else None,
        **{"target": target, **_paths(vault, target, given), **given},
        **{name: value for name, value in limits.items() if value is not None},
    )


def _metrics_token(config: Config) -> str:
    token = config.secret("service", "metrics_token") or ""
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigurationError(
            f"metrics_token in [service] has less than {SHORTEST_TOKEN} characters, or some that a header cannot hold.",
            hint="Make one with `openssl rand -hex 32`.",
        )
    return token


def _target(database: PostgresSettings | None) -> str:
    if database is None:
        return "vault"
    parameters = conninfo_to_dict(database.full_conninfo())
    found = parameters.get("dbname") or os.environ.get("PGDATABASE") or parameters.get("user") or "database"
    return str(found)


def _paths(vault: VaultSettings, target: str, given: dict[str, Any]) -> dict[str, str]:
    """Where the service's secrets are, as far as it is not said: in the first root."""
    if not vault.roots:
        raise ConfigurationError("The vault has no roots to back up.", hint="Configure [[vault.roots]].")
    root = vault.roots[0]
    folder = f"{root.path.strip('/')}/" if root.path.strip("/") else ""
    return {
        "secrets_mount": root.mount,
        "secrets_path": f"{folder}backup-service/{_segment(target)}",
        "jwt_mount": given.get("jwt_mount", root.mount),
        "jwt_path": f"{folder}jwt-secret",
    }


def _segment(target: str) -> str:
    """A target as one part of a path in the vault."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", target):
        return target
    return hashlib.sha256(target.encode()).hexdigest()[:32]
