"""A dry run for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ...pipeline.archives.contents import INDEXED
from ...pipeline.reports import words
from . import tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.reports.plan import RestorePlan, VaultPlan
    from ...stages.pg.inventory.inventory import Action, TableChange

#: Tables and names shown; the rest is counted, and ``--json`` has all of them.
_TABLES, _NAMES = 50, 20

#: What happens to a table, in the order in which they are worth a look.
_ACTIONS: dict[Action, str] = {
    "drop": "dropped with its parent",
    "stay": "stays: not in the archive",
    "preserve": "keeps its rows",
    "create": "created",
    "replace": "dropped and created",
}


def planned(plan: RestorePlan) -> Iterator[RenderableType]:
    """What a restore would do, and what would stop it."""
    pairs = {"archive": f"{plan.name}, {words.size(plan.size)}", **tables.contents(plan.header)}
    if plan.database:
        pairs["database"] = tables.sql(plan)
        pairs["server"] = f"PostgreSQL {plan.database.server}, role {plan.database.role}"
    if plan.vault:
        pairs |= _secrets(plan.vault, prune=plan.prune)
    expected = plan.expected
    pairs["would take"] = f"about {words.seconds(expected.total)}, by a rough estimate"
    # Of a format with an index no rows are read, unless their characters matter: `verify` does that.
    known = (
        "The archive is whole." if plan.header.version < INDEXED else "The archive opens; its rows were not verified."
    )
    yield tables.facts(f"{known} A restore would do this; nothing was written", pairs)
    if plan.database:
        yield from _tables(plan.database.tables)
    for blocker in plan.blockers:
        yield f"It would fail: {words.printable(blocker)}"


def _secrets(vault: VaultPlan, *, prune: bool) -> Iterator[tuple[str, str]]:
    yield "vault", f"{vault.address}: {', '.join(vault.roots)}"
    yield "unchanged secrets", f"{vault.unchanged:,}"
    for what, count, paths in (
        ("new secrets", vault.new, vault.new_paths),
        ("changed secrets", vault.changed, vault.changed_paths),
        ("unreadable secrets", vault.unreadable, vault.unreadable_paths),
    ):
        if count:
            yield what, _some(count, paths)
    if vault.extra is None:
        yield "not in the archive", "unknown: the token may not list"
    elif vault.extra:
        fate = "would be removed" if prune else "would stay"
        yield "not in the archive", f"{_some(vault.extra, vault.extra_paths)}; {fate}"
    yield from tables.own_secrets(vault.own_secrets).items()


def _tables(found: Sequence[TableChange]) -> Iterator[RenderableType]:
    order = list(_ACTIONS)
    made = tables.table("table", "", "rows in the archive", "rows now")
    made.columns[1].justify = "left"
    for each in sorted(found, key=lambda each: order.index(each.action))[:_TABLES]:
        now = "" if each.action == "create" else _rows(each.rows_now, exact=each.exact)
        stored = "" if each.rows_archive is None else f"{each.rows_archive:,}"
        made.add_row(Text(words.printable(each.name)), _ACTIONS[each.action], stored, now)
    if found:
        yield made
    if len(found) > _TABLES:
        yield f"… and {len(found) - _TABLES:,} more tables (--json has all of them)"


def _rows(number: int | None, *, exact: bool) -> str:
    if number is None:
        return "?"
    return f"{number:,}" if exact else f"about {number:,}"


def _some(count: int, paths: Sequence[str]) -> str:
    more = ", …" if count > len(paths[:_NAMES]) else ""
    return f"{count:,}: {', '.join(paths[:_NAMES])}{more}"
