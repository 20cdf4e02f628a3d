"""The service put together: its control tables, its queue, and what runs by itself beside it."""

from __future__ import annotations

import os
import secrets as random
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from .control.audit import Audit
from .control.database import Control
from .control.jobs import Jobs
from .control.limits import Limits
from .control.schedule import Schedule
from .control.secrets import ServiceSecrets
from .control.settings import SettingsStore

if TYPE_CHECKING:
    from types import TracebackType

    from .control.audit import ApplicationAudit
    from .control.jobs import Job, NewJob
    from .service_settings import ServiceSettings


class Service:
    """A replica of the service. Entering it brings the control tables up to date and starts what runs by itself.

    ``application_audit`` receives every entry of the audit log as well. Several replicas on one control database share
    its work. Leaving it waits for a running job as long as ``grace`` says, then cancels it cleanly.

    Raises the tree in ``kleidia_backup.stages.errors`` when a part of it cannot start.
    """

    def __init__(self, config: ServiceSettings, *, application_audit: ApplicationAudit | None = None) -> None:
        self.config = config
        self.target = config.target
        self.replica = f"{socket.gethostname()}:{os.getpid()}:{random.token_hex(4)}"
        self.control = Control(config.control)
        self.jobs = Jobs(self.control)
        self.audit = Audit(self.control, application_audit)
        self.secrets = ServiceSecrets(config.vault, config.secrets_mount, config.secrets_path)
        self.settings = SettingsStore(self.control, self.secrets)
        self.limits = Limits(self.control)
        self.schedule = Schedule(self.control)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.control)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def submit(self, new: NewJob) -> Job:
        """Ask for a job. Raises ``Busy`` when the target has one, and what ``Control.connection`` raises."""
        return await self.jobs.create(new, self.target)
