"""Which parts there are, and which of them a job has. Only what it uses is imported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ...stages.errors import ConfigurationError
from .part import BackupPart, DryRunPart, Part, RestorePart, Rights

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...formats.secret import Secret
    from ...formats.sql.pieces import Text
    from ...stages.extract.choose import Choose
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.vault.kv.settings import VaultSettings
    from ..job import Job
    from .names import PartName
    from .request import BackupRequest, RestoreRequest


D = TypeVar("D", bound=Part)
V = TypeVar("V", bound=Part)


@dataclass(slots=True)
class Parts(Generic[D, V]):
    """Those of one job, in the order in which they are asked.

    ``left_alone`` are parts of the archive that have no target, and that nobody left out on purpose.
    """

    database: D
    vault: V
    left_alone: tuple[PartName, ...] = ()

    def __iter__(self) -> Iterator[D | V]:
        yield self.database
        yield self.vault

    async def each(self, job: Job, do: Callable[[D | V], Awaitable[None]]) -> None:
        """Do something with one after the other."""
        for part in self:
            with job.asking(part.asks):
                await do(part)

    @property
    def only(self) -> PartName | None:
        """The part that is used alone, if it is."""
        if self.database.used and self.vault.used:
            return None
        return "database" if self.database.used else "vault"

    def fields(self, of: Callable[[D | V], dict[str, Any]]) -> dict[str, Any]:
        """What each has to say, as fields of one report."""
        return {name: value for part in self for name, value in of(part).items()}


Sources: TypeAlias = "Parts[BackupPart[Any], BackupPart[Secret]]"
Targets: TypeAlias = "Parts[RestorePart[Text], RestorePart[Secret]]"
Comparisons: TypeAlias = "Parts[DryRunPart[Text], DryRunPart[Secret]]"


def sources(request: BackupRequest) -> Sources:
    """What a backup takes."""
    parts: Sources = Parts(BackupPart(), BackupPart())
    if request.database is not None:
        from .database import DatabaseBackup

        cut = request.format == "v2"
        parts.database = DatabaseBackup(request.database, include_audit=request.include_audit, cut=cut)
    if request.vault is not None:
        from .vault import VaultBackup

        parts.vault = VaultBackup(
            request.vault, allow_unreadable=request.allow_unreadable, metadata=request.format != "v1"
        )
    return parts


def targets(header: Facts, request: RestoreRequest) -> Targets:
    """Where a restore puts an archive. Raises ``ConfigurationError`` when there is nothing to do, or not as asked."""
    chosen, left_alone = _choose(header, request)
    parts: Targets = Parts(RestorePart(), RestorePart(), left_alone)
    if "database" in chosen and request.database is not None:
        from .database_target import DatabaseRestore

        parts.database = DatabaseRestore(request.database, header, request.search_path)
    if "vault" in chosen and request.vault is not None:
        from .vault import VaultRestore

        parts.vault = VaultRestore(request.vault, request)
    return parts


def comparisons(header: Facts, request: RestoreRequest) -> Comparisons:
    """The same for a dry run. Raises as ``targets``."""
    chosen, left_alone = _choose(header, request)
    parts: Comparisons = Parts(DryRunPart(), DryRunPart(), left_alone)
    if "database" in chosen and request.database is not None:
        from .database_target import DatabaseDryRun

        parts.database = DatabaseDryRun(request.database, header, request.search_path)
    if "vault" in chosen and request.vault is not None:
        from .vault import VaultDryRun

        parts.vault = VaultDryRun(request.vault, prune=request.prune, chosen=bool(request.secrets))
    return parts


@contextmanager
def importing(request: RestoreRequest) -> Iterator[None]:
    """Import what ``targets`` and ``comparisons`` will need while this is entered, in a thread of its own.

    For the time in which a password becomes a key: that is as long, and needs no interpreter.
    """
    thread = Thread(target=_import, args=(request,))
    thread.start()
    try:
        yield
    finally:
        thread.join()  # who imports next would wait for it as well


def _import(request: RestoreRequest) -> None:
    with suppress(Exception):  # raised again where it is needed
        if request.database is not None and request.only != "vault":
            from . import database_target  # noqa: F401
        if request.vault is not None and request.only != "database":
            from . import vault  # noqa: F401


def chosen(request: RestoreRequest) -> Choose | None:
    """What lets the chosen secrets pass, when there are some. Raises ``ConfigurationError``."""
    if not request.secrets:
        return None
    from ...stages.extract.choose import Choose

    return Choose(request.secrets, request.to)


def connections(
    database: PostgresSettings | None, vault: VaultSettings | None
) -> Iterator[tuple[PartName, Callable[[], Awaitable[Rights]]]]:
    """How each part that is given is tested."""
    if database is not None:
        from .database import rights as of_role

        yield "database", partial(of_role, database)
    if vault is not None:
        from .vault import rights as of_token

        yield "vault", partial(of_token, vault)


def _choose(header: Facts, request: RestoreRequest) -> tuple[list[PartName], tuple[PartName, ...]]:
    """The parts to restore, and those that are left alone for lack of a target."""
    included: Mapping[PartName, bool] = {"database": header.includes_db, "vault": header.includes_kv}
    settings: Mapping[PartName, object] = {"database": request.database, "vault": request.vault}
    only = request.only
    if only is not None:
        if not included[only]:
            raise ConfigurationError(
                f"The archive has no {only} part: it is of type {header.backup_type}.",
                hint="Choose the other part, or another archive.",
            )
        if settings[only] is None:
            raise ConfigurationError(f"There is no {only} to restore to.", hint=f"Configure [{only}].")
    wanted = [part for part in included if included[part] and only in {None, part}]
    chosen = [part for part in wanted if settings[part] is not None]
    if not chosen:
        raise ConfigurationError(
            f"There is nothing to restore: the archive is of type {header.backup_type}.",
            hint="Configure [database], [vault] or both, as the archive has them.",
        )
    if request.prune and "vault" not in chosen:
        raise ConfigurationError(
            "Secrets can only be removed by a restore of the vault.", hint="Restore the vault too, or do not prune."
        )
    return chosen, tuple(part for part in wanted if part not in chosen)
