"""An S3 server that takes parts of any size, so that small archives have several."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kleidia_backup.demo.servers.processes import start_process
from kleidia_backup.demo.servers.together import S3Server


@contextmanager
def small_parts(directory: Path) -> Iterator[S3Server]:
    """A moto, with its files in this directory."""
    process = start_process(
        "moto",
        [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"],
        directory=directory,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1", "S3_UPLOAD_PART_MIN_SIZE": "1"},
    )
    try:
        listens, log = re.compile(r"Running on (http://[0-9.:]+)"), directory / "moto.log"
        process.wait_until(lambda: bool(listens.search(log.read_text(encoding="utf-8"))), threading.Event())
        found = listens.search(log.read_text(encoding="utf-8"))
        assert found is not None
        yield S3Server(found.group(1), "AKIATESTTESTTESTTEST", "canary-secret-access-key")
    finally:
        process.stop()
