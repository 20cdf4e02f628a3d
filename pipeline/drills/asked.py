"""What a drill is asked for: the archive, where to restore it, what to check, where its report goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...stages.errors import ConfigurationError
from ..job import JOB_TIMEOUT
from ..parts.keys import NO_KEYS, Keys, check_reading
from ..parts.names import LATEST

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.stores.base import StoreSettings
    from ...stages.vault.kv.settings import VaultSettings

Trigger: TypeAlias = Literal["manual", "schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCheck:
    """A check of the operator's own: ``sql`` gives one value, which must be ``expect``; or the ``secret`` must exist.

    Both sides are compared as text: ``true`` and ``false``, numbers as the server writes them, ``null``.
    ``secret`` is a path as it is in the archive. Raises ``ConfigurationError`` for anything else.
    """

    name: str
    sql: str = ""
    expect: str = ""
    secret: str = ""

    def __post_init__(self) -> None:
        if not self.name or bool(self.sql) == bool(self.secret) or (self.secret and self.expect):
            raise ConfigurationError(
                "A check of [[drill.checks]] cannot be used.", hint="It has a name, and sql with expect, or secret."
            )


async def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Where a drill restores to: an empty database and an empty folder of a vault, for it alone.

    ``own`` says that both are on servers that were started for the drill and end with it: then roles are made there as
    the archive names them, and nobody else can have data there. ``restored`` is awaited between the restore and the
    comparison: tests change something there.
    """

    where: str
    own: bool
    database: PostgresSettings | None = None
    vault: VaultSettings | None = None
    restored: Callable[[], Awaitable[None]] = _nothing


#: Makes what an archive needs, with room for so many bytes, and removes it again when it is left, whatever happened.
#: Raises a ``KleidiaError`` when that cannot be had; then nothing is left of it.
ScratchMaker: TypeAlias = "Callable[[Facts, int], AbstractAsyncContextManager[Scratch]]"


@dataclass(frozen=True, kw_only=True)
class DrillRequest:
    """What ``drill`` is asked for, which explains each. Times are seconds.

    Raises ``ConfigurationError`` for neither a password nor a key.
    """

    name: str = LATEST
    store: StoreSettings
    scratch: ScratchMaker
    password: str | None = field(default=None, repr=False)
    keys: Keys = NO_KEYS
    database: PostgresSettings | None = None
    vault: VaultSettings | None = None
    checks: tuple[DrillCheck, ...] = ()
    reports: Path | None = None
    restore_within: float | None = None
    not_older_than: float | None = None
    show_paths: bool = False
    trigger: Trigger = "manual"
    requested_by: str = ""
    timeout: float = JOB_TIMEOUT

    def __post_init__(self) -> None:
        check_reading(self.password, self.keys)
