"""What a job is asked to do: frozen, checked when it is made, and handed on as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

from ...formats.codecs.zstd import HIGHEST, LEVEL, LOWEST
from ...formats.facts import BackupType, Facts
from ...stages.errors import ConfigurationError
from ..job import JOB_TIMEOUT
from .elsewhere import Place, check_places
from .keys import NO_KEYS, Keys, check_reading, check_writing

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.stores.base import StoreSettings
    from ...stages.vault.kv.settings import VaultSettings
    from .names import PartName


#: Characters of an installation's id.
LONGEST_SYSTEM = 200
#: The formats that archives can be written in.
Format: TypeAlias = Literal["v1", "v2"]


def check_format(format: str, level: int) -> None:  # noqa: A002 - what everybody calls it
    """Refuse a format that is not there, and a level that zstd does not have. Raises ``ConfigurationError``."""
    if format not in get_args(Format):
        raise ConfigurationError(f"There is no archive format {format!r}.", hint="Use v1 or v2.")
    if not LOWEST <= level <= HIGHEST:
        raise ConfigurationError(f"The level of compression cannot be {level}.", hint=f"Use {LOWEST} to {HIGHEST}.")


def check_part_size(store: StoreSettings, part_size: int | None) -> None:
    """Refuse parts that the store would not take. Raises ``ConfigurationError``."""
    if part_size is not None and part_size < store.smallest_part:
        # The store itself says so only when all parts are there: after hours, perhaps.
        raise ConfigurationError(
            f"A part size of {part_size} bytes is too small.",
            hint=f"Use {store.smallest_part} or more, or leave part_size out.",
        )


def check_archive_name(name: str | None) -> None:
    """Refuse a name that no listing would show. Raises ``ConfigurationError``."""
    if name is not None and not name.endswith(".enc"):
        raise ConfigurationError(f"The name {name!r} does not end in .enc.", hint="Listings show such names only.")


def check_system(system: str) -> None:
    """Refuse an installation's id that could not be shown in a line. Raises ``ConfigurationError``."""
    if len(system) > LONGEST_SYSTEM or not system.isprintable():
        raise ConfigurationError(
            "The id of this system is too long, or has characters that cannot be shown.",
            hint=f"Use at most {LONGEST_SYSTEM} characters that can be printed in system in [backup].",
        )


class Sealing(Protocol):
    """What an archive that is written is sealed by, of whatever job it is."""

    @property
    def format(self) -> Format:
        """That of the archive."""

    @property
    def level(self) -> int:
        """How hard zstd compresses, in format V2."""

    @property
    def password(self) -> str | None:
        """What opens it."""

    @property
    def keys(self) -> Keys:
        """What else does, and who signs it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every job on both parts needs; ``timeout`` is seconds for the whole job.

    ``password`` is None where ``keys`` are enough.
    """

    store: StoreSettings
    password: str | None = field(default=None, repr=False)
    keys: Keys = NO_KEYS
    database: PostgresSettings | None = None
    vault: VaultSettings | None = None
    timeout: float = JOB_TIMEOUT


@dataclass(frozen=True, kw_only=True)
class BackupRequest(Request):
    """What ``backup`` is asked for, which explains each. Raises ``ConfigurationError`` for what cannot be done."""

    include_audit: bool = True
    name: str | None = None
    allow_unreadable: bool = False
    part_size: int | None = None
    format: Format = "v1"
    level: int = LEVEL
    system: str = ""
    incremental: bool = False
    allow_weak_password: bool = False

    def __post_init__(self) -> None:
        check_format(self.format, self.level)
        check_system(self.system)
        if self.database is None and self.vault is None:
            raise ConfigurationError("There is nothing to back up.", hint="Configure [database], [vault] or both.")
        if self.format == "v1" and self.database is not None and self.database.jobs > 1:
            raise ConfigurationError(
                "A dump by several jobs needs an archive of format v2.", hint="Use format v2, or jobs = 1."
            )
        if self.format == "v1" and self.database is not None and self.database.role_passwords:
            raise ConfigurationError(
                "Passwords of roles need an archive of format v2.", hint="Use format v2, or role_passwords = false."
            )
        if self.format == "v1" and self.vault is not None and self.vault.versions != 1:
            raise ConfigurationError(
                "Older versions of secrets need an archive of format v2.", hint="Use format v2, or versions = 1."
            )
        if self.format == "v1" and self.vault is not None and self.incremental:
            raise ConfigurationError(
                "Incremental reads of the vault need archives of format v2.",
                hint="Use format v2, or incremental = false.",
            )
        check_writing(self.password, self.keys, slots=self.format != "v1", allow_weak=self.allow_weak_password)
        check_part_size(self.store, self.part_size)
        check_archive_name(self.name)

    @property
    def backup_type(self) -> BackupType:
        """What is taken, in one word."""
        return "vault" if self.database is None else "database" if self.vault is None else "full"

    def facts(self, now: datetime) -> Facts:
        """What the archive that is made now says of itself."""
        return Facts(
            created_at=now,
            backup_type=self.backup_type,
            includes_db=self.database is not None,
            includes_kv=self.vault is not None,
            includes_audit=self.include_audit and self.database is not None,
            system=self.system,
        )


@dataclass(frozen=True, kw_only=True)
class RestoreRequest(Request):
    """What ``restore`` and ``plan_restore`` are asked for; ``restore`` explains each.

    Raises ``ConfigurationError`` for a password that cannot be meant, and for neither a password nor a key.
    """

    name: str
    only: PartName | None = None
    prune: bool = False
    search_path: tuple[str, ...] = ()
    state: Path | None = None
    system: str = ""
    from_other_system: bool = False
    secrets: tuple[str, ...] = ()
    to: str = ""
    into_database: str = ""
    create: bool = False
    into_mount: str = ""
    backup_first: BackupRequest | None = None
    #: Where its database is to be.
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        check_system(self.system)
        check_reading(self.password, self.keys)
        self._go_elsewhere()
        if self.secrets and (self.only == "database" or self.prune):
            raise ConfigurationError(
                "Chosen secrets are restored alone, and nothing is removed.", hint="Leave out the database, and prune."
            )
        if self.to and not self.secrets:
            raise ConfigurationError("A secret's other path needs a secret.", hint="Choose one.")
        if self.secrets:
            object.__setattr__(self, "only", "vault")

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The places that it goes to instead of those that are configured, for people."""
        database = (self.database.where(),) if self.into_database and self.database is not None else ()
        vault = (f"vault mount {self.into_mount}",) if self.into_mount else ()
        return (*database, *vault)

    def _go_elsewhere(self) -> None:
        """Put the settings of the places that it goes to where the configured ones stood."""
        database, vault = check_places(
            self.database,
            self.vault,
            only=self.only,
            into_database=self.into_database,
            create=self.create,
            into_mount=self.into_mount,
        )
        object.__setattr__(self, "place", Place(self.database, self.into_database))
        object.__setattr__(self, "database", database)
        object.__setattr__(self, "vault", vault)
