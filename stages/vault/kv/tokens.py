"""The token that every request carries: got at the start, kept alive during the job, replaced when it dies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread

from ...errors import KleidiaError, VaultForbidden
from .logins import Grant, Logins
from .settings import TokenAuth, VaultSettings
from .transport import Call, Transport

if TYPE_CHECKING:
    from .backoff import Trouble

T = TypeVar("T")

#: The answer to this depends on the token alone, not on its policies: 200 for a living one, 403 for any other.
ALIVE = "sys/internal/ui/mounts"
#: Part of a lease after which it is renewed.
_RENEW_AT = 1 / 2
#: Shortest pause between two renewals, seconds.
_RENEW_PAUSE = 0.2


class TokenKeeper:
    """Holds the token. ``logins`` and ``renewals`` count what it did."""

    def __init__(self, settings: VaultSettings, transport: Transport) -> None:
        self.logins = 0
        self.renewals = 0
        self._own = not isinstance(settings.auth, TokenAuth)
        self._address = settings.address
        self._transport = transport
        self._calls = Logins(settings)
        self._lock = anyio.Lock()
        self._checked = 0.0
        self._first_lease = 0.0
        self._used = 0
        self._grant = (
            Grant(settings.auth.token, 0, renewable=False, revocable=False, since=monotonic())
            if isinstance(settings.auth, TokenAuth)
            else Grant("", 0, renewable=False, revocable=False, since=monotonic())
        )

    @property
    def token(self) -> str:
        """The token to send now."""
        return self._grant.token

    async def take(self) -> str:
        """The token for one request; a new one where the last may not be used any more. Raises ``VaultForbidden``."""
        while self._grant.uses and self._used >= self._grant.uses:
            used_up = self._grant
            async with self._lock:
                if self._grant is used_up:
                    await self._login()
        self._used += 1
        return self.token

    async def start(self) -> None:
        """Log in, or find out how long the given token lives. Raises ``VaultForbidden`` when it is refused."""
        if self._own:
            await self._login()
            await self._alive()  # the first answer to a token: from then on those of a standby are no older than others
            return
        if not await self._alive():
            await self._ask(self._calls.login)  # raises: a given token cannot be replaced
        with contextlib.suppress(VaultForbidden):  # it may lack the right to look itself up; then it is used as it is
            self._grant = await self._ask(partial(self._calls.lookup, self.token))
        if self._grant.uses:
            raise VaultForbidden(
                f"The token for the vault at {self._address} may be used for {self._grant.uses:,} more "
                f"{'request' if self._grant.uses == 1 else 'requests'} only, and a job makes at least one a secret.",
                hint="Configure a token without a limit of uses, or a login, such as AppRole, which gives new ones.",
            )

    async def recover(self, stale: str) -> bool:
        """After a 403: whether another token is there now, so that one more attempt is worth it.

        However many requests were refused at the same time, one of them checks the token and logs in again. Raises
        ``VaultForbidden`` when the token is dead and cannot be replaced.
        """
        refused = monotonic()
        async with self._lock:
            if self.token != stale:
                return True
            if self._checked >= refused:  # found alive while we waited for the lock
                return False
            started = monotonic()
            if await self._alive():
                self._checked = started
                return False
            await self._login()
            return True

    async def keep(self) -> None:
        """Renew the token for as long as this runs; log in again where it may not be renewed further."""
        while True:
            grant = self._grant
            if not grant.lease or not (grant.renewable or self._own):
                await anyio.sleep_forever()
            if self._own or self.renewals:  # the age of a given token is not known
                await anyio.sleep(max(grant.since + grant.lease * _RENEW_AT - monotonic(), _RENEW_PAUSE))
            try:
                async with self._lock:
                    if self._grant is grant:
                        await self._renew(grant)
            except KleidiaError:
                # The requests of the job meet the same trouble, and it is theirs to end the job with it.
                await anyio.sleep(max(grant.lease * (1 - _RENEW_AT) / 4, _RENEW_PAUSE))

    async def _renew(self, grant: Grant) -> None:
        if grant.renewable and not grant.uses:  # to renew it would be one of its uses, and there is another soon
            try:
                self._grant = await self._ask(partial(self._calls.renew, grant.token))
                self.renewals += 1
            except VaultForbidden:
                if not self._own:  # then it dies when it must
                    self._grant = replace(grant, renewable=False)
        # A much shorter lease means that the token nears its maximal lifetime.
        if self._own and (self._grant is grant or self._grant.lease <= self._first_lease / 2):
            await self._login()

    async def close(self) -> None:
        """Revoke the token if it came from a login."""
        if self._own and self._grant.revocable and self.token:
            await to_thread.run_sync(self._calls.revoke, self.token, abandon_on_cancel=True)
        self._calls.close()

    async def _login(self) -> None:
        self._grant = await self._ask(self._calls.login)
        self._first_lease = self._grant.lease
        self._used = 0
        self.logins += 1

    async def _alive(self) -> bool:
        self._used += 1
        answer = await self._transport.insist(lambda: self._transport.once(Call("GET", ALIVE), self.token))
        return answer.status != 403

    async def _ask(self, call: Callable[[], T | Trouble]) -> T:
        async def exchange() -> T | Trouble:
            return await to_thread.run_sync(call, abandon_on_cancel=True)

        return await self._transport.insist(exchange)
