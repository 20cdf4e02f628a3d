"""The command ``serve`` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .conftest import PASSWORD

#: The command, whose service waits for three seconds where it waits for twenty.
_SHORT = """
import sys
from kleidia_backup.cli import main
from kleidia_backup.service import connections
connections.REQUEST = 3.0
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def serving(*arguments: str, short: bool = False) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The service as a process, and what it says when it is ready; ``short``: a request has three seconds."""
    process = subprocess.Popen(
        [sys.executable, *(("-c", _SHORT) if short else ("-m", "kleidia_backup.cli")), "--json", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SERVICE_PASSWORD": PASSWORD},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()
