"""The target's transaction: some tables come back, and nothing else changes.

A table that is still what the archive has keeps its place: its rows are replaced, and views and all else that depends
on it stay. Another one is dropped and made anew. Foreign keys are dropped before and made again behind: of other tables
as they were, of these as the archive has them. So are views and functions that depend on a table which is made anew, as
they were; when anything else does, the server refuses to drop it. A partition that is made anew is attached at the end.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import anyio

from ....formats.sql.grammar import AUTHORIZATION, head
from ...errors import Busy, RestoreFailed
from ..execution.arrays import array
from ..execution.executor import Executor
from ..preservation.preserve import plan_preservation
from ..preservation.scripts import EXACT, TABLES, WARNINGS
from ..server.questions import answered
from ..server.refusal import DEPENDED, StatementRefused
from ..server.script import script
from ..server.settings import quote_identifier, quote_literal
from ..server.wire import OWN_PATH
from ..session import OURS, RestoreSession, shown_warning
from ..survey import SqlFacts
from .functions import Functions
from .live import SHAPE, Live
from .rows import RowsExecutor

if TYPE_CHECKING:
    from ..preservation.preserve import Preservation
    from ..server.settings import PostgresSettings, Table
    from ..server.wire import Wire
    from .definition import Definition, Relation

E = TypeVar("E", bound=Executor)
#: What becomes of tables: only their rows are replaced, they are made anew in place of others, or made.
How: TypeAlias = Literal["rows replaced", "replaced", "made"]

#: Takes back what the role's default privileges have added to new tables.
_GRANTS = script(__file__, "grants")
_KEYS = script(__file__, "keys")
#: Statements that grant something, and as whom.
_GRANT = re.compile(rb"(?:grant|revoke)\b|" + AUTHORIZATION.pattern, re.IGNORECASE)
#: Triggers of a table that may fire, with their states.
_TRIGGERS = b"""
SELECT pg_catalog.quote_ident(tgname), tgenabled::text FROM pg_catalog.pg_trigger
WHERE tgrelid = $1::pg_catalog.oid AND NOT tgisinternal AND tgenabled <> 'D'
"""
#: Whether policies hold for the owner of a table too.
_FORCED = b"SELECT 1 FROM pg_catalog.pg_class WHERE oid = $1::pg_catalog.oid AND relrowsecurity AND relforcerowsecurity"
#: Foreign keys of other tables that were taken away and are not there again.
_LOST = b"""
SELECT k.rel, k.name, k.make FROM pg_temp.kleidia_fk k WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint f
    WHERE f.contype = 'f' AND f.conrelid = pg_catalog.to_regclass(k.rel) AND f.conname = k.name
) ORDER BY 1, 2
"""
_STATES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes back: the tables as the archive has them, ``names`` of their rows there, and what is there now.

    ``released`` are sequences that the live tables own, and that the archive has apart from them. ``attach`` are
    statements that put partitions into their tables, ``above``.
    """

    definition: Definition
    names: Mapping[Table, Table]
    live: Live
    released: tuple[Table, ...] = ()
    attach: tuple[bytes, ...] = ()
    above: tuple[str, ...] = ()

    @property
    def keep(self) -> bool:
        """Whether the tables keep their place, and only rows are replaced."""
        return bool(self.live.definition.relations) and self.live.definition.is_like(self.definition)

    @property
    def dropped(self) -> tuple[Relation, ...]:
        """What of the live tables is dropped: partitions, and what the archive knows."""
        if self.keep:
            return ()
        known, live = self.definition.tables, self.live.definition.relations
        return tuple(each for each in live if each.kind != "f" and (each.partition or each.table in known))

    @property
    def parted(self) -> tuple[str, ...]:
        """Sentences on tables that belong to another one now, and do not in the archive."""
        above = {each.table: each.above for each in self.definition.relations}
        return tuple(
            f"The table {each.table} is none of {other} in the archive, as it was here: its rows are no longer in that."
            for each in self.dropped
            for other in each.above
            if other not in above.get(each.table, ())
            and not any(f" {other} ATTACH PARTITION {each.table} ".encode() in statement for statement in self.attach)
        )

    @property
    def how(self) -> How:
        """What becomes of the tables."""
        if self.keep:
            return "rows replaced"
        return "replaced" if self.live.definition.relations else "made"


