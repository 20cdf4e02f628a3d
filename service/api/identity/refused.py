"""Refused logins in the audit log: each address has its entries, however many attempts come from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...control.audit import Actor, AuditEntry
from .origin import line, network, origin

if TYPE_CHECKING:
    from fastapi import Request

    from ...control.audit import Audit

#: Attempts of one address in a minute that are each written; then the tenth, hundredth, thousandth, ….
EACH = 5
#: Addresses that are counted apart in a minute; those that come later are counted together.
ADDRESSES = 100
_OTHERS = ""


@dataclass(slots=True)
class _Counted:
    """What came from one address: attempts in this minute, and those that were not written since its last entry."""

    attempts: int = 0
    left_out: int = 0


class RefusedLogins:
    """Audits refused logins, counted for each address on each replica.

    So a flood writes a few entries a minute, and says from where it comes and how large it is; nor does it hide another
    address. IPv6 addresses of one network of 64 bits are one, for whoever has one of them mostly has all.
    """

    def __init__(self, audit: Audit, now: Callable[[], float] = time.monotonic, each: int = EACH) -> None:
        self._audit = audit
        self._each = each
        self._now = now
        self._since = float("-inf")
        self._counted: dict[str, _Counted] = {}

    async def write(self, request: Request, reason: str) -> None:
        """Audit one refusal. Raises what ``Audit.write`` raises."""
        ip, workstation = origin(request)
        counted, together = self._of(network(ip))
        counted.attempts += 1
        if counted.attempts > self._each and not _is_power_of_ten(counted.attempts):
            counted.left_out += 1
            return
        where = f"{request.method} {line(request.scope['path']) or '(a path that is not printable)'}"
        details = f"{where}: {reason}{self._more(counted, together)}"
        counted.left_out = 0
        await self._audit.write(AuditEntry.by(Actor(None, "", ip, workstation), "login.refused", details=details))

    def _of(self, address: str) -> tuple[_Counted, bool]:
        """Where an address is counted, and whether that is together with others."""
        if self._now() - self._since >= 60:
            self._since = self._now()
            self._counted = {
                each: _Counted(left_out=counted.left_out) for each, counted in self._counted.items() if counted.left_out
            }
        if address not in self._counted and len(self._counted) >= ADDRESSES:
            return self._counted.setdefault(_OTHERS, _Counted()), True
        return self._counted.setdefault(address, _Counted()), False

    def _more(self, counted: _Counted, together: bool) -> str:
        whose = f"more than {ADDRESSES} addresses" if together else "this address"
        many = counted.attempts > self._each or together
        number = f" Number {counted.attempts:,} from {whose} in a minute." if many else ""
        left_out = f" ({counted.left_out:,} more were refused before and not written.)" if counted.left_out else ""
        return number + left_out


def _is_power_of_ten(number: int) -> bool:
    return str(number).strip("0") == "1"
