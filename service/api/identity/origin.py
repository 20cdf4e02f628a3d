"""Where a request comes from, as far as anybody can say."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import Request


def line(text: str | None, longest: int = 255) -> str:
    """A client's text that may be stored: one printable line of bounded length, else nothing."""
    text = (text or "").strip()
    return text if len(text) <= longest and text.isprintable() else ""


def origin(request: Request) -> tuple[str, str]:
    """IP address and workstation.

    Behind a proxy the address is the proxy's, unless the server trusts it. The workstation is the
    client's own ``X-Workstation``; addresses are not resolved to names.
    """
    return request.client.host if request.client else "", line(request.headers.get("x-workstation"))


def network(ip: str) -> str:
    """What an address is counted as: of IPv6 its network of 64 bits, for who has one of them mostly has all."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip or "(unknown)"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
