"""From the configuration to what the library takes: a database, a vault, a store."""

from __future__ import annotations

import os

from ..stages.errors import ConfigurationError
from ..stages.pg.server.conninfo import refuse_repeated
from ..stages.pg.server.settings import PostgresSettings
from ..stages.stores.directory.store import DirectorySettings
from ..stages.stores.s3.settings import S3Settings
from ..stages.vault.kv.settings import METHODS, Auth, Root, VaultSettings
from .keys import DECLARED, KEYS, Key
from .notifying.settings import NotifySettings
from .password import PasswordPlace
from .reader import PASSWORD_VARIABLE, Config, read_secret
from .retention.settings import RetentionSettings
from .sections import Libpq, LoginKind, PasswordSource, StoreKind


def database_settings(config: Config) -> PostgresSettings | None:
    """The database; None when there is no section [database]. Raises ``ConfigurationError``."""
    if "database" not in config.sections:
        return None
    parameters = config.of(Libpq)
    conninfo = parameters.pop("conninfo", "")
    refuse_repeated(conninfo)
    PostgresSettings(conninfo)  # says what is wrong with it, without showing it
    named = {name: str(value) for name, value in parameters.items()}
    from psycopg.conninfo import make_conninfo  # see stages/pg/server/conninfo.py

    return PostgresSettings(make_conninfo(conninfo, **named), **config.of(PostgresSettings))


def vault_settings(config: Config, roots: tuple[Root, ...] | None = None) -> VaultSettings | None:
    """The vault; None when there is no section [vault]. ``roots`` instead of the configured ones.

    Raises ``ConfigurationError``.
    """
    if "vault" not in config.sections:
        return None
    given = config.of(VaultSettings)
    if "address" not in given:
        raise ConfigurationError(
            "The vault's address is not configured.", hint="Set address in [vault], or BAO_ADDR or VAULT_ADDR."
        )
    tables = given.pop("roots", ())
    if roots is None:
        roots = tuple(Root(**{"prefix": "", **table}) for table in tables)
    return VaultSettings(auth=_auth(config), roots=roots, own=_own(config, roots), **given)


def _own(config: Config, roots: tuple[Root, ...]) -> tuple[str, ...]:
    """The places that the product itself needs, whichever command is run."""
    own = []
    mount, path = (config.get("password.vault", name, str) for name in ("mount", "path"))
    if mount and path:
        own.append(f"{mount.strip('/')}/{path.strip('/')}")
    mount, path = (config.get("service", name, str) for name in ("secrets_mount", "secrets_path"))
    if path is not None and config.target:  # the other targets' as well
        path = path.removesuffix(f"/{config.target}")
    if roots:
        own.append(f"{(mount or roots[0].mount).strip('/')}/{(path or service_folder(roots[0])).strip('/')}/")
    return tuple(own)


def service_folder(root: Root) -> str:
    """The folder in the first root where services keep their secrets, each target's in one of its own, by default."""
    return f"{root.folder}backup-service"


def _auth(config: Config) -> Auth:
    method = LoginKind(**config.of(LoginKind)).method
    kind = METHODS[method]
    given = config.of(kind)
    own = [key.name for key in DECLARED[kind] if key.name != "mount" and not key.file]
    for key in _foreign("vault.auth", "method", "mount", *own):
        if config.has(key.section, key.name):
            raise ConfigurationError(
                f"{key.where} does not belong to the method {method}.",
                hint=f"Set method to the one that is meant; {method} takes {', '.join(own)}.",
            )
    for key in DECLARED[kind]:
        if key.of.default is None and key.of.field not in given:
            raise ConfigurationError(
                f"The vault login by {method} lacks the {key.name}.", hint=f"Set {_ways(key)} in [vault.auth]."
            )
    made: Auth = kind(**given)
    return made


def _ways(key: Key) -> str:
    """The keys, and the variables of other tools, by which a value can be given."""
    keys = [key.name, f"{key.name}_file"] if key.in_file else [key.name]
    if not key.standard:
        return " or ".join(keys)
    return f"{', '.join(keys)}, or {' or '.join(key.standard)} in the environment"


def _foreign(section: str, *own: str) -> list[Key]:
    """The keys of a section that only go with another kind of what it describes."""
    return [key for (each, name), key in KEYS.items() if each == section and not key.file and name not in own]


def store_settings(config: Config) -> S3Settings | DirectorySettings:
    """The store. Raises ``ConfigurationError``, also when none is configured."""
    if "store" not in config.sections:
        raise missing_section(config, "store", "Where archives are kept")
    kind = StoreKind(**config.of(StoreKind)).type or ("s3" if config.get("store", "bucket", str) else None)
    if kind is None:
        raise ConfigurationError(
            "The type of the store is not configured.", hint='Set type in [store]: "s3" or "directory".'
        )
    owner = DirectorySettings if kind == "directory" else S3Settings
    for key in _foreign("store", "type", *(key.name for key in DECLARED[owner])):
        # Keys of S3 may lie in the environment of a system that keeps its archives elsewhere.
        if not key.in_file and config.has(key.section, key.name):
            raise ConfigurationError(
                f"{key.where} does not belong to a store of type {kind}.", hint="Correct type, or leave it out."
            )
    given = config.of(owner)
    for name, what in (("path", "directory"), ("bucket", "bucket")):
        if name in {key.name for key in DECLARED[owner]} and name not in given:
            raise ConfigurationError(f"The store's {what} is not configured.", hint=f"Set {name} in [store].")
    if "ca_file" in given:
        given["ca_file"] = str(given["ca_file"])
    return owner(**given)


def notify_settings(config: Config) -> NotifySettings | None:
    """Where notifications go; None when there is no section [notify]. Raises ``ConfigurationError``."""
    return NotifySettings(**config.of(NotifySettings)) if "notify" in config.sections else None


def retention_settings(config: Config) -> RetentionSettings | None:
    """Which archives are kept; None when there is no section [retention]. Raises ``ConfigurationError``."""
    return RetentionSettings(**config.of(RetentionSettings)) if "retention" in config.sections else None


def configured_password(config: Config) -> str | PasswordPlace | None:
    """The encryption password, or where in the vault it is, as far as that is configured: nobody is asked for it.

    Raises ``ConfigurationError`` for a file or a variable that is named and does not hold it.
    """
    if (password := os.environ.get(PASSWORD_VARIABLE)) and not config.own & {"password", "password.vault"}:
        return password
    source = PasswordSource(**config.of(PasswordSource))
    if source.file:
        return read_secret(source.file, "password file")
    if source.env:
        return _variable(source.env)
    if "password.vault" not in config.sections:
        return None
    given = config.of(PasswordPlace)
    for key in DECLARED[PasswordPlace]:
        if key.of.field not in given:
            raise ConfigurationError(f"{key.where} is not set.", hint="It takes mount, path and field.")
    return PasswordPlace(given["mount"].strip("/"), given["path"].strip("/"), given["field"])


def _variable(name: str) -> str:
    if password := os.environ.get(name):
        return password
    raise ConfigurationError(
        "The environment variable that [password] names for the encryption password is not set.",
        hint="Set it; env in [password] is the variable's name, never the password.",
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
