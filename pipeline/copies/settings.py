"""A store that gets a copy of every archive."""

# Without postponed annotations: they are read when the keys are derived.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ...stages.errors import ConfigurationError
from ...stages.setting import Setting, check_limits
from ...stages.stores.base import StoreSettings
from ..retention.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRules:
    """How a copy is kept, besides where it is.

    Raises ``ConfigurationError`` for what cannot be used.
    """

    name: Annotated[
        str,
        Setting("What this copy is called; without it: its number.", "offsite", shown=True),
    ] = ""
    lag: Annotated[
        float,
        Setting("How long an archive may lack its copy before that is told (event copies.lagging)."),
    ] = 24 * 3600.0
    read_back: Annotated[
        bool,
        Setting(
            "Read each copy once it is made, and compare its SHA-256 with the archive's. Without it the size counts,\n"
            "and the checksum by which the store took each part."
        ),
    ] = True
    retention_days: Annotated[
        int,
        Setting(
            "Days after which archives are deleted in this copy, but for what the next keys keep; 0: none ever.",
            least=0,
            most=36500,
        ),
    ] = 0
    keep_at_least: Annotated[
        int, Setting("The newest archives of each type that stay here, however old.", least=1, most=1000)
    ] = 3
    keep_daily: Annotated[int, Setting("Of so many days the newest archive.", least=0, most=1000)] = 0
    keep_weekly: Annotated[int, Setting("Of so many weeks the newest archive.", least=0, most=1000)] = 0
    keep_monthly: Annotated[int, Setting("Of so many months the newest archive.", least=0, most=1000)] = 0
    keep_yearly: Annotated[int, Setting("Of so many years the newest archive.", least=0, most=1000)] = 0

    @property
    def rules(self) -> Rules:
        """Its retention; days begin in UTC."""
        return Rules(
            days=self.retention_days,
            at_least=self.keep_at_least,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
        )

    def __post_init__(self) -> None:
        check_limits(self)
        if self.name and not (self.name.isprintable() and len(self.name) <= 64 and not self.name.isdecimal()):
            raise ConfigurationError(
                "name in [[copies]] cannot be used.", hint="It has at most 64 characters, and is no number."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(CopyRules):
    """The ``number``-th of [[copies]], from 1; ``name`` is never empty."""

    number: int
    store: StoreSettings


def find_copy(copies: Sequence[Copy], asked: str) -> Copy:
    """The copy that is meant by its number, from 1, or by its name. Raises ``ConfigurationError``."""
    for each in copies:
        if asked in {each.name, str(each.number)}:
            return each
    known = ", ".join(f"{each.number} ({each.name})" for each in copies) or "none"
    raise ConfigurationError("There is no such copy in [[copies]].", hint=f"Configured: {known}.")
