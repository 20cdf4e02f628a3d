"""Which archives are kept: of the command, and what the service's settings begin with."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass
from typing import Annotated

from ...pipeline.retention.rules import Rules
from ...stages.setting import Setting
from .zones import zone

DAYS = Setting(
    "Days after which an archive is deleted, but for what the other rules keep; 0 keeps all for ever.",
    least=0,
    most=36_500,
)
AT_LEAST = Setting("Archives of each type that stay whatever their age, the newest.", least=1, most=1000)
DAILY = Setting("Of that many last days that have archives the newest of each type stays.", least=0, most=36_500)
WEEKLY = Setting("The same of weeks, from Monday.", least=0, most=5300)
MONTHLY = Setting("The same of months.", least=0, most=1200)
YEARLY = Setting("The same of years.", least=0, most=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """The rules. Raises ``ConfigurationError`` for a time zone that is none."""

    days: Annotated[int, DAYS] = 30
    keep_at_least: Annotated[int, AT_LEAST] = 3
    keep_daily: Annotated[int, DAILY] = 0
    keep_weekly: Annotated[int, WEEKLY] = 0
    keep_monthly: Annotated[int, MONTHLY] = 0
    keep_yearly: Annotated[int, YEARLY] = 0
    timezone: Annotated[str, Setting("Time zone in which days begin.", "Europe/Vienna")] = "UTC"

    def __post_init__(self) -> None:
        if self.timezone != "UTC":  # which is known where no files of time zones are
            zone(self.timezone)

    @property
    def rules(self) -> Rules:
        """As retention takes them."""
        return Rules(
            days=self.days,
            at_least=self.keep_at_least,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            timezone=self.timezone,
        )
