"""Which parts of an archive go where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..stages.errors import ConfigurationError

if TYPE_CHECKING:
    from ..formats.v1 import Header
    from ..stages.pg.settings import PostgresSettings
    from ..stages.vault.settings import VaultSettings

Part: TypeAlias = Literal["database", "vault"]


@dataclass(frozen=True, slots=True)
class Parts:
    """The targets of a restore: those that are given and that the archive has a part for.

    ``left_alone`` are the parts of the archive that have no target, and that nobody left out on purpose.
    """

    database: PostgresSettings | None
    vault: VaultSettings | None
    left_alone: tuple[Part, ...]


def choose(
    header: Header,
    database: PostgresSettings | None,
    vault: VaultSettings | None,
    *,
    only: Part | None = None,
    prune: bool = False,
) -> Parts:
    """The targets for an archive. Raises ``ConfigurationError`` when there is nothing to do, or not what was asked."""
    if only is not None:
        included = header.includes_db if only == "database" else header.includes_kv
        if not included:
            raise ConfigurationError(
                f"The archive has no {only} part: it is of type {header.backup_type}.",
                hint="Choose the other part, or another archive.",
            )
        if (database if only == "database" else vault) is None:
            raise ConfigurationError(f"There is no {only} to restore to.", hint=f"Configure [{only}].")
    left_alone: list[Part] = []
    if header.includes_db and database is None and only != "vault":
        left_alone.append("database")
    if header.includes_kv and vault is None and only != "database":
        left_alone.append("vault")
    database = database if header.includes_db and only != "vault" else None
    vault = vault if header.includes_kv and only != "database" else None
    if database is None and vault is None:
        raise ConfigurationError(
            f"There is nothing to restore: the archive is of type {header.backup_type}.",
            hint="Configure [database], [vault] or both, as the archive has them.",
        )
    if prune and vault is None:
        raise ConfigurationError(
            "Secrets can only be removed by a restore of the vault.", hint="Restore the vault too, or do not prune."
        )
    return Parts(database, vault, tuple(left_alone))
