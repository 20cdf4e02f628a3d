"""Limits on what can be used to guess or to probe, kept in the database: they hold over all replicas together."""

import math
from typing import TYPE_CHECKING

from .problems import ApiError

if TYPE_CHECKING:
    from ..service import Service
    from .auth import Caller

#: Calls of one caller in so many seconds; of all callers together it is three times as many.
LIMITS = {"validate-password": (10, 60), "restore": (10, 60), "test-connection": (10, 60)}
_ALL = 3


async def take(service: "Service", action: str, caller: "Caller") -> None:
    """Count one call. Raises ``ApiError`` (429, with Retry-After) for one too many."""
    number, seconds = LIMITS[action]
    for key, most in ((f"{action}:{caller.principal.subject}", number), (action, number * _ALL)):
        wait = await service.limits.take(key, most, seconds)
        if wait is not None:
            after = max(1, math.ceil(wait))
            raise ApiError(
                429,
                "too-many",
                "Too many requests",
                f"{action} may be asked {most} times in {seconds} s.",
                f"Ask again in {after} s.",
                headers={"Retry-After": str(after)},
            )
