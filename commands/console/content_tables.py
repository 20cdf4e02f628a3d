"""What an archive holds, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from ...pipeline.reports import words
from .tables import contents, facts, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...pipeline.reports.contents import FullContents


def held(found: FullContents) -> Iterator[RenderableType]:
    """Everything of ``contents``."""
    header = found.header
    pairs = {"archive": f"{found.name}, {words.size(found.size)}, format V{header.version}", **contents(header)}
    if header.includes_db:
        number, rows = words.count(len(found.tables), "table"), words.count(found.rows, "row")
        pairs["database"] = f"{words.size(found.sql_bytes)} of SQL, {number}, {rows}"
        for name, named in (("extensions", found.extensions), ("schemas", found.schemas), ("roles", found.roles)):
            pairs[name] = ", ".join(named) or "none named"
        if not found.kinds:
            pairs["objects"] = "unknown: the SQL has no comments of pg_dump"
    if header.includes_kv:
        pairs["secrets"] = f"{found.secrets:,}"
    if header.version == 2:
        pairs["note"] = "By its index and statements: `kleidia-backup verify` reads the rest."
    yield facts("The archive holds", pairs)
    if found.tables:
        made = table("table", "rows", "bytes")
        for each in found.tables:
            rows = "not there" if each.rows is None else f"{each.rows:,}"
            made.add_row(Text(words.printable(each.name)), rows, "" if each.bytes is None else words.size(each.bytes))
        yield made
    if found.kinds:
        made = table("kind of object", "number")
        for kind, many in found.kinds.items():
            made.add_row(Text(words.printable(kind)), f"{many:,}")
        yield made
    if found.secret_paths is not None:
        yield Text("secrets", style="bold")
        yield from (words.printable(path) for path in found.secret_paths)
        if found.paths_left_out:
            yield f"and {found.paths_left_out:,} more"
