"""What ended a command, as the terminal tells it: the one place where errors of ours become words and a status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from ...pipeline.reports.words import printable
from ...stages.errors import (
    ArchiveError,
    Busy,
    ConfigurationError,
    DatabaseError,
    Effect,
    InternalError,
    JobTimeout,
    KleidiaError,
    Pinned,
    Remedy,
    Right,
    StoreError,
    UnfinishedRestore,
    VaultError,
    WrongPassword,
)
from .ask import NotConfirmed
from .exit_codes import BUG, USAGE

#: The nearest class of an error's ancestry decides.
_STATUS: dict[type, int] = {
    ArchiveError: 3,
    WrongPassword: 4,
    ConfigurationError: USAGE,
    DatabaseError: 5,
    VaultError: 6,
    StoreError: 7,
    NotConfirmed: 9,
    Busy: 9,
    Pinned: 9,
    UnfinishedRestore: 9,
    JobTimeout: 10,
    InternalError: BUG,
}


def exit_code(error: type[BaseException]) -> int:
    """The status for a class of errors; what is none of ours is a bug."""
    return next((_STATUS[each] for each in error.__mro__ if each in _STATUS), BUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it is told: ``message`` says what is wrong and what that means, ``hint`` what to do next."""

    type: str
    message: str
    hint: str
    exit_code: int
    effect: Effect | None = None
    rights: tuple[Right, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @classmethod
    def of(cls, error: KleidiaError, newest: str | None = None) -> Self:
        """An error of ours. Who asked for ``latest`` is told which archive that is, ``newest``, if it is at fault."""
        kind = type(error)
        asked = newest is not None and isinstance(error, ArchiveError)
        return cls(
            type=kind.documented(),
            message=f"{error.summary} (latest: {newest})" if asked else error.summary,
            hint=error.advice,
            exit_code=exit_code(kind),
            effect=error.effect,
            rights=error.rights,
            remedies=error.remedies,
        )

    @property
    def lines(self) -> str:
        """For people: one line for what is wrong, one for what to do next."""
        hint = printable(self.hint)
        return f"error: {printable(self.message)}" + (f"\nhint: {hint}" if hint else "")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "type": self.type,
            "message": printable(self.message),
            "hint": printable(self.hint),
            "exit_code": self.exit_code,
            "effect": self.effect,
            "rights": [{"verb": right.verb, "path": right.path} for right in self.rights],
            "remedies": list(self.remedies),
        }
