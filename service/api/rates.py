"""Limits on what can be used to guess or to probe, kept in the database: they hold over all replicas together."""

import math
from typing import TYPE_CHECKING

from .identity.origin import network
from .problems import ApiError

if TYPE_CHECKING:
    from ..service import Service
    from .identity.auth import Caller

_ACTIONS = ("validate-password", "restore", "test-connection", "verify", "drill", "preview-retention")
#: (calls, seconds) of one caller; of all callers together it is three times as many.
LIMITS = dict.fromkeys(_ACTIONS, (10, 60))
LIMITS |= dict.fromkeys(("test-notifications", "inspection"), (5, 60))
_ALL = 3
#: The same for the steps of logins (each has two) from one address; from all together many times as many.
LOGINS = (60, 60)
_ALL_LOGINS = 20


async def take(service: "Service", action: str, caller: "Caller") -> None:
    """Count one call. Raises ``ApiError`` (429, with Retry-After) for one too many."""
    number, seconds = LIMITS[action]
    for key, most in ((f"{action}:{caller.principal.subject}", number), (action, number * _ALL)):
        await _count(service, action, key, most, seconds)


async def take_login(service: "Service", ip: str) -> None:
    """Count one step of a login from an address. Raises as ``take``."""
    for key, most in ((f"login:{network(ip)}", LOGINS[0]), ("login", LOGINS[0] * _ALL_LOGINS)):
        await _count(service, "login", key, most, LOGINS[1])


async def _count(service: "Service", action: str, key: str, most: int, seconds: int) -> None:
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
