"""pg_dump: where it is, which version, and whether that will do."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ....pipeline.engine import in_thread
from ...errors import ToolError
from ...exhausted import open_files
from .settings import clean_environment

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program of PostgreSQL: its path and version, for example (18, 6)."""

    path: str
    version: tuple[int, int]

    @property
    def major(self) -> int:
        """The major version."""
        return self.version[0]

    def __str__(self) -> str:
        return f"{Path(self.path).name} {self.version[0]}.{self.version[1]}"


#: Seconds that a program has to print its version.
VERSION_SECONDS = 15.0


async def find_tool(name: str) -> Tool:
    """Find a program on ``PATH`` (or at its path) and ask for its version.

    Raises ``ToolError`` when it is missing, does not start, or is something else, and ``ConfigurationError`` when this
    process may open no more files.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(
            f"{name} was not found.",
            hint="Install PostgreSQL's client programs (Debian: postgresql-client-18), or configure the path.",
        )

    def ask() -> subprocess.CompletedProcess[bytes]:
        # Whole in a thread: a child that is half started at a cancellation would have no owner.
        return subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=False,
            env=clean_environment(),
        )

    try:
        done = await in_thread(ask)
    except (OSError, subprocess.TimeoutExpired) as exc:
        if exhausted := open_files(exc):
            raise exhausted from exc
        reason = exc.strerror if isinstance(exc, OSError) else f"no answer in {VERSION_SECONDS:.0f} seconds"
        raise ToolError(f"{path} does not start: {reason}.", hint="Install it anew.") from exc
    match = _VERSION.search(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or match is None:
        raise ToolError(
            f"{path} is not what its name says: --version gave no version.",
            hint="Configure the path of PostgreSQL's own program.",
        )
    return Tool(path, (int(match.group(1)), int(match.group(2) or 0)))


def require_dump_version(tool: Tool, server_version: int) -> None:
    """Raise ``ToolError`` when pg_dump is older than the server (``server_version`` as in 180006)."""
    server = server_version // 10000
    if tool.major < server:
        raise ToolError(
            f"{tool.path} is version {tool.version[0]}.{tool.version[1]}, too old for the server's "
            f"{server}.{server_version % 10000}.",
            hint=f"Install postgresql-client-{server} or newer, or configure the path of its pg_dump.",
        )
