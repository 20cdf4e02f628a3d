"""The control database, for commands that write into it, or that ask it what is recorded."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...config.build import vault_settings
from ...config.service_build import control_of, service_settings
from ...stages.errors import ConfigurationError
from .extra import service_extra
from .who import user

if TYPE_CHECKING:
    from ...config.reader import Config
    from ...service.control.audit import Actor, Audit
    from ...service.control.chain.append import AuditChain
    from ...service.control.database import Control
    from ...service.control.jobs import Jobs
    from ...service.control.proofs.verifications import Verifications
    from ...stages.pg.server.settings import PostgresSettings

#: Seconds in which the database answers at all: a command does not wait long for its history.
_PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Records:
    """What the control tables have of this target."""

    control: Control
    target: str
    jobs: Jobs
    audit: Audit
    verifications: Verifications


class NoTables(ConfigurationError):
    """No service has made the control tables yet."""

    public = False


@asynccontextmanager
async def open_records(config: Config, *, writes: bool) -> AsyncIterator[Records]:
    """The control tables, as they are: only the service makes them. Who ``writes`` chains the audit log's entries.

    Without the chain's key entries are written all the same, and the service chains them later.

    Raises ``NoTables`` where there are none, ``ConfigurationError`` where a package is not installed, and
    ``DatabaseError`` when the database cannot be asked.
    """
    with service_extra("The control database"):
        from ...service.control.audit import Audit
        from ...service.control.chain.append import AuditChain
        from ...service.control.database import Control
        from ...service.control.jobs import Jobs
        from ...service.control.proofs.verifications import Verifications
    settings, target = control_of(config)
    await require_tables(settings)
    async with Control(settings, connections=2, migrates=False) as control:
        chain = _chain(config, control, target, AuditChain) if writes else None
        if chain is not None:
            await chain.try_to_begin()
        audit = Audit(control, target, chain=chain)
        yield Records(control, target, Jobs(control, target), audit, Verifications(control, target))


async def require_tables(settings: PostgresSettings) -> None:
    """Raise ``NoTables`` where there are none, and ``DatabaseUnreachable`` when the database cannot be asked."""
    from ...service.control.of_commands.reachable import has_tables

    if not await has_tables(settings, _PATIENCE):
        raise NoTables(
            f"The control database ({settings.where()}) has no tables yet.",
            hint="The service makes them when it starts for the first time: `kleidia-backup serve`.",
        )


def _chain(config: Config, control: Control, target: str, kind: type[AuditChain]) -> AuditChain | None:
    """The audit log's chain, whose key is in the vault; None where the service's secrets cannot be there."""
    from ...service.control.secrets import ServiceSecrets

    if vault_settings(config) is None:
        return None
    try:
        found = service_settings(config)
    except ConfigurationError:  # what the service needs, and a command does not
        return None
    return kind(control, ServiceSecrets(found.vault, found.secrets_mount, found.secrets_path), target)


def actor() -> Actor:
    """Who runs the command: the user of the operating system, on this host."""
    from ...service.control.audit import Actor

    return Actor(f"os:{user()}", user(), "", socket.gethostname())
