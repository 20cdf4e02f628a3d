"""A search path for functions where PostgreSQL itself empties the session's.

From version 17 on the server makes indexes and fills materialized views under an empty path, not the session's.
So where such a statement fails for a name that a function looks for, and the user gave a search path, every routine
that has none of its own is given that one for the rest of the restore.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..server.script import script

if TYPE_CHECKING:
    from ..server.wire import Wire

#: Statements that the server runs under an empty path.
EMPTIED = re.compile(rb"(?:create\s+(?:unique\s+)?index|refresh\s+materialized|alter\s+table)\b", re.IGNORECASE)

#: Routines of the database in languages that find names while they run, without a search path of their own.
_ROUTINES = script(__file__, "routines").encode()


class RoutinePaths:
    """``give`` sets the path, once; ``take_back`` resets it. Both raise ``StatementRefused``."""

    def __init__(self, wire: Wire, search_path: str) -> None:
        self._wire = wire
        self._search_path = search_path
        self._given: list[str] | None = None

    def give(self) -> bool:
        """Set the path of every routine; whether that was still to be done."""
        if self._given is not None:
            return False
        self._given = [identity for (identity,) in self._wire.execute(_ROUTINES)]
        for identity in self._given:
            self._wire.execute(f"ALTER ROUTINE {identity} SET search_path = {self._search_path}".encode())
        return True

    def take_back(self) -> None:
        """Leave the routines as the archive made them."""
        for identity in self._given or ():
            self._wire.execute(f"ALTER ROUTINE {identity} RESET search_path".encode())
