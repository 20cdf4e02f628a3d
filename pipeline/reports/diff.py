"""What two sides have different. Plain frozen data, ready for JSON; no value of a secret, and no hash of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..parts.names import PartName


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDifference:
    """A table that is different: ``new``, ``gone``, with another number of ``rows``, or with other ``content``.

    ``content`` is as many rows, and others, or the same in another order. Rows are None where a side does not have
    the table, or does not say how many.
    """

    name: str
    change: Literal["new", "gone", "rows", "content"]
    old_rows: int | None
    new_rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffReport:
    """What is different from ``old`` to ``new`` in the parts that both have (``compared``).

    ``counted_alone`` is how many tables are equal by the number of their rows, and their bytes between archives, while
    nothing was known of each row; ``uncompared`` names those of
    which one side does not hold the rows. ``schema`` are the lines of a unified diff, None where the schemas are
    different and too large for one. ``secrets_metadata`` have other custom metadata or settings, ``secrets_versions``
    other older versions or another state without a value, where both sides know it; ``secrets_equal`` counts those that
    are equal in all that was compared. ``seconds`` per phase.
    """

    old: str
    new: str
    compared: tuple[PartName, ...]
    equal: bool
    tables: tuple[TableDifference, ...] = ()
    counted_alone: int = 0
    uncompared: tuple[str, ...] = ()
    schema_equal: bool = True
    schema: tuple[str, ...] | None = ()
    secrets_equal: int = 0
    secrets_new: tuple[str, ...] = ()
    secrets_gone: tuple[str, ...] = ()
    secrets_changed: tuple[str, ...] = ()
    secrets_metadata: tuple[str, ...] = ()
    secrets_versions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
