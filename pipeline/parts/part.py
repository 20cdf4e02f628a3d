"""The life of a part: what a backup takes it from, what a restore puts it into, what a dry run says of it.

Each of the three classes does nothing as it stands: it is the part that a job leaves alone. ``database`` and ``vault``
make of it what they need.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from ...formats.v2.recorded import Recorded
from ..engine import Inlet, Outlet, drain, nothing

if TYPE_CHECKING:
    from ...formats.v2.chunks import Chunk
    from ...stages.vault.incremental.taking import Found
    from ..archives.reading import Verified
    from ..job import Job
    from ..reports.findings import Findings

T = TypeVar("T")

#: For a part around which nothing is recorded.
NOTHING = Recorded()
#: A transaction that decides over everything: what ``txid_status`` knows it by, and its database.
Transaction: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a test of a connection found: what a backup and a restore lack, what it is, the next step, and warnings."""

    backup: tuple[str, ...]
    restore: tuple[str, ...]
    detail: str
    hint: str = ""
    warnings: tuple[str, ...] = ()


class Part:
    """What the three have in common."""

    #: Whether the job does anything with it.
    used: ClassVar[bool] = False
    #: Who is asked, as a time-out says it.
    asks: ClassVar[str] = ""

    async def check(self, stack: AsyncExitStack) -> None:
        """Connect until ``stack`` is left, and ask for what can be known before anything is read.

        Raises the errors of its server.
        """


class BackupPart(Part, Generic[T]):
    """Where a part of an archive comes from."""

    #: Bytes that there are on disk, as far as that is known.
    estimate = 0

    #: What stands around it, for format V2, likewise.
    recorded: Recorded = NOTHING

    #: The stage that reads it, from ``check`` on.
    source: Callable[[Outlet[T]], Awaitable[None]] = staticmethod(nothing)

    #: Stages that read the rest of it, likewise: chunks of format V2 that are put into what ``source`` gives.
    others: Sequence[Callable[[Outlet[Chunk]], Awaitable[None]]] = ()

    async def look_back(self, find: Callable[[], Awaitable[Found]]) -> None:
        """After ``check``: take from an earlier archive, which ``find`` looks for, what did not change since."""

    def report(self) -> dict[str, Any]:
        """Its fields of ``BackupReport``, when everything was read."""
        return {}

    def warnings(self) -> Iterable[str]:
        """What an operator should know, likewise."""
        return ()


class RestorePart(Part, Generic[T]):
    """Where a part of an archive goes. The methods are called in the order in which they stand."""

    #: The sink of the first reading, which may refuse what the second could not write.
    look: Callable[[Inlet[T]], Awaitable[None]] = staticmethod(drain)
    #: The stage that writes it without committing, from ``open`` on.
    sink: Callable[[Inlet[T]], Awaitable[None]] = staticmethod(drain)
    #: The transaction that decides over everything, likewise.
    transaction: Transaction | None = None

    async def guard(self, job: Job, stack: AsyncExitStack, archive: str, rolled_back: Callable[[], bool]) -> None:
        """Put back what was written if ``stack`` is left before ``committed``.

        ``rolled_back`` says whether the deciding transaction is known to have left nothing.
        """

    def rolled_back(self) -> bool:
        """Whether its server said that its transaction left nothing."""
        return False

    def check_archive(self) -> None:
        """Refuse, after the first reading, what nobody can want."""

    async def open(self, stack: AsyncExitStack, verified: Verified) -> None:
        """Be ready to write; ``verified`` is what the archive holds."""

    def progress(self) -> dict[str, int]:
        """What it counts better than the edges do."""
        return {}

    async def committing(self, transaction: Transaction | None) -> None:
        """Remember, before its COMMIT, which transaction decides."""

    async def commit(self) -> None:
        """Commit."""

    def committed(self) -> None:
        """Forget how to put back: everything is committed."""

    async def finish(self, job: Job, seconds: float) -> None:
        """What is done when everything is committed, within so many seconds."""

    def report(self, verified: Verified) -> dict[str, Any]:  # noqa: ARG002 - for those that are used
        """Its fields of ``RestoreReport``."""
        return {}

    def warnings(self) -> Iterable[str]:
        """What an operator should know."""
        return ()


class DryRunPart(Part, Generic[T]):
    """What a restore would do with a part of an archive. ``check`` raises as a restore would."""

    #: Whether the characters of the SQL are to be gathered, for a database that may lack some.
    characters = False

    #: The sink of the only reading, which compares, from ``check`` on.
    look: Callable[[Inlet[T]], Awaitable[None]] = staticmethod(drain)

    async def compare(self, job: Job, verified: Verified, findings: Findings) -> None:
        """Compare what remains, and add to the ``findings``."""

    def report(self) -> dict[str, Any]:
        """Its fields of ``RestorePlan``."""
        return {}

    def load(self, verified: Verified) -> dict[str, Any]:  # noqa: ARG002 - for those that are used
        """What it adds to the time of a restore: its arguments of ``estimate``."""
        return {}
