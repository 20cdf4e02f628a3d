"""What is different, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from ...pipeline.reports import words
from .tables import facts, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.reports.diff import DiffReport

_CHANGES = {"new": "new", "gone": "gone", "rows": "other number of rows", "content": "other rows, or another order"}


def compared(report: DiffReport) -> Iterator[RenderableType]:
    """Everything of ``diff``."""
    pairs = {"from": report.old, "to": report.new, "compared": " and ".join(report.compared)}
    if "database" in report.compared:
        pairs["tables"] = words.count(len(report.tables), "difference")
        if report.counted_alone:
            pairs["tables"] += f"; {report.counted_alone:,} counted as equal, without a look at what their rows hold"
        if report.uncompared:
            pairs["not compared"] = f"the rows of {', '.join(report.uncompared)}, which one side does not hold"
        pairs["schema"] = "equal" if report.schema_equal else "different"
        if report.schema is None:
            pairs["schema"] += ", and too large for a diff"
    if "vault" in report.compared:
        counts = {
            "new": report.secrets_new,
            "gone": report.secrets_gone,
            "changed": report.secrets_changed,
            "with other metadata": report.secrets_metadata,
            "with other versions": report.secrets_versions,
        }
        said = [f"{len(paths):,} {name}" for name, paths in counts.items() if paths or " " not in name]
        pairs["secrets"] = f"{', '.join(said)}, {report.secrets_equal:,} equal"
    yield facts("Nothing is different" if report.equal else "There are differences", pairs)
    if report.tables:
        made = table("table", "before", "after", "")
        for each in report.tables:
            rows = ("" if rows is None else f"{rows:,}" for rows in (each.old_rows, each.new_rows))
            made.add_row(Text(words.printable(each.name)), *rows, _CHANGES[each.change])
        yield made
    for sign, paths in (("+", report.secrets_new), ("-", report.secrets_gone), ("!", report.secrets_changed)):
        yield from (f"{sign} secret {words.printable(path)}" for path in paths)
    for what, paths in (("metadata", report.secrets_metadata), ("versions", report.secrets_versions)):
        yield from (f"! {what} of secret {words.printable(path)}" for path in paths)
    yield from map(_line, report.schema or ())


def _line(text: str) -> str:
    """A line of the diff as it is, but for what a terminal would obey."""
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
