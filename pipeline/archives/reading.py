"""What a job may do with an archive of any format: look at all that it needs to know, then read it again and use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ...formats.secret import Secret
from ...formats.v2.recorded import Recorded
from ...stages.errors import ObjectChanged, OtherSystem
from ..engine import Edge, Inlet, Pipeline, StageSnapshot, drain

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...formats.sql.pieces import Text
    from ...formats.v2.index import Index
    from ...formats.v2.keys.pairs import VerifyKey
    from ...stages.archive.fingerprint import Fingerprint
    from ...stages.pg.survey import SqlFacts, SqlSurvey
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..job import Job
    from ..parts.keys import Keys
    from ..parts.names import PartName

#: A sink that looks at each secret, and may refuse.
Look: TypeAlias = Callable[[Inlet[Secret]], Awaitable[None]]
#: A sink that looks at the SQL.
LookAtSql: TypeAlias = "Callable[[Inlet[Text]], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Reading:
    """An archive on its way through a pipeline: its ciphertext, and the two edges that it ends in."""

    ciphertext: Edge[bytes]
    sql: Edge[Text]
    secrets: Edge[Secret]

    def progress(self) -> dict[str, int]:
        """How far it is."""
        return {
            "archive_bytes": self.ciphertext.bytes,
            "sql_bytes": self.sql.bytes,
            "secrets": self.secrets.items,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What an archive holds, that was looked at: what its SQL names, how much there is, and where the time went.

    ``sql_first`` says whether the SQL ended before the first secret. By ``marks`` another reading of format V1 is known
    to be the same.
    """

    facts: SqlFacts
    sql_bytes: int
    secrets: int
    stages: tuple[StageSnapshot, ...]
    sql_first: bool = True
    marks: Fingerprint | None = None

    @property
    def tables(self) -> int:
        """How many tables the SQL creates."""
        return len(self.facts.tables)

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(self.facts.rows.values())


class OpenArchive(ABC):
    """An archive whose key is known; pinned to one version of the object."""

    store: ObjectStore
    info: ObjectInfo

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info.name})"

    @property
    @abstractmethod
    def header(self) -> Facts:
        """What it says of itself in clear text."""

    @property
    def index(self) -> Index | None:
        """The list of its chunks, which format V1 has not."""
        return None

    @property
    def signer(self) -> VerifyKey | None:
        """Who signed it, if anybody did."""
        return None

    @property
    @abstractmethod
    def ciphertext_size(self) -> int:
        """Bytes of ciphertext."""

    @abstractmethod
    async def look(
        self,
        job: Job,
        secrets: Look,
        *,
        sql: LookAtSql = drain,
        characters: bool = False,
        only: PartName | None = None,
    ) -> Verified:
        """What a restore has to know before it writes; ``secrets`` may look at each secret, and refuse.

        ``sql`` may look at the SQL, of which format V2 gives the statements besides COPY alone, and no rows.
        Of the part that who needs ``only`` the other does not use, facts may be missing (see ``wire``).
        ``characters`` asks for those of the SQL (see ``SqlFacts``). Raises ``WrongPassword`` and ``DamagedArchive``.
        """

    @abstractmethod
    async def verify(self, job: Job, survey: SqlSurvey | None = None) -> Verified:
        """Read it to its last byte, and check everything that a restore relies on. Raises as ``look``.

        ``survey`` sees all of the SQL, rows too: one that gathers more than the usual.
        """

    async def recorded(self) -> Recorded:
        """What stands around its data, which format V1 has no place for. Raises ``DamagedArchive``."""
        return Recorded()

    @abstractmethod
    def wire(self, pipeline: Pipeline, verified: Verified | None, *, only: PartName | None = None) -> Reading:
        """Add a reading to a pipeline, of which nothing comes out that ``look`` would not have let through.

        Who needs ``only`` one part saves the reading of the other, where the format knows where it is. Chosen secrets
        that ``look`` has kept are not read again. ``verified`` is what ``look`` or ``look_first`` gave.
        """

    async def look_first(self, job: Job) -> Verified | None:
        """What ``wire``, ``wire_schema`` and ``wire_rows`` have to know; None where nothing. Raises as ``look``."""
        return await self.look(job, drain, only="database")

    def wire_schema(self, pipeline: Pipeline, known: Verified | None, survey: SqlSurvey) -> Reading:
        """As ``wire``, of the SQL alone; the rows of COPY statements may be missing, with these statements.

        ``survey`` sees it as it passes, unless ``known`` has its facts.
        """
        assert known is not None
        survey.facts = known.facts
        return self.wire(pipeline, known, only="database")

    def wire_rows(self, pipeline: Pipeline, verified: Verified | None, wanted: Callable[[str], bool]) -> Reading:  # noqa: ARG002 - format V1 is read whole
        """As ``wire``, of the rows of the COPY statements that are ``wanted``; there may be anything else as well.

        ``verified`` is only needed where there is no index.
        """
        assert verified is not None
        return self.wire(pipeline, verified, only="database")

    def read_by(self, only: PartName | None) -> int:  # noqa: ARG002 - format V1 is read whole
        """Bytes of ciphertext that ``wire`` reads."""
        return self.ciphertext_size

    @abstractmethod
    async def check_password(self) -> None:
        """Refuse a password that does not open its beginning, quickly. Raises ``WrongPassword``."""

    def check_signer(self, keys: Keys) -> None:  # noqa: B027 - format V1 has none
        """Refuse an archive that must not be restored because of who made it. Raises ``UnknownSigner``."""

    def check_system(self, here: str) -> None:
        """Refuse another installation's archive, where both say who they are. Raises ``OtherSystem``."""
        made_by = self.header.system
        if made_by and here and made_by != here:
            raise OtherSystem(
                f"The archive is of the system {made_by!r}, and this one is {here!r}.",
                hint="Look at the archive's name and at system in [backup]. If this is meant, restore it with "
                "--from-other-system.",
                system=made_by,
                here=here,
            )

    @abstractmethod
    async def check_unchanged(self) -> None:
        """Raises ``ObjectChanged`` unless it is the same object still."""


def changed(info: ObjectInfo) -> ObjectChanged:
    """The error for an archive that is no longer what was opened."""
    return ObjectChanged(
        f"The archive {info.name} was replaced while it was being read.",
        hint="Find out who writes to this place, then start again.",
        effect="nothing",
    )
