"""Configurations that work and should not be used: a server that nobody checks, a token that everybody can read."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config import Config


def vault_risks(config: Config) -> Iterator[str]:
    """What is risky about the way to the vault. Raises ``ConfigurationError`` for an unusable standard variable."""
    url = urlsplit(config.get("vault", "address", str) or "")
    if url.scheme == "http" and not _is_here(url.hostname or ""):
        yield (
            f"The vault's address {url.scheme}://{url.netloc.rpartition('@')[2]} is not https: its token and every "
            "secret can be read on the way."
        )
    if url.scheme == "https" and config.get("vault", "insecure_tls", bool):
        yield "insecure_tls in [vault] is on: whoever pretends to be the vault gets its token and every secret."


def store_risks(config: Config) -> Iterator[str]:
    """What is risky about the way to the store. Raises ``ConfigurationError`` for an unusable standard variable."""
    if config.get("store", "insecure_tls", bool):
        yield "insecure_tls in [store] is on: whoever pretends to be the store can keep archives, or lose them."


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
