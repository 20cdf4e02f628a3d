"""Some tables as a part: which ones are meant, which must not be, and what is planned for them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError, RestoreFailed
from ...stages.pg.server.connect import connect, one
from ...stages.pg.server.questions import answered
from ...stages.pg.server.settings import CONTROL_SCHEMA, PostgresSettings, Table
from ...stages.pg.tables.definition import Definition, define, find_tree, named_parts, owned_sequences
from ...stages.pg.tables.dependents import describe
from ...stages.pg.tables.live import Live, look
from ...stages.pg.tables.partitions import alone, ancestors, behind, detach
from ...stages.pg.tables.renamed import LONGEST, names_in, rename
from ...stages.pg.tables.session import Plan

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.server.tools import Tool
    from ...stages.pg.tables.definition import Relation
    from ...stages.pg.tables.schema import SchemaSession

#: Names that are suggested.
_MOST = 5
_NOTHING = Definition((), (), (), ())


@dataclass(slots=True)
class Wanted:
    """Tables that are asked for, and the name of a copy, if one is to be made beside the first of them."""

    settings: PostgresSettings
    tables: Sequence[Table]
    copy: Table | None = None
    warnings: list[str] = field(default_factory=list)

    async def check_copy(self) -> set[str]:
        """Refuse a copy that has no place in the target; the names there that its parts must not have.

        Raises ``ConfigurationError`` and ``DatabaseError``.
        """
        if self.copy is None:
            return set()
        copy, limit = self.copy, self.settings.query_timeout
        if len(copy.name.encode(errors="replace")) > LONGEST:
            raise ConfigurationError(
                f"PostgreSQL keeps {LONGEST} bytes of a name, and that of the copy is longer.",
                hint="Choose a shorter one.",
                effect="nothing",
            )
        taken = await answered(names_in, self.settings, copy.schema, limit=limit)
        if copy.name in taken:
            raise ConfigurationError(
                f"There is a {copy} already, and a copy replaces nothing ({self.settings.where()}).",
                hint="Choose another name, or drop what has it.",
                effect="nothing",
            )
        return taken

    async def plan(
        self, scratch: PostgresSettings, schema: SchemaSession, tool: Tool, facts: Facts, copied: Collection[Table]
    ) -> Plan:
        """What is to be done, by the archive's schema in the scratch database; ``copied`` have rows in the archive.

        Raises ``ConfigurationError`` for a table that has no rows in archives, ``RestoreFailed`` for one that cannot be
        made, ``DatabaseError``.
        """
        taken = await self.check_copy()
        relations = await self._tree(scratch)
        self._check(schema, relations, await self._parts(scratch, relations), facts)
        await self._check_rows(scratch, relations, copied)
        if self.copy is None:
            definition = await define(scratch, tool, relations)
            live = await look(self.settings, tool, self.tables)
            released = await self._known(scratch, live.definition.owned - definition.owned)
            plan = Plan(definition, {each: each for each in definition.tables}, live, released)
            if plan.keep:
                return plan
            plan = replace(plan, live=replace(live, dependents=await describe(self.settings, tool, live.dependents)))
            parts = alone(relations)
            return await self._attached(scratch, tool, plan, parts) if parts else plan
        renamed = await answered(rename, scratch, self.tables[0], self.copy, taken, limit=self.settings.query_timeout)
        self.warnings += renamed.warnings
        relations = await self._tree(scratch, [self.copy])
        return Plan(await define(scratch, tool, relations), renamed.names, Live(_NOTHING))

    async def _attached(self, scratch: PostgresSettings, tool: Tool, plan: Plan, parts: Sequence[Relation]) -> Plan:
        """The plan for partitions that are made by themselves, and attached to tables that do not come back."""

        def missing() -> list[str]:
            with connect(self.settings) as connection:
                question = "SELECT to_regclass(%s) IS NOT NULL"
                return [each.above[0] for each in parts if not one(connection, question, (each.above[0],))[0]]

        for above in await answered(missing, limit=self.settings.query_timeout):
            raise RestoreFailed(
                f"The table {above} is not there, of which one that is asked for is a partition.",
                hint=f"Restore {above}, or make a copy of the partition (--as).",
                effect="nothing",
            )
        attach = await answered(detach, scratch, parts, limit=self.settings.query_timeout)
        definition = await define(scratch, tool, await self._tree(scratch))
        statements = (*attach, *behind(plan.definition, definition))
        into = tuple(dict.fromkeys(each.above[0] for each in parts))
        return replace(plan, definition=definition, attach=statements, above=into)

    async def _tree(self, scratch: PostgresSettings, tables: Sequence[Table] = ()) -> list[Relation]:
        def ask() -> list[Relation]:
            with connect(scratch) as connection:
                return find_tree(connection, tables or self.tables)

        return await answered(ask, limit=self.settings.query_timeout)

    async def _parts(self, scratch: PostgresSettings, relations: Sequence[Relation]) -> list[Table]:
        """What has a name of its own and is a part of them: sequences, indexes, extended statistics."""

        def ask() -> list[Table]:
            with connect(scratch) as connection:
                named = named_parts(connection, relations)
                return [*owned_sequences(connection, relations), *(name for _, name in named)]

        return await answered(ask, limit=self.settings.query_timeout)

    async def _known(self, scratch: PostgresSettings, sequences: Collection[Table]) -> tuple[Table, ...]:
        """Those of the sequences that the archive has, apart from the tables that come back."""

        def ask() -> tuple[Table, ...]:
            with connect(scratch) as connection:
                question = "SELECT to_regclass(%s) IS NOT NULL"
                return tuple(each for each in sorted(sequences) if one(connection, question, (str(each),))[0])

        return await answered(ask, limit=self.settings.query_timeout) if sequences else ()

    async def _check_rows(
        self, scratch: PostgresSettings, relations: Sequence[Relation], copied: Collection[Table]
    ) -> None:
        """Refuse what would be emptied, since the archive has no COPY of it, were it of no row.

        pg_dump copies a partition into the uppermost table where the partitions go by a hash of an enum, which is
        another one in each database. It copies no unlogged table of a standby.
        """
        without = [each for each in relations if each.kind == "r" and each.table not in copied]
        found = await answered(ancestors, scratch, without, limit=self.settings.query_timeout) if without else []
        ours = {each.table for each in relations}
        for each, tables in zip(without, found, strict=True):
            above = next((table for table in tables if table in copied), None)
            if above in ours:
                continue
            raise ConfigurationError(
                f"The archive has no rows of {each.table} by itself"
                + (f", only those of {above} together." if above else "."),
                hint=f"Restore {above}, and its partitions with it." if above else "Look for an archive with its rows.",
                effect="nothing",
            )

    def _check(
        self, schema: SchemaSession, relations: Sequence[Relation], parts: Sequence[Table], facts: Facts
    ) -> None:
        found = {each.table for each in relations}
        for table in (*self.tables, *found, *parts):
            if refused := schema.about(table):
                what = "part" if table in parts else "table"
                raise RestoreFailed(
                    f"The {what} {table} cannot be made on this server: {refused.reason()}.",
                    hint="Install or make what is missing there, or restore on a server like that of the backup.",
                )
        if missing := [table for table in self.tables if table not in found]:
            raise RestoreFailed(
                f"The archive's SQL makes no table {missing[0]}.", hint="`kleidia-backup verify` reads the archive."
            )
        for away in schema.tablespaces_of(found):
            self.warnings.append(
                f"The tablespace {away} is not on this server: what the archive has there goes to the default one."
            )
        names = self.settings.preserve + (() if facts.includes_audit else self.settings.audit)
        for each in relations:
            if any(Table.parse(name).matches(each.table) for name in names):
                raise ConfigurationError(
                    f"The table {each.table} has no rows in the archive: restores preserve it, or its rows were left "
                    "out.",
                    hint="Look for an archive with its rows, or leave it out.",
                    effect="nothing",
                )


def meant(text: Sequence[str], archive: Collection[Table]) -> list[Table]:
    """The tables of an archive that are meant by names, with a schema or, where one alone has the name, without.

    Raises ``ConfigurationError`` for a name that the archive does not have, with the nearest, and for one that several
    have.
    """
    found: dict[Table, None] = {}
    for each in text:
        wanted = Table.parse(each)
        if wanted.schema == CONTROL_SCHEMA:
            raise ConfigurationError(
                f"The schema {CONTROL_SCHEMA} holds the product's own tables: no archive has them.",
                hint="Name a table of the application.",
                effect="nothing",
            )
        matching = sorted(table for table in archive if wanted.matches(table))
        if len(matching) > 1:
            raise ConfigurationError(
                f"The archive has several tables {wanted.name}: {_listed(matching)}.",
                hint="Write the one that is meant with its schema.",
                effect="nothing",
            )
        if not matching:
            near = _nearest(wanted, archive)
            raise ConfigurationError(
                f"The archive has no table {wanted}." + (f" The nearest names: {_listed(near)}." if near else ""),
                hint="`kleidia-backup contents NAME` lists its tables.",
                effect="nothing",
            )
        found[matching[0]] = None
    return list(found)


def _nearest(wanted: Table, archive: Collection[Table]) -> list[Table]:
    names = {each.name: each for each in sorted(archive)} if not wanted.schema else {}
    whole = {f"{each.schema}.{each.name}": each for each in sorted(archive)}
    text = f"{wanted.schema}.{wanted.name}" if wanted.schema else wanted.name
    near = [(names | whole)[each] for each in difflib.get_close_matches(text, [*names, *whole], _MOST)]
    same = [each for each in sorted(archive) if each.name == wanted.name]
    return list(dict.fromkeys([*same, *near]))[:_MOST]


def _listed(tables: Sequence[Table]) -> str:
    return ", ".join(f"{each.schema}.{each.name}" for each in tables)
