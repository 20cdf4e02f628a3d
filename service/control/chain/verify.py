"""Verifying the chain of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg.rows import class_row, dict_row

from .codes import ENTRY, FIRST, code_of, key_name, seal_of

if TYPE_CHECKING:
    from ..database import Control

Fault: TypeAlias = Literal["missing", "changed", "added", "cut off", "end changed", "begun again", "another key"]

#: Entries that are read at once.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault: at which place of the chain, and the number of the entry that is there, if there is one."""

    fault: Fault
    place: int
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class _End:
    chain: str
    place: int
    code: bytes
    seal: bytes
    key: str
    behind: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """What a verification found.

    ``late`` entries were written before anybody had the key, ``unchained`` ones are not in the chain yet: of neither
    can be told whether they are as they were written. ``end`` is place and code of the last entry: who notes it
    elsewhere can ask later whether it is still there.
    """

    entries: int
    late: int
    unchained: int
    end: str
    broken: tuple[Broken, ...] = ()


async def verify_chain(
    control: Control, target: str, key: bytes, chain: str, *, noted: str = "", most: int = 20
) -> ChainReport:
    """Check every entry of a target's chain, its end, and whether one that was ``noted`` is still there.

    ``chain`` is its name in the vault. ``most`` faults are named.

    Raises what ``Control.connection`` raises.
    """
    end = await _find_end(control, target)
    broken: list[Broken] = []
    before, place, count, late, found = FIRST, 0, 0, 0, not noted
    async for row in _chained(control, target, end.place if end else None):
        count += 1
        late += row["late"]
        if row["place"] <= place:  # no place of the chain's, or one that is taken
            broken.append(Broken("added", row["place"], row["id"]))
            continue
        if row["place"] != place + 1:
            broken.append(Broken("missing", place + 1))
        if code_of(key, before, row) != row["code"] and row["place"] == place + 1:
            broken.append(Broken("changed", row["place"], row["id"]))
        place, before = row["place"], row["code"]
        found = found or noted == f"{place}:{before.hex()}"
    broken += _of_end(end, target, key, chain, (place, before))
    if not found:
        broken.append(Broken("cut off", int(noted.partition(":")[0])))
    return ChainReport(
        entries=count,
        late=late,
        unchained=await _count_unchained(control, target),
        end=f"{place}:{before.hex()}" if place else "",
        broken=tuple(broken[:most]),
    )


def _of_end(end: _End | None, target: str, key: bytes, chain: str, last: tuple[int, bytes]) -> list[Broken]:
    if end is None:  # it is there as soon as there is a key
        return [Broken("begun again", 0)]
    if end.key != key_name(key):
        return [Broken("another key", end.place)]
    if seal_of(key, target, end.chain, end.place, end.code) != end.seal:
        return [Broken("end changed", end.place)]
    broken = [] if end.chain == chain else [Broken("begun again", 1)]
    broken += [] if (end.place, end.code) == last else [Broken("cut off", last[0] + 1)]
    return broken + ([] if end.behind is None else [Broken("added", end.behind)])


async def _find_end(control: Control, target: str) -> _End | None:
    async with control.connection() as connection, connection.cursor(row_factory=class_row(_End)) as cursor:
        await cursor.execute(_END, (target,))
        return await cursor.fetchone()


async def _count_unchained(control: Control, target: str) -> int:
    async with control.connection() as connection:
        cursor = await connection.execute(_UNCHAINED, (target,))
        return int((await cursor.fetchone() or (0,))[0])


async def _chained(control: Control, target: str, end: int | None) -> AsyncIterator[dict[str, Any]]:
    """What is in the chain up to its end: others may be appended meanwhile."""
    last = (-(2**63), 0)
    while True:
        async with control.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                _CHAINED, {"target": target, "last": last[0], "id": last[1], "end": end, "most": _AT_ONCE}
            )
            rows = await cursor.fetchall()
        for row in rows:
            yield row
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1]["place"], rows[-1]["id"]


# One statement, for it has to be of one moment: the end, and what lies behind it.
_END = """
    SELECT chain, place, code, seal, key,
        (SELECT min(place) FROM kleidia_backup.audit a WHERE a.target = e.target AND a.place > e.place) AS behind
    FROM kleidia_backup.audit_ends e WHERE target = %s
"""
_UNCHAINED = "SELECT count(*) FROM kleidia_backup.audit WHERE target = %s AND place IS NULL"
# Who has the database may have dropped the index that keeps places apart.
_CHAINED = f"""
    SELECT {ENTRY} FROM kleidia_backup.audit
    WHERE target = %(target)s AND (place, id) > (%(last)s::bigint, %(id)s::bigint)
        AND (%(end)s::bigint IS NULL OR place <= %(end)s)
    ORDER BY place, id LIMIT %(most)s
"""  # noqa: S608 - constants
