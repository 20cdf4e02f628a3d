"""The command in forks of one process, ``python -m benchmarks.chaos.forking``.

It has imported what earlier commands needed: a kill at a random moment of a command of its own would strike the
interpreter's start more often than not. Each fork is what a shell would have started: a process group of its own, its
own directory for temporary files, its own output. What only takes time is shorter: keys are derived quickly, and parts
of an upload may be small.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from kleidia_backup.cli import main as command
from kleidia_backup.commands.arguments.functions import COMMANDS
from kleidia_backup.stages.stores.directory.store import DirectoryStore
from kleidia_backup.stages.stores.s3.client import open_client
from kleidia_backup.stages.stores.s3.settings import S3Settings
from kleidia_backup.stages.stores.s3.store import S3Store
from kleidia_backup.stages.vault import scratch
from tests.faults.site import quick_key, quick_keys

#: Where, and what stands there instead: functions that take time, and limits that no setting changes.
_QUICK: tuple[tuple[str, str, object], ...] = (
    ("pipeline.archives.v1", "derive_key", quick_key),
    ("formats.v2.keys.slots", "_derive", quick_keys),
    ("stages.stores.s3.settings", "SMALLEST_PART", 1),
    ("stages.vault.undo.undo", "LATE_ARRIVAL", 0.2),
)
_USED = ("backup", "restore", "verify", "drill", "rewrap", "list", "retention")


def hurry() -> None:
    """Spend no time on what random kills are not about; for good, in this process."""
    for module, name, value in _QUICK:
        setattr(import_module(f"kleidia_backup.{module}"), name, value)


def age() -> None:
    """Let what a killed command left be old enough to be removed: an upload takes a day, a drill's mount two."""
    for store in (S3Store, DirectoryStore):
        older: Callable[[Any, timedelta], Any] = store.abort_older
        setattr(store, "abort_older", lambda self, _, older=older: older(self, timedelta(0)))  # noqa: B010
    setattr(scratch, "time", _much_later)  # noqa: B010 - a mount's own


def _much_later() -> float:
    return time.time() + 10 * 24 * 3600


def child(asked: dict[str, Any]) -> None:
    """Become the command; does not return."""
    status = 70
    try:
        os.setpgid(0, 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(asked["environment"])
        if asked["aged"]:
            age()
        status = command(asked["arguments"])
    except SystemExit as exc:
        status = int(exc.code or 0)
    except BaseException:  # noqa: BLE001 - a fork that went on would serve requests too
        traceback.print_exc()
    finally:
        Path(asked["modules"]).write_text("\n".join(list(sys.modules)), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


async def read_s3() -> None:
    """Read the description of S3, which takes longer than all else that these commands do, for all of them."""
    async with open_client(S3Settings("none", access_key_id="none", secret_access_key="none")):
        pass


def imported(modules: Path) -> None:
    """Import what a command imported, so that the next one need not."""
    if modules.exists():
        for name in modules.read_text(encoding="utf-8").split():
            if name not in sys.modules and not name.startswith("_"):
                with suppress(ImportError):
                    import_module(name)
        modules.unlink()


def main() -> None:
    """One command after another: a line of JSON asks for it, its process id and its exit status are answered."""
    for name in _USED:
        import_module(f"kleidia_backup.commands.{COMMANDS[name][0]}")
    hurry()
    asyncio.run(read_s3())
    assert threading.active_count() == 1, "a fork would take none of them along"
    print(Path.cwd(), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            child(asked)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        imported(Path(asked["modules"]))


if __name__ == "__main__":
    main()
