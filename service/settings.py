"""From the configuration to what the library takes: a database, a vault, a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from psycopg.conninfo import make_conninfo

from ..stages.errors import ConfigurationError
from ..stages.pg.settings import PostgresSettings
from ..stages.stores.directory import DirectorySettings
from ..stages.stores.s3_settings import S3Settings
from ..stages.vault.settings import (
    AppRoleAuth,
    Auth,
    KubernetesAuth,
    Root,
    TokenAuth,
    UserpassAuth,
    VaultSettings,
)
from .config_keys import KEYS

if TYPE_CHECKING:
    from .config import Config

StoreSettings: TypeAlias = S3Settings | DirectorySettings

#: Our names of libpq's parameters.
_LIBPQ = {"name": "dbname"}
#: The keys that are not libpq's.
_OURS = ("pg_dump", "psql", "lock_timeout", "query_timeout")
_TABLES = {"preserve_tables": "preserve", "audit_tables": "audit"}
#: The keys of [vault.auth] that each method takes besides mount; the first of them it cannot do without.
_METHODS = {
    "token": ("token",),
    "approle": ("role_id", "secret_id", "wrapped"),
    "kubernetes": ("role", "jwt_file"),
    "userpass": ("username", "password"),
}


def database_settings(config: Config) -> PostgresSettings | None:
    """The database; None when there is no section [database]. Raises ``ConfigurationError``."""
    if "database" not in config.sections:
        return None
    parameters = config.given("database")
    parameters["password"] = config.secret("database", "password")
    rest: dict[str, Any] = {name: parameters.pop(name) for name in _OURS if name in parameters}
    for name, argument in _TABLES.items():
        if (tables := config.get("backup", name, tuple)) is not None:
            rest[argument] = tables
    conninfo = config.secret("database", "conninfo") or ""
    PostgresSettings(conninfo)  # says what is wrong with it, without showing it
    named = {_LIBPQ.get(name, name): str(value) for name, value in parameters.items() if value is not None}
    return PostgresSettings(make_conninfo(conninfo, **named), **rest)


def vault_settings(config: Config, roots: tuple[Root, ...] | None = None) -> VaultSettings | None:
    """The vault; None when there is no section [vault]. ``roots`` instead of the configured ones.

    Raises ``ConfigurationError``.
    """
    if "vault" not in config.sections:
        return None
    given = config.given("vault")
    if "address" not in given:
        raise ConfigurationError(
            "The vault's address is not configured.", hint="Set address in [vault], or BAO_ADDR or VAULT_ADDR."
        )
    if roots is None:
        tables = config.get("vault", "roots", tuple) or ()
        roots = tuple(Root(**{"prefix": "", **table}) for table in tables)
    return VaultSettings(auth=_auth(config), roots=roots, **given)


def _auth(config: Config) -> Auth:
    given = config.given("vault.auth")
    method = given.pop("method", "token")
    for name in sum(_METHODS.values(), ()):
        if name not in _METHODS[method] and (name in given or config.has("vault.auth", name)):
            raise ConfigurationError(
                f"{KEYS['vault.auth', name].where} does not belong to the method {method}.",
                hint=f"Set method to the one that is meant; {method} takes {', '.join(_METHODS[method])}.",
            )
    if method == "token":
        given.pop("mount", None)
        token = config.secret("vault.auth", "token")
        if token is None:
            raise _missing("token", "token", "token, token_file, or BAO_TOKEN or VAULT_TOKEN in the environment")
        return TokenAuth(token)
    if method == "kubernetes":
        if "role" not in given:
            raise _missing(method, "role", "role")
        return KubernetesAuth(**given)
    secrets: dict[str, Any] = {}
    for name in ("role_id", "secret_id") if method == "approle" else ("username", "password"):
        value = given.get(name) if name == "username" else config.secret("vault.auth", name)
        if value is None:
            raise _missing(method, name, name if name == "username" else f"{name} or {name}_file")
        secrets[name] = value
    given |= secrets
    return AppRoleAuth(**given) if method == "approle" else UserpassAuth(**given)


def _missing(method: str, name: str, keys: str) -> ConfigurationError:
    return ConfigurationError(f"The vault login by {method} lacks the {name}.", hint=f"Set {keys} in [vault.auth].")


def store_settings(config: Config) -> StoreSettings:
    """The store. Raises ``ConfigurationError``, also when none is configured."""
    given = config.given("store")
    if "store" not in config.sections:
        raise missing_section(config, "store", "Where archives are kept")
    kind = given.pop("type", "s3" if "bucket" in given else None)
    if kind == "directory":
        for name in given:
            if name not in {"path", "prefix"} and config.has("store", name):
                raise _misplaced(name, kind)
        if "path" not in given:
            raise ConfigurationError("The store's directory is not configured.", hint="Set path in [store].")
        return DirectorySettings(given["path"], given.get("prefix", ""))
    if kind is None:
        raise ConfigurationError(
            "The type of the store is not configured.", hint='Set type in [store]: "s3" or "directory".'
        )
    if "path" in given:
        raise _misplaced("path", kind)
    if "bucket" not in given:
        raise ConfigurationError("The store's bucket is not configured.", hint="Set bucket in [store].")
    for name in ("access_key_id", "secret_access_key", "session_token"):
        given[name] = config.secret("store", name) or ""
    if isinstance(given.get("ca_file"), Path):
        given["ca_file"] = str(given["ca_file"])
    return S3Settings(**given)


def _misplaced(name: str, kind: str) -> ConfigurationError:
    return ConfigurationError(
        f"{KEYS['store', name].where} does not belong to a store of type {kind}.", hint="Correct type, or leave it out."
    )


def missing_section(config: Config, section: str, what: str) -> ConfigurationError:
    """The error for a section that a command needs and that is not there."""
    if config.file is None:
        return ConfigurationError(
            f"{what} is not configured: there is no configuration file.",
            hint="Name one by --config, or begin with `kleidia-backup config --example > kleidia-backup.toml`.",
        )
    return ConfigurationError(
        f"{what} is not configured: {config.file} has no section [{section}].",
        hint="Add it; `kleidia-backup config --example` shows how.",
    )
