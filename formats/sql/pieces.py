"""What SQL text is cut into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

#: An end of line that is part of a value: an odd number of backslashes stands before it.
_IN_A_VALUE = re.compile(rb"(?<!\\)(?:\\\\)*\\\n")


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement with the blanks and comments before it; a long one comes in several, the last with ``last``."""

    data: bytes
    first: bool = True
    last: bool = True


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A command of psql, for example ``\restrict``, with its end of line; ``inside`` what (as the cutter's)."""

    data: bytes
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the COPY before; ``last`` is the line that ends them.

    ``behind`` is what follows the COPY on its own line, before its rows. ``counted`` is how many rows end in it, where
    that is known.
    """

    data: bytes
    last: bool = False
    behind: bool = False
    counted: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes it occupies on an edge."""
        return len(self.data)

    @property
    def ends_row(self) -> bool:
        """Whether the last byte ends a row."""
        if not self.data.endswith(b"\\\n"):
            return self.data.endswith(b"\n")
        text = self.data[:-1]
        return (len(text) - len(text.rstrip(b"\\"))) % 2 == 0

    @property
    def count(self) -> int:
        """How many rows end in it: counted when asked for, since few want to know."""
        if self.counted is not None:
            return self.counted
        if self.last or self.behind:
            return 0
        ends = self.data.count(b"\n")
        # pg_dump writes it as two letters, so that one search for what it never writes is all this costs; rfind takes a
        # quarter of the time of ``in``.
        return ends - len(_IN_A_VALUE.findall(self.data)) if self.data.rfind(b"\\\n") >= 0 else ends


Piece = Sql | Meta | Rows
#: What an archive's SQL comes in: text, and rows that are known to be nothing else.
Text: TypeAlias = bytes | Rows


class Unfit(Exception):
    """Text that must not be restored; the message says what it is."""