class TablesSession(RestoreSession):
    """Sink stage: the rows of tables, from SQL text that may hold others. Made by ``open_tables``."""

    name = "tables"

    def __init__(
        self, settings: PostgresSettings, preservation: Preservation, plan: Plan, search_path: tuple[str, ...]
    ) -> None:
        name = f"kleidia-restore-{secrets.token_hex(8)}"
        super().__init__(settings, name, preservation, SqlFacts(), search_path)
        #: What comes back.
        self.plan = plan
        self._definers: list[Executor] = []
        self._enable: list[str] = []
        self._functions: Functions | None = None
        #: Rows stored, by table of the target.
        self.stored: dict[Table, int] = {}

    def _begin(self) -> bool:
        alone = super()._begin()
        rows = self._made(RowsExecutor)
        rows.take(self.plan.names, self.stored)
        self._executor = rows
        return alone

    def _before(self) -> None:
        wire, live, plan = self._connected(), self.plan.live, self.plan
        self._locking = monotonic()
        self.report.warnings.clear()  # that triggers fire: ours do not, either way
        wire.script(TABLES + EXACT)
        if not plan.keep and live.dependents.views:  # before the tables: so does who reads one of them
            wire.script(live.dependents.locks)
        if oids := live.definition.relations:
            tables = ", ".join(f"ONLY {each.table}" for each in oids if each.kind != "f")
            wire.script(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            self._check_unaltered(live.oids, live.digests[0])
            wire.script(_KEYS.replace(":tree::", f"{quote_literal(live.oids)}::"))
        if plan.keep:
            self._empty()
        else:
            self._drop_dependents()
            self._drop()
            self._make(plan.definition.before, self._new())
        wire.script(self._path)

    def _after(self) -> None:
        wire, plan = self._connected(), self.plan
        executor = self._executor
        assert executor is not None
        wire.script(OURS)
        for sequence, last, called in plan.definition.sequences:
            wire.execute(
                b"SELECT pg_catalog.setval($1::pg_catalog.regclass, $2::bigint, $3::boolean)::text",
                str(sequence),
                str(last),
                str(called).lower(),
            )
        if plan.keep:
            self._hold_keys()
            wire.script("\n".join(self._enable) or ";")
        else:
            self._define(plan.definition.behind)
        wire.script(OURS)
        for statement in plan.attach:
            self._attach(statement)
        if plan.keep:
            self.report.warnings += [
                f"The {view} shows the rows from before: REFRESH {view.word} {view.quoted};"
                for view in plan.live.dependents.filled
            ]
        else:
            self._make_dependents()
        wire.script(OURS)
        wire.script(self._preservation.keys())
        self._check_keys()
        self.report.warnings += [shown_warning(message) for (message,) in wire.execute(WARNINGS)]
        for each in (*reversed(self._definers), executor):
            self.report.warnings += each.make_checks()
        wire.script(OWN_PATH)
        if not plan.keep:
            self._publish()
        wire.script(self._preservation.last())
        wire.script("SET CONSTRAINTS ALL IMMEDIATE")
        executor.check_transaction()

    def _check_unaltered(self, oids: str, digest: str) -> None:
        ((now,),) = self._connected().execute(SHAPE.encode(), oids)
        if now != digest:
            raise Busy(
                "Somebody altered a table while it was looked at.",
                hint="Start again when nobody alters it.",
                effect="nothing",
            )

    def _empty(self) -> None:
        wire = self._connected()
        relations = [each for each in self.plan.live.definition.relations if each.kind != "f"]
        if self.report.replica and any(each.partition and each.above for each in relations):
            # The keys that a partition has of its table cannot be taken away alone: the server is to check the rows.
            wire.script("SET session_replication_role = origin")
        for each in relations:
            if wire.execute(_FORCED, str(each.oid)):  # COPY takes no rows under policies
                wire.script(f"ALTER TABLE ONLY {each.table} NO FORCE ROW LEVEL SECURITY")
                self._enable.append(f"ALTER TABLE ONLY {each.table} FORCE ROW LEVEL SECURITY;")
            for name, state in wire.execute(_TRIGGERS, str(each.oid)):
                wire.script(f"ALTER TABLE ONLY {each.table} DISABLE TRIGGER {name}")
                self._enable.append(f"ALTER TABLE ONLY {each.table} {_STATES[state]} TRIGGER {name};")
        if tables := ", ".join(f"ONLY {each.table}" for each in relations if each.kind == "r"):
            wire.script(f"TRUNCATE {tables}")

    def _drop_dependents(self) -> None:
        """Drop views and functions that are made again. Raises ``RestoreFailed`` for what else depends on them."""
        wire, plan = self._connected(), self.plan
        dependents = plan.live.dependents
        if dependents.views:
            self._check_unaltered(plan.live.views, plan.live.digests[1])
        gone = [*(each.oid for each in plan.dropped), *(each.oid for each in dependents.views)]
        self._functions = Functions(wire, "{" + ",".join(map(str, gone)) + "}")
        self._functions.drop_free()
        for statement in dependents.drops:
            self._dropped(statement)
        self._undepended(self._functions.drop_rest)

    def _make_dependents(self) -> None:
        """Make them again. Raises ``RestoreFailed`` when one no longer fits the table."""
        wire, dependents, functions = self._connected(), self.plan.live.dependents, self._functions
        if functions is None:
            return
        try:
            wire.script("SET check_function_bodies = off")  # as pg_dump does: names may be found by another path
            functions.make_rest()
            if dependents.views:
                self._make(dependents.statements, array(str(each.name) for each in dependents.views))
                wire.script(self._path)
                for statement in dependents.refreshes:
                    wire.run(statement.encode())
                wire.script(OURS)
            functions.make_free()
        except StatementRefused as exc:
            if exc.lost:
                raise
            raise RestoreFailed(
                f"What depends on the table does not fit it as the archive has it: {head(exc.statement)}: "
                f"{exc.reason()}.",
                hint="Drop what is named and make it anew afterwards, or restore a copy beside the table (--as).",
            ) from exc

    def _attach(self, statement: bytes) -> None:
        """Put a partition back into its table. Raises ``RestoreFailed`` when it does not fit there."""
        try:
            self._connected().run(statement)
        except StatementRefused as exc:
            if exc.lost:
                raise
            raise RestoreFailed(
                f"The partition does not fit the table that it belongs to: {exc.reason()}.",
                hint="Restore that table, or make a copy of the partition (--as).",
            ) from exc

    def _make(self, statements: Sequence[bytes], names: str) -> None:
        """Make what has these names (an array as PostgreSQL writes it), with no grants but those of the statements."""
        self._define([each for each in statements if not _GRANT.match(each)])
        self._connected().script(OWN_PATH + _GRANTS.replace(":names::", f"{quote_literal(names)}::"))
        self._define([each for each in statements if _GRANT.match(each)])

    def _drop(self) -> None:
        """Drop what there is. Raises ``RestoreFailed``."""
        relations = self.plan.dropped
        self.report.warnings += self.plan.parted
        for each in relations:
            if each.table not in self.plan.definition.tables:
                self.report.warnings.append(
                    f"The table {each.table}, which the archive does not know, was dropped with the table that it is a "
                    "partition of."
                )
        if not relations:
            return
        for sequence in self.plan.released:  # or it would go with the table
            self._connected().script(f"ALTER SEQUENCE {sequence} OWNED BY NONE")
        self._dropped(f"DROP TABLE {', '.join(str(each.table) for each in relations)}")

    def _dropped(self, statement: str) -> None:
        self._undepended(lambda: self._connected().script(statement))

    def _undepended(self, drop: Callable[[], None]) -> None:
        """Drop something. Raises ``RestoreFailed``, which names what depends on it."""
        try:
            drop()
        except StatementRefused as exc:
            if exc.code != DEPENDED:
                raise
            found = "; ".join(exc.detail.splitlines()[:20])
            raise RestoreFailed(
                f"The table is not what the archive has, and cannot be replaced while others depend on it: {found}.",
                hint="Drop what is named and make it again afterwards, or restore a copy beside the table (--as).",
            ) from None

    def _check_keys(self) -> None:
        """Raises ``RestoreFailed`` when a foreign key of another table could not be made again."""
        for rel, name, make in self._connected().execute(_LOST):
            raise RestoreFailed(
                f"The foreign key {name} of {rel} cannot be made again: it does not fit the table as the archive has "
                f"it ({make}).",
                hint="Drop that key first, or restore a copy beside the table (--as).",
            )

    def _new(self) -> str:
        """The names of what was made, as PostgreSQL writes an array."""
        definition = self.plan.definition
        return array(map(str, [*definition.tables, *(name for name, *_ in definition.sequences)]))

    def _define(self, statements: Iterable[bytes]) -> None:
        executor = self._made(Executor)
        self._definers.append(executor)
        executor.feed(b"".join(each + b"\n" for each in statements))
        executor.finish()

    def _hold_keys(self) -> None:
        """Remember the foreign keys that the archive has of these tables."""
        for each in (*self.plan.definition.before, *self.plan.definition.behind):
            self._preservation.statement(each)

    def _publish(self) -> None:
        for name, statement in self.plan.live.publications:
            if refused := self._connected().attempt(statement.encode()):
                self.report.warnings.append(
                    f"The publication {name} does not list a table any more that was replaced: {refused.reason()}."
                )

    @property
    def _path(self) -> str:
        """SQL that sets the search path that was asked for, else the empty one, as pg_dump does."""
        path = ", ".join(map(quote_identifier, self._search_path)) or "''"
        return f"SET search_path = {path};"

    def _connected(self) -> Wire:
        assert self._wire is not None
        return self._wire

    def _made(self, kind: type[E]) -> E:
        assert self._cleaning is not None
        wire = self._connected()
        return kind(wire, self._transaction, self._preservation, self._cleaning, self._search_path)


@asynccontextmanager
async def open_tables(
    settings: PostgresSettings, plan: Plan, search_path: tuple[str, ...] = ()
) -> AsyncIterator[TablesSession]:
    """Open the transaction, with everything done that goes before the rows; leaving without ``commit`` rolls it back.

    Raises ``DatabaseUnreachable``, ``DatabaseForbidden``, ``RestoreFailed`` or ``Busy``.
    """
    preservation = await answered(plan_preservation, settings, (), (), limit=settings.query_timeout)
    session = TablesSession(settings, preservation, plan, search_path)
    try:
        await session.begin()
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()
