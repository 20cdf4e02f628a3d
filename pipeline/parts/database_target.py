"""The PostgreSQL database as a part of a restore: written in one transaction, or compared by a dry run."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from ...formats.sql.pieces import Text
from ...stages.pg.inventory.inventory import Inventory, take_inventory
from ...stages.pg.server.lock import hold_database
from ...stages.pg.server.preflight import DatabaseFacts, check_restore
from ...stages.pg.server.questions import answered
from ...stages.pg.session import RestoreSession, open_session
from ...stages.words import DATABASE
from .part import DryRunPart, RestorePart

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.server.settings import PostgresSettings
    from ..archives.reading import Verified
    from ..job import Job
    from ..reports.findings import Findings


class DatabaseRestore(RestorePart[Text]):
    """In one transaction."""

    used = True
    asks = DATABASE
    sink: RestoreSession

    def __init__(self, settings: PostgresSettings, header: Facts, search_path: tuple[str, ...]) -> None:
        self._settings = settings
        self._preserve = _preserved(settings, header)
        self._search_path = search_path

    async def check(self, stack: AsyncExitStack) -> None:
        """As in ``RestorePart``; no other job works on the database until ``stack`` is left."""
        await check_restore(self._settings)
        await stack.enter_async_context(hold_database(self._settings, "restore"))

    def rolled_back(self) -> bool:
        """As in ``RestorePart``."""
        return self.transaction is not None and self.sink.report.rolled_back

    async def open(self, stack: AsyncExitStack, verified: Verified) -> None:
        """Begin the transaction."""
        self.sink = await stack.enter_async_context(
            open_session(
                self._settings,
                preserve=self._preserve,
                facts=verified.facts,
                search_path=self._search_path,
            )
        )
        self.transaction = self.sink.transaction, self._settings.identity()

    async def commit(self) -> None:
        """As in ``RestoreSession``."""
        await self.sink.commit()

    def report(self, verified: Verified) -> dict[str, Any]:
        """As in ``RestorePart``."""
        return {
            "sql_bytes": verified.sql_bytes,
            "tables": verified.tables,
            "rows": verified.rows,
            "preserved": tuple(map(str, self.sink.report.preserved)),
        }

    def warnings(self) -> list[str]:
        """As in ``RestorePart``."""
        return self.sink.report.warnings


class DatabaseDryRun(DryRunPart[Text]):
    """By questions about what the survey of the SQL found."""

    used = True
    asks = DATABASE
    _facts: DatabaseFacts
    _inventory: Inventory

    def __init__(self, settings: PostgresSettings, header: Facts, search_path: tuple[str, ...]) -> None:
        self._settings = settings
        self._preserve = _preserved(settings, header)
        self._search_path = search_path

    async def check(self, stack: AsyncExitStack) -> None:  # noqa: ARG002 - nothing is held
        """Raises as a restore would, but for what the plan says of the server."""
        self._facts = await check_restore(self._settings, writes=False)
        self.characters = self._facts.encoding not in ("UTF8", "SQL_ASCII")

    async def compare(self, job: Job, verified: Verified, findings: Findings) -> None:  # noqa: ARG002 - no pipeline
        """As in ``DryRunPart``."""
        facts, limit = verified.facts, self._settings.query_timeout
        self._inventory = await answered(
            take_inventory, self._settings, facts, self._preserve, self._search_path, limit=limit
        )
        findings.database(self._inventory, self._facts, truncated=facts.truncated)

    def report(self) -> dict[str, Any]:
        """As in ``DryRunPart``."""
        return {"database": self._inventory}

    def load(self, verified: Verified) -> dict[str, Any]:
        """As in ``DryRunPart``."""
        return {"sql_bytes": verified.sql_bytes}


def _preserved(settings: PostgresSettings, header: Facts) -> tuple[str, ...]:
    """The tables that keep their rows: those of the audit log too, when the archive has none of them."""
    return settings.preserve + (() if header.includes_audit else settings.audit)
