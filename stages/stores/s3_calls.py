"""One request after another until the store answers: retries, the operation's timeout, and our errors."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

import anyio

from ..errors import StoreUnreachable
from .s3_errors import FOREIGN, is_transient, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .s3_settings import S3Settings

T = TypeVar("T")

#: Longest pause between two attempts, seconds.
_LONGEST_PAUSE = 20.0

#: Attempts where somebody waits for the answer and nothing would be lost.
QUICK = 4


async def call(
    settings: S3Settings, operation: str, name: str, send: Callable[[], Awaitable[T]], *, attempts: int = QUICK
) -> T:
    """Send a request until it succeeds or cannot: 5xx, SlowDown, timeouts and lost connections are tried again.

    ``send`` is called for each attempt. A second attempt means that the first may have taken effect all the same.
    Raises what ``translated`` makes of the last failure.
    """
    try:
        with anyio.move_on_after(settings.operation_timeout):
            for attempt in range(1, min(attempts, settings.attempts)):
                try:
                    return await send()
                except FOREIGN as exc:
                    if not is_transient(exc):
                        raise
                await anyio.sleep(_pause(settings.backoff, attempt))
            return await send()
    except FOREIGN as exc:
        raise translated(exc, settings, operation, name) from exc
    raise StoreUnreachable(
        f"{operation} on {name or settings.bucket} did not end within {settings.operation_timeout:g} s.",
        hint="Look at the network and the store, or raise operation_timeout.",
    )


def _pause(first: float, attempt: int) -> float:
    longest = min(_LONGEST_PAUSE, first * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311  only spreads the retries
