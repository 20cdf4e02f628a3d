"""The comparison of two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..reports.diff import TableDifference
from .marks import gone, other_metadata, other_value, other_versions
from .unified import unified

if TYPE_CHECKING:
    from ...stages.pg.outline import Outline
    from ...stages.pg.server.settings import Table
    from .sides import Side, TableRows

#: Most statements of a schema of which a diff is made.
MOST_STATEMENTS = 100_000


def compare(old: Side, new: Side) -> dict[str, Any]:
    """The differences, as fields of ``DiffReport``."""
    found = {**_tables(old, new), **_secrets(old, new)}
    if old.outline is not None and new.outline is not None:
        found |= _schema(old.outline, new.outline, old.name, new.name)
    different = ("tables", "secrets_new", "secrets_gone", "secrets_changed", "secrets_metadata", "secrets_versions")
    equal = found.get("schema_equal", True) and not any(found[name] for name in different)
    return {**found, "equal": equal, "warnings": (*old.warnings, *new.warnings)}


def _tables(old: Side, new: Side) -> dict[str, Any]:
    changes: list[TableDifference] = []
    uncompared: list[str] = []
    alone = 0
    for table in sorted(old.tables.keys() | new.tables.keys(), key=lambda table: (table.schema, table.name)):
        name, one, other = _shown(table), old.tables.get(table), new.tables.get(table)
        if one is None or other is None:
            present = one or other
            rows = present.rows if present else None
            changes.append(
                TableDifference(
                    name=name,
                    change="new" if one is None else "gone",
                    old_rows=None if one is None else rows,
                    new_rows=rows if one is None else None,
                )
            )
        elif one.rows is None or other.rows is None:
            uncompared += [name] if one.rows != other.rows else []
        elif one.rows != other.rows:
            changes.append(TableDifference(name=name, change="rows", old_rows=one.rows, new_rows=other.rows))
        elif _other_content(one, other):
            changes.append(TableDifference(name=name, change="content", old_rows=one.rows, new_rows=other.rows))
        elif not (one.digest and other.digest):
            alone += 1
    return {"tables": tuple(changes), "uncompared": tuple(uncompared), "counted_alone": alone}


def _other_content(one: TableRows, other: TableRows) -> bool:
    """Whether two sides with as many rows are known to have others, or another order."""
    if one.digest and other.digest:
        return one.digest != other.digest
    return one.bytes is not None and other.bytes is not None and one.bytes != other.bytes


def _shown(table: Table) -> str:
    return f"{table.schema}.{table.name}".lstrip(".")


def _secrets(old: Side, new: Side) -> dict[str, Any]:
    """One that has a value on one side alone is new or gone; the rest is compared where both sides know it."""
    one = {path for path, each in old.secrets.items() if not gone(each)}
    other = {path for path, each in new.secrets.items() if not gone(each)}
    both = one & other
    changed = {path for path in both if other_value(old.secrets[path], new.secrets[path])}
    known = old.secrets.keys() & new.secrets.keys()
    bare = (known - one - other) if old.with_gone and new.with_gone else set()
    state = {path for path in bare if other_value(old.secrets[path], new.secrets[path])}
    if old.with_gone and new.with_gone:  # a key without a value that only one side has
        state |= (old.secrets.keys() ^ new.secrets.keys()) - one - other
    metadata = {path for path in both | bare if other_metadata(old.secrets[path], new.secrets[path])}
    versions = {path for path in both - changed if other_versions(old.secrets[path], new.secrets[path])} | state
    return {
        "secrets_new": tuple(sorted(other - both)),
        "secrets_gone": tuple(sorted(one - both)),
        "secrets_changed": tuple(sorted(changed)),
        "secrets_metadata": tuple(sorted(metadata)),
        "secrets_versions": tuple(sorted(versions)),
        "secrets_equal": len(both - changed - metadata - versions),
    }


def _schema(old: Outline, new: Outline, old_name: str, new_name: str) -> dict[str, Any]:
    if old.digest == new.digest:
        return {"schema_equal": True, "schema": ()}
    before, after = old.statements, new.statements
    if before is None or after is None or max(len(before), len(after)) > MOST_STATEMENTS:
        return {"schema_equal": False, "schema": None}
    return {"schema_equal": False, "schema": tuple(unified(before, after, old_name, new_name))}
