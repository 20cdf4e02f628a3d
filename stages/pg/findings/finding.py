"""One thing about a database that its backup warns of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: What a finding is about. ``unchecked``: a question that the server did not answer.
Kind: TypeAlias = Literal[
    "search path",
    "order",
    "operator",
    "user mapping",
    "subscription",
    "unlogged",
    "system schema",
    "text search",
    "extension",
    "invalid index",
    "prepared transaction",
    "grant",
    "security label",
    "collation",
    "materialized view",
    "unchecked",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a backup leaves out, or what no restore brings back as it is.

    ``{}`` in ``text`` stands for the ``object``; ``cure`` says what to do. ``lost``: the archive lacks something that
    the database has.
    """

    kind: Kind
    object: str
    text: str
    cure: str
    lost: bool = False

    def __str__(self) -> str:
        return f"{self.text.replace('{}', self.object)} {self.cure}"
