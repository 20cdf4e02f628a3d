"""URLs of servers: an address and nothing else, so that one can be shown."""

from __future__ import annotations

import ipaddress
import re

_SERVER = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~/-]*)?",
    re.IGNORECASE,
)


def is_server_url(text: str) -> bool:
    """Whether a text is http or https, a host, perhaps a port and a path of plain characters, and nothing more.

    ``https://user:12/34@host`` is a server ``user`` with a path to most parsers, and a password to who wrote it.
    """
    match = _SERVER.fullmatch(text)
    return (
        match is not None
        and (match["port"] is None or 0 < int(match["port"]) < 65536)
        and is_host(match["host"].strip("[]"), bracketed=match["host"].startswith("["))
    )


def is_host(host: str, *, bracketed: bool = False) -> bool:
    """Whether a host can be looked up: a name or an address; in brackets an IPv6 address.

    Python raises ``UnicodeError`` wherever a name is looked up that IDNA cannot write: each of its labels has 1 to 63
    bytes.
    """
    try:
        return ipaddress.ip_address(host).version == 6 if bracketed else bool(host.encode("idna"))
    except ValueError:  # of which UnicodeError is one
        return False


def is_here(host: str) -> bool:
    """Whether a host's name or address is this very machine's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def origin(text: str) -> str:
    """Scheme, host and port of such a URL, for messages; empty for anything else."""
    match = _SERVER.fullmatch(text) if is_server_url(text) else None
    return "" if match is None else text[: match.end("port") if match["port"] else match.end("host")]
