"""What a dry run found. Plain frozen data, ready for JSON; no value of a secret or of a row is anywhere in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...stages.load.figures import NO_LOAD, Load

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.errors import Right
    from ...stages.pg.inventory.inventory import Inventory
    from ..parts.names import PartName


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPlan:
    """What a restore would change in a vault. The paths are those of the archive, 1000 of each kind at most.

    ``new`` secrets are not there now, or deleted; ``changed`` ones have another value; at the ``unreadable`` ones a
    restore would fail. ``extra`` ones are there and not in the archive; None when they cannot be listed. ``final`` are
    the roots of KV version 1, where what is overwritten or removed is gone. ``rights_missing`` are the token's,
    ``undo_rights_missing`` those without which a restore that fails cannot put back all that it wrote.
    ``unknown_roots`` are those of which the archive has no secret. ``own_secrets`` are the product's own in it: they
    would be left as they are.
    """

    address: str
    roots: tuple[str, ...]
    new: int
    changed: int
    unchanged: int
    unreadable: int
    extra: int | None
    new_paths: tuple[str, ...] = ()
    changed_paths: tuple[str, ...] = ()
    unreadable_paths: tuple[str, ...] = ()
    extra_paths: tuple[str, ...] = ()
    unreadable_why: str = ""
    extra_why: str = ""
    final: tuple[str, ...] = ()
    rights_missing: tuple[Right, ...] = ()
    undo_rights_missing: tuple[Right, ...] = ()
    unknown_roots: tuple[str, ...] = ()
    own_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An estimate of the seconds that a restore would take, by what they go to; ``pipeline.estimate`` says how."""

    verify: float
    database: float
    vault: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore of a verified archive would do, and what would stop it. Nothing was written to find out.

    ``tables``, ``rows`` and ``secrets`` count what the archive holds; ``size`` and ``sql_bytes`` are bytes.
    ``database`` and ``vault`` are None when that part would be left alone, ``left_alone`` those for which no target is
    configured. ``blockers`` would make the restore fail, ``warnings`` are worth a thought; both are sentences.
    ``prune`` says whether the extra secrets would be removed.
    """

    name: str
    header: Facts
    size: int
    sql_bytes: int
    tables: int
    rows: int
    secrets: int
    database: Inventory | None = None
    vault: VaultPlan | None = None
    prune: bool
    expected: Expected
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left_alone: tuple[PartName, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    load: Load = NO_LOAD
