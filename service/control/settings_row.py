"""One state of the settings as the database holds it, what may follow it, and which secret goes with it."""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...config.allowed import WHERE, place_of
from ...stages.errors import ConfigurationError
from .backup_settings import SECRETS, STORED, BackupSettings, changed

if TYPE_CHECKING:
    from ...pipeline.retention.rules import Rules
    from .audit import Actor
    from .database import Connection
    from .secrets import Name, StoredSecret

#: The secrets among the settings by their fields, and their names in the vault.
NAMES: dict[str, Name] = {"secret_access_key": "s3", "encryption_password": "encryption-password"}


class VersionConflict(ConfigurationError):
    """The settings were changed since they were read; nothing was stored.

    It is not in the engine's tree of errors (``stages/errors.py``), for the engine knows nothing of these settings.
    """

    public = False


@dataclass(frozen=True, slots=True)
class Row:
    """What the database says: settings, version, and the tags of the secrets that count.

    Version 0 is what they began with. ``saved`` is False where they have not begun. ``moved``: the API has changed the
    store from one to another; ``requested_password``: and it was given the encryption password that counts.
    """

    settings: BackupSettings
    version: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    changed_by: str = ""
    saved: bool = False
    moved: bool = False
    requested_password: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """What is stored."""
        about = {"moved": self.moved, "requested_password": self.requested_password}
        return {"settings": self.settings.document(), "tags": dict(self.tags)} | about


def new_tag() -> str:
    """What tells a secret that was set from any other."""
    return random.token_hex(8)


def usable(row: Row, name: Name, kept: StoredSecret | None) -> str | None:
    """The secret in the vault, if it is the one set last or the operator's own.

    One that carries the tag of other settings was brought by other tools: it counts where nothing else was ever set.
    """
    tag = row.tags.get(name, "")
    return kept.value if kept is not None and (not tag or kept.tag in {"", tag}) else None


def check_origin(row: Row, kept: StoredSecret | None, *, own: bool) -> None:
    """Refuse a restore from a store that the API chose by a password that a request brought, ``own`` or as a setting.

    Together they would make a stolen token as good as the database: any archive of anybody could be restored.
    Raises ``ConfigurationError``.
    """
    if not row.moved or not (own or (row.requested_password and (kept is None or kept.tag))):
        return
    what = "a password of its own" if own else "an encryption password that was set through the API"
    raise ConfigurationError(
        f"The store was changed through the API, and nothing is restored from it by {what}.",
        hint=f"Who operates the service names the bucket in {WHERE}, such as https://s3.example.com/backups; or "
        "restore with the stored password, if it was set by the configuration or with the vault's own tools.",
    )


def check_version(row: Row, version: int | None) -> None:
    """Refuse a change that is based on another version. Raises ``VersionConflict``."""
    if version is not None and version != row.version:
        by = f" by {row.changed_by}" if row.changed_by else ""
        raise VersionConflict(
            f"The settings were changed meanwhile{by}: they have version {row.version} now.",
            hint="Load them again, and repeat the change.",
        )


def next_row(row: Row, changes: Mapping[str, object], actor: Actor, *, directory: bool) -> tuple[Row, list[str]]:
    """The next row, and the names of the fields that differ; ``directory``: without a bucket there is a store too.

    Raises ``ConfigurationError``.
    """
    settings = changed(row.settings, changes)
    check_key(row.settings, settings, changes)
    moves = place_of(settings) != place_of(row.settings) and (directory or bool(row.settings.bucket))
    names = [name for name in STORED if getattr(settings, name) != getattr(row.settings, name)]
    names += [name for name in SECRETS if name in changes]
    tags = dict(row.tags) | {NAMES[name]: new_tag() for name in SECRETS if name in changes}
    if not settings.access_key_id:
        tags.pop("s3", None)
    return Row(
        settings,
        row.version + 1,
        tags,
        actor.user_name,
        moved=row.moved or moves,
        requested_password=row.requested_password or "encryption_password" in changes,
    ), names


def check_key(old: BackupSettings, new: BackupSettings, changes: Mapping[str, object]) -> None:
    """Whether the secret key is given where the stored one may not be used. Raises ``ConfigurationError``."""
    given = "secret_access_key" in changes
    if given and not new.access_key_id:
        raise ConfigurationError("secret_access_key has no access_key_id.", hint="Give both, or neither.")
    if given or not new.access_key_id:
        return
    (old_server, old_id, old_tls), (server, key_id, tls) = old.key_belongs_to, new.key_belongs_to
    for name, differs in (
        ("endpoint", server != old_server),
        ("access_key_id", key_id != old_id),
        ("insecure_tls", old_tls and not tls),
    ):
        if differs:
            raise ConfigurationError(
                f"{name} cannot be changed without secret_access_key: the stored key is for the server and the key id "
                "that it was given for.",
                hint="Give secret_access_key again.",
            )


async def stored_rules(connection: Connection, target: str) -> Rules | None:
    """Retention's rules as the settings of a target have them, for who is no service; None before it has any.

    Raises psycopg's errors.
    """
    cursor = await connection.execute("SELECT document FROM kleidia_backup.settings WHERE target = %s", (target,))
    found = await cursor.fetchone()
    return None if found is None else BackupSettings.of(found[0]["settings"]).rules
