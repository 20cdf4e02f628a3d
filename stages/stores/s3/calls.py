"""One request after another until the store answers: retries, the operation's timeout, and our errors."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio import sleep
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from ...errors import StoreUnreachable
from ...retry_after import retry_after
from .errors import FOREIGN, is_transient, translated, wants_patience
from .settings import QUICK, S3Settings

T = TypeVar("T")

#: Longest pause between two attempts, seconds.
_LONGEST_PAUSE = 20.0


async def call(
    settings: S3Settings, operation: str, name: str, send: Callable[[], Awaitable[T]], *, attempts: int = QUICK
) -> T:
    """Send a request until it succeeds or cannot: 5xx, SlowDown, timeouts and lost connections are tried again.

    Where a store asks for patience (503, 429), every request that is tried again has that of an upload, reads too.

    ``send`` is called for each attempt. A second attempt means that the first may have taken effect all the same.
    Between two of them passes what the store asks for by ``Retry-After``, and a pause of our own; when it asks for more
    than the operation has left, there is no other attempt. Raises what ``translated`` makes of the last failure.
    """
    try:
        with anyio.move_on_after(settings.operation_timeout) as limit:
            for attempt in range(1, 1 if attempts == 1 else settings.attempts):
                try:
                    return await send()
                except FOREIGN as exc:
                    wanted = _wanted_pause(exc)
                    most = settings.attempts if wants_patience(exc) else attempts
                    if not is_transient(exc) or attempt >= most or wanted > limit.deadline - anyio.current_time():
                        raise
                await sleep(wanted + _pause(settings.backoff, attempt))
            return await send()
    except FOREIGN as exc:
        raise translated(exc, settings, operation, name) from exc
    raise StoreUnreachable(
        f"{operation} on {name or settings.bucket} did not end within {settings.operation_timeout:g} s.",
        hint="Look at the network and the store, or raise operation_timeout.",
    )


def _wanted_pause(exc: BaseException) -> float:
    """Seconds that the store asks to be left alone for."""
    if not isinstance(exc, ClientError):
        return 0.0
    return retry_after(exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", ""))


def _pause(first: float, attempt: int) -> float:
    longest = min(_LONGEST_PAUSE, first * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311  only spreads the retries
