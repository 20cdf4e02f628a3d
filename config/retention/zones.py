"""Time zones by their names."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from ...stages.errors import ConfigurationError

_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
#: Zone names that mean something else on each machine.
_OF_THE_MACHINE = {"localtime", "posixrules", "Factory"}


def zone(name: str) -> ZoneInfo:
    """A time zone by its name in the tz database. Raises ``ConfigurationError``."""
    try:
        if _ZONE.fullmatch(name) and name not in _OF_THE_MACHINE:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, no zone file, a directory
        pass
    raise ConfigurationError(
        "timezone is not a time zone that is known here.", hint="It looks like UTC or Europe/Berlin."
    )
