"""Configurations that work and should not be used: a server that nobody checks, a token that everybody can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..stages.pg.server.settings import PostgresSettings
from ..stages.urls import is_here, origin
from .build import database_settings

if TYPE_CHECKING:
    from .reader import Config


def vault_risks(config: Config) -> Iterator[str]:
    """What is risky about the way to the vault. Raises ``ConfigurationError`` for an unusable standard variable."""
    address = origin(config.get("vault", "address", str) or "")  # what is no address is refused elsewhere
    url = urlsplit(address)
    if url.scheme == "http" and not is_here(url.hostname or ""):
        yield f"The vault's address {address} is not https: its token and every secret can be read on the way."
    if url.scheme == "https" and config.get("vault", "insecure_tls", bool):
        yield "insecure_tls in [vault] is on: whoever pretends to be the vault gets its token and every secret."


def store_risks(config: Config) -> Iterator[str]:
    """What is risky about the way to the store. Raises ``ConfigurationError`` for an unusable standard variable."""
    if config.get("store", "insecure_tls", bool):
        yield "insecure_tls in [store] is on: whoever pretends to be the store can keep archives, or lose them."


def database_risks(config: Config) -> Iterator[str]:
    """What is risky about the way to the database. Raises ``ConfigurationError`` as ``database_settings`` does."""
    database = database_settings(config)
    if database is not None and not database.is_proven:
        yield _unproven(database, "[database]")


def service_risks(config: Config) -> Iterator[str]:
    """What is risky for the service: all of it, and the way to its own tables."""
    yield from database_risks(config)
    yield from vault_risks(config)
    yield from store_risks(config)
    if (control := config.secret("service", "control_conninfo")) is not None:
        settings = PostgresSettings(control)
        if not settings.is_proven:
            yield _unproven(settings, "control_conninfo in [service]")


def _unproven(database: PostgresSettings, where: str) -> str:
    return (
        f"TLS to {database.where()} is not verified: whoever pretends to be that server, or listens on the way, may "
        f"get the role's password and all rows. Set sslmode = verify-full (and sslrootcert) for {where}."
    )
