"""A restore to another place than what is configured: another database of the server, another mount of the vault."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.vault.kv.settings import VaultSettings
    from .names import PartName


def database_named(settings: PostgresSettings | None, name: str) -> PostgresSettings | None:
    """The same server and role, another database. Raises ``ConfigurationError`` when there is no server."""
    if not name:
        return settings
    if settings is None:
        raise ConfigurationError("There is no server for another database.", hint="Configure [database].")
    from ...stages.pg.databases.another import another

    return another(settings, name)


def below_mount(settings: VaultSettings | None, place: str) -> VaultSettings | None:
    """The same vault, and all of an archive's paths below ``place``: a KV mount, or ``MOUNT/FOLDER``.

    A mount whose own name has a slash is set off by two: ``team/kv//folder``. Raises ``ConfigurationError`` when there
    is no vault, for what can name no place, and for the product's own.
    """
    if not place:
        return settings
    if settings is None:
        raise ConfigurationError("There is no vault for another mount.", hint="Configure [vault].")
    from ...stages.vault.kv.roots import Root

    mount, _, folder = place.partition("//" if "//" in place else "/")
    return replace(settings, roots=(Root("", mount, folder),))


def check_places(
    database: PostgresSettings | None,
    vault: VaultSettings | None,
    *,
    only: PartName | None,
    into_database: str,
    create: bool,
    into_mount: str,
) -> tuple[PostgresSettings | None, VaultSettings | None]:
    """The database and the vault that a restore goes to. Raises ``ConfigurationError`` for what cannot be meant."""
    if create and not into_database:
        raise ConfigurationError("Only another database can be made.", hint="Name it, or make it yourself.")
    if (into_database and only == "vault") or (into_mount and only == "database"):
        raise ConfigurationError(
            "Another place is given for the part that is left alone.", hint="Leave it out, or restore that part."
        )
    return database_named(database, into_database), below_mount(vault, into_mount)


@dataclass(frozen=True, slots=True)
class Place:
    """The database that a restore goes to.

    ``home`` are the settings that are configured, ``name`` is empty for their own, ``absent``: it is to be made.
    """

    home: PostgresSettings | None
    name: str
    absent: bool = False

    async def looked(self, *, create: bool) -> Place:
        """The same, knowing whether it is there. Raises as ``missing`` of ``stages/pg/databases/another.py``."""
        if self.home is None or not self.name:
            return self
        from ...stages.pg.databases.another import missing

        return replace(self, absent=await missing(self.home, self.name, create=create))

    async def make(self, stack: AsyncExitStack, undone: Callable[[], bool]) -> None:
        """Make it if it is absent; it is dropped again if ``stack`` is left by an error and ``undone()``."""
        if self.home is None or not self.absent:
            return
        from ...stages.pg.databases.another import made

        await stack.enter_async_context(made(self.home, self.name, undone))
