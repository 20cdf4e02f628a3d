"""Waiting for an OpenBao that was started again."""

from __future__ import annotations

import threading

from kleidia_backup.demo.servers import openbao
from kleidia_backup.demo.servers.processes import ServerProcess


def wait_active(address: str, process: ServerProcess) -> None:
    """Return once the server is unsealed and active; raises ``ConfigurationError`` when it ends instead."""
    process.wait_until(lambda: openbao._health(address) == 200, threading.Event())
