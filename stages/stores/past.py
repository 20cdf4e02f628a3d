"""A store as it was at another time, where it keeps what was deleted and replaced."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .base import StoreSettings


@runtime_checkable
class Remembering(Protocol):
    """Settings of a store that can show what it was like at another time."""

    def at(self, moment: datetime) -> StoreSettings:
        """The same place as it was then, only to be read."""


def store_at(settings: StoreSettings, moment: datetime | None) -> StoreSettings:
    """The store as it was at a time, which can only be read; without one as it is.

    Raises ``ConfigurationError`` for a store that keeps nothing of what was deleted or replaced.
    """
    if moment is None:
        return settings
    if not isinstance(settings, Remembering):
        raise ConfigurationError(
            f"{settings.where} keeps nothing of what was deleted or replaced: it shows no other time than now.",
            hint="A bucket that keeps versions does.",
        )
    return settings.at(moment)
