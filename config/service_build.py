"""The service's settings as the configuration has them: what cannot be changed while it runs."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from ..pipeline.parts.passwords import check_new_password
from ..stages.errors import ConfigurationError
from ..stages.pg.server.conninfo import refuse_repeated
from ..stages.pg.server.settings import PostgresSettings
from ..stages.vault.kv.settings import AppRoleAuth, VaultSettings
from .allowed import KnownStores
from .build import (
    configured_password,
    database_settings,
    missing_section,
    notify_settings,
    retention_settings,
    service_folder,
    store_settings,
    vault_settings,
)
from .copies.read import copies_of
from .drills.reports import drill_settings
from .key_files import archive_keys
from .login.settings import LoginSettings
from .service import SHORTEST_TOKEN, ScheduleSettings, ServiceSettings

if TYPE_CHECKING:
    from .password import PasswordPlace
    from .reader import Config


def service_settings(config: Config) -> ServiceSettings:
    """The service's settings. Raises ``ConfigurationError``."""
    given = config.of(ServiceSettings)
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
    given.pop("control", None)
    control, target = control_of(config)
    store = store_settings(config) if "store" in config.sections else None
    KnownStores.of(given.get("allowed_endpoints"), store)  # says what is wrong with it
    _check_metrics_token(given.get("metrics_token", ""))
    return ServiceSettings(
        control=control,
        database=database,
        vault=vault,
        store=store,
        password=_password(config),
        keys=archive_keys(config),
        retention=retention_settings(config),
        notify=notify_settings(config),
        copies=copies_of(config, store),
        login=LoginSettings(**config.of(LoginSettings)) if "login" in config.sections else None,
        drill=drill_settings(config),
        labels=config.labels,
        schedule=ScheduleSettings(**config.of(ScheduleSettings)),
        **_paths(vault, target, given) | given | {"target": target},
    )


def control_of(config: Config) -> tuple[PostgresSettings, str]:
    """Where the service's own tables are, and the name of what it backs up. Raises ``ConfigurationError``."""
    database, conninfo = database_settings(config), config.secret("service", "control_conninfo")
    refuse_repeated(conninfo or "")
    if conninfo is None and config.target:
        raise ConfigurationError(
            "control_conninfo in [service] is not set: the targets have their control tables in one database.",
            hint="Set it at the top level of the configuration.",
        )
    control = PostgresSettings(conninfo) if conninfo is not None else database
    if control is None:
        raise missing_section(config, "database", "The database for the service's own tables")
    return control, config.target or config.get("service", "target", str) or _target(database)


def _check_metrics_token(token: str) -> None:
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigurationError(
            f"metrics_token in [service] has less than {SHORTEST_TOKEN} characters, or some that a header cannot hold.",
            hint="Make one with `openssl rand -hex 32`.",
        )


def _password(config: Config) -> str | PasswordPlace | None:
    """What the settings begin with; without one it is set through the API, for nobody is there to be asked."""
    password = configured_password(config)
    if isinstance(password, str):
        check_new_password(password)
    return password


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
    return {
        "secrets_mount": root.mount,
        "secrets_path": f"{service_folder(root)}/{_segment(target)}",
        "jwt_mount": given.get("jwt_mount", root.mount),
        "jwt_path": f"{root.folder}jwt-secret",
    }


def _segment(target: str) -> str:
    """A target as one part of a path in the vault."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", target):
        return target
    return hashlib.sha256(target.encode()).hexdigest()[:32]
