"""One state of the settings as the database holds it, what may follow it, and which secret goes with it."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...stages.errors import ConfigurationError
from .backup_settings import SECRETS, STORED, BackupSettings, changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .audit import Actor
    from .secrets import Kept, Name

#: The secrets among the settings by their fields, and their names in the vault.
NAMES: dict[str, Name] = {"secret_access_key": "s3", "encryption_password": "encryption-password"}


class VersionConflict(ConfigurationError):
    """The settings were changed since they were read; nothing was stored.

    It is not in the engine's tree of errors (``stages/errors.py``), for the engine knows nothing of these settings.
    """


@dataclass(frozen=True, slots=True)
class Row:
    """What the database says: settings, version (0: nothing was saved yet), and the tags of the secrets that count."""

    settings: BackupSettings
    version: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    changed_by: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """What is stored."""
        return {"settings": self.settings.document(), "tags": dict(self.tags)}


def usable(row: Row, name: Name, kept: Kept | None, of_file: str | None) -> str | None:
    """Which secret counts: the vault's if it is the one set last or the operator's own, the file's while none was set.

    One that carries the tag of other settings was brought by a restore: it counts where nothing else was ever set.
    """
    tag = row.tags.get(name, "")
    if kept is not None and kept.tag in {"", tag}:
        return kept.value
    if tag:
        return None
    return of_file if of_file is not None or kept is None else kept.value


def check_version(row: Row, version: int | None) -> None:
    """Refuse a change that is based on another version. Raises ``VersionConflict``."""
    if version is not None and version != row.version:
        by = f" by {row.changed_by}" if row.changed_by else ""
        raise VersionConflict(
            f"The settings were changed meanwhile{by}: they have version {row.version} now.",
            hint="Load them again, and repeat the change.",
        )


def next_row(row: Row, changes: Mapping[str, object], actor: Actor) -> tuple[Row, list[str]]:
    """The next row, and the names of the fields that differ. Raises ``ConfigurationError``."""
    settings = changed(row.settings, changes)
    check_key(row.settings, settings, changes)
    names = [name for name in STORED if getattr(settings, name) != getattr(row.settings, name)]
    names += [name for name in SECRETS if name in changes]
    tags = dict(row.tags) | {NAMES[name]: random.token_hex(8) for name in SECRETS if name in changes}
    if not settings.access_key_id:
        tags.pop("s3", None)
    return Row(settings, row.version + 1, tags, actor.user_name), names


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
