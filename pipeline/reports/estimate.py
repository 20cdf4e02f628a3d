"""How long a restore would take: from what the dry run measured with the same servers, and two assumptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plan import Expected

if TYPE_CHECKING:
    from ...stages.vault.compare import CompareReport

#: Bytes of dump text that PostgreSQL executes in a second, indexes and constraints included. It depends on them, and
#: on the server's disk, more than on anything that can be asked for.
SQL_PER_SECOND = 20e6
#: What writing a secret costs, in readings of one.
WRITE_COST = 4.0


def estimate(
    seconds: float, compared: CompareReport | None = None, *, sql_bytes: int | None = None, sql_first: bool
) -> Expected:
    """The seconds of a restore, when verification and comparison together took so many.

    ``sql_bytes`` or ``compared`` is None when that part is left alone; ``sql_first``: the archive begins with the SQL.
    A restore verifies; then it reads once more, while PostgreSQL works, and then the vault's workers, who read every
    secret and write what differs. An archive with its secrets first is read a third time for them.
    """
    reading = max(0.0, seconds - (compared.seconds if compared else 0.0))
    executing = (sql_bytes or 0) / SQL_PER_SECOND
    vault = 0.0
    if compared and compared.total:
        writes = compared.new.count + compared.changed.count
        vault = compared.seconds * (1 + WRITE_COST * writes / compared.total)
        vault += 0.0 if sql_bytes is None or sql_first else reading
    second = max(reading, executing)
    return Expected(verify=reading, database=second, vault=vault, total=reading + second + vault)
