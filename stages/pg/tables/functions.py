"""Functions that depend on tables or on views of them, made again as the server says that they are.

pg_dump cannot be asked for one function, so the server's own ``pg_get_functiondef`` is, in the transaction that drops
it. Nothing is read of what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..server.refusal import DEPENDED
from ..server.script import script
from ..server.settings import quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..server.wire import Wire

#: For each function: number, name, and statements; the first drops it, the others make it.
FUNCTIONS = script(__file__, "functions")
#: Takes back what the role's default privileges have added to new ones.
_GRANTS = script(__file__, "function_grants")


class Functions:
    """Those that name some relations (an array of their numbers, as PostgreSQL writes it).

    ``drop_free`` drops those on which nothing depends, ``drop_rest`` the others, once the views are gone that use them.
    ``make_rest`` and ``make_free`` make them again, in the reverse order. All raise ``StatementRefused``.
    """

    def __init__(self, wire: Wire, relations: str) -> None:
        self._wire = wire
        self._made: dict[str, list[str]] = {}
        for _, name, statement in wire.execute(FUNCTIONS.encode(), relations):
            self._made.setdefault(name, []).append(statement)
        self._free: list[str] = []
        self._rest: list[str] = []

    def drop_free(self) -> None:
        """Drop what can be dropped, the last made first: one may use another."""
        left = list(reversed(self._made))
        while left:
            before = len(left)
            for name in list(left):
                refused = self._wire.attempt(self._made[name][0].encode())
                if refused is None:
                    left.remove(name)
                    self._free.append(name)
                elif refused.code != DEPENDED:
                    raise refused
            if len(left) == before:
                break
        self._rest = left

    def drop_rest(self) -> None:
        """Drop the others."""
        for name in self._rest:
            self._wire.script(self._made[name][0])

    def make_rest(self) -> None:
        """Make those again on which views depend."""
        self._make(reversed(self._rest))

    def make_free(self) -> None:
        """Make those again on which nothing depends."""
        self._make(reversed(self._free))

    def _make(self, names: Iterable[str]) -> None:
        for name in names:
            _, make, *others = self._made[name]
            self._wire.run(make.encode())
            self._wire.script(_GRANTS.replace(":name::", f"{quote_literal(name)}::"))
            for statement in others:
                self._wire.run(statement.encode())
