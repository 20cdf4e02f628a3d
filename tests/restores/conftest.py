"""A laboratory for each case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from kleidia_backup.demo.servers.together import PostgresServer

from .lab import Lab


@pytest.fixture
def lab(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Databases and roles that go with the test."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(postgres_server.bin_dir), os.environ["PATH"]]))
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin, ExitStack() as stack:
        yield Lab(postgres_server, admin, stack)
