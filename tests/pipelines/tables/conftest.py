"""A filled database for each test, whose server has no scratch database of ours afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kleidia_backup.demo.servers.together import PostgresServer

from .lab import Lab, make


@pytest.fixture
def lab(database: str, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Lab]:
    lab = make(database, postgres_server.bin_dir / "pg_dump", tmp_path / "store")
    yield lab
    assert lab.scratch() == []
