"""A schedule as cron writes it: when it is due next, when it was due last, and how long that counts.

Five fields in a time zone, by the rules of Debian's cron (cronsim): a time of the day that the clock skips in spring
runs when the clock has moved on, one that comes twice in autumn runs at its first; schedules with a star in their
minutes or hours follow the elapsed time instead, and so run in both hours, or in none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from ...config.retention.zones import zone
from ...stages.errors import ConfigurationError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: Longer texts are no schedule of anybody.
_LONGEST = 200
#: The clock never jumps by more: a time that is due again or was skipped lies within it.
_JUMP = timedelta(hours=3)
_EXAMPLE = "It looks like 0 2 * * * (daily at 2): minute, hour, day of the month, month, day of the week."


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone. All moments have a zone; those returned are UTC.

    Raises ``ConfigurationError`` naming the ``setting`` or ``timezone``, also for a schedule that is never due.
    """

    text: str
    timezone: str = "UTC"
    setting: str = field(default="schedule", compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", zone(self.timezone))
        _check(self.text, self.setting)
        self.after(datetime.now(UTC))

    def after(self, moment: datetime) -> datetime:
        """The first due time after ``moment``."""
        # cronsim counts on local time, which autumn has twice: asked in the second hour it may answer in the first.
        return next(due for due in self._times(moment) if due > moment)

    def following(self, moment: datetime, count: int) -> list[datetime]:
        """The first so many due times after ``moment``."""
        found: list[datetime] = []
        while len(found) < count:
            found.append(moment := self.after(moment))
        return found

    def before(self, moment: datetime) -> datetime:
        """The last due time up to and including ``moment``."""
        return next(due for due in self._times(moment + _JUMP, reverse=True) if due <= moment)

    @property
    def words(self) -> str:
        """The same as a person says it, such as ``at 02:00 every day``."""
        said = CronSim(self.text, datetime.now(UTC)).explain()
        return said[:1].lower() + said[1:]

    def _times(self, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        try:
            for due in CronSim(self.text, moment.astimezone(self._zone), reverse=reverse):
                yield due.astimezone(UTC)
        except CronSimError as exc:
            raise ConfigurationError(f"{self.setting} cannot be used: {str(exc).lower()}.", hint=_EXAMPLE) from None
        raise ConfigurationError(f"{self.setting} is never due: no day is like that.", hint=_EXAMPLE)


def _check(text: str, setting: str) -> None:
    """What cronsim would take and cron would not: seconds, other alphabets, endless texts."""
    if not text.isascii() or len(text) > _LONGEST or re.search(r"\d{5}", text):
        raise ConfigurationError(f"{setting} is not a cron expression.", hint=_EXAMPLE)
    if (count := len(text.split())) != 5:
        raise ConfigurationError(f"{setting} has {count} field{'s' * (count != 1)} instead of five.", hint=_EXAMPLE)
