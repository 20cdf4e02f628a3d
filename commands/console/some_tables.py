"""Some tables of an archive, for people: what a restore of them did, or would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from ...pipeline.reports import words
from .tables import contents, ended, facts, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.reports.tables import TablePlan, TablesPlan, TablesReport

#: What would become of the tables.
_HOW = {
    "rows replaced": "they are as the archive has them: their rows would be replaced, all else stays",
    "replaced": "they would be dropped and made anew",
    "made": "they would be made",
}
#: Names shown of each kind.
_MOST = 20


def restored(report: TablesReport) -> Iterator[RenderableType]:
    """Tables that came back."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **contents(report.header), "how": report.how}
    if report.backup:
        pairs["backup before"] = report.backup
    for each in report.tables:
        copy = "" if each.restored_as == each.name else f" as {each.restored_as}"
        pairs[each.name] = f"{words.count(each.rows, 'row')}{copy}"
    yield facts("Tables restored", {**pairs, **ended(report)})


def planned(plan: TablesPlan) -> Iterator[RenderableType]:
    """What a restore of tables would do, and what would stop it."""
    pairs = {"archive": f"{plan.name}, {words.size(plan.size)}", **contents(plan.header), "the tables": _HOW[plan.how]}
    for what, names in (
        ("foreign keys made again", plan.keys),
        ("dropped and made again", plan.remade),
        ("dropped with their table", plan.dropped),
    ):
        if names:
            more = f"; and {len(names) - _MOST} more" if len(names) > _MOST else ""
            pairs[what] = "; ".join(names[:_MOST]) + more
    yield facts("A restore would do this; nothing was written", pairs)
    made = table("table", "rows in the archive", "rows now")
    for each in plan.tables:
        name = each.name if each.restored_as == each.name else f"{each.name} as {each.restored_as}"
        made.add_row(Text(words.printable(name)), f"{each.rows_archive:,}", _now(each))
    yield made
    for blocker in plan.blockers:
        yield f"It would fail: {words.printable(blocker)}"


def _now(each: TablePlan) -> str:
    if each.rows_now is None:
        return ""
    return f"{each.rows_now:,}" if each.exact else f"about {each.rows_now:,}"
