"""The embedded servers, filled to the size that a benchmark asks for; PostgreSQL and OpenBao write to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from kleidia_backup.service.demo.run import Demo

#: Bytes of SQL text that one row of ``grow`` becomes.
ROW = 230


@pytest.fixture(scope="session")
def demo_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int, int], tuple[Demo, Path]]]:
    """Starts a system on first use, and fills it for so many keys and at least so many bytes of SQL text."""
    directory = tmp_path_factory.mktemp("benchmark")
    directory.chmod(0o755)
    started: list[Demo] = []
    filled = {"keys": 0, "bytes": 0}

    def system(keys: int, sql_bytes: int) -> tuple[Demo, Path]:
        if not started:
            started.append(Demo.start(directory / "servers"))
            started[0].write_configuration(directory)
            started[0].fill(keys)
            filled["keys"] = keys
        assert filled["keys"] == keys, "one number of keys a session: run other sizes in a session of their own"
        if sql_bytes > filled["bytes"]:
            grow(started[0].database.full_conninfo(), (sql_bytes - filled["bytes"]) // ROW)
            filled["bytes"] = sql_bytes
        return started[0], directory

    yield system
    for demo in started:
        demo.servers.stop()


def grow(conninfo: str, rows: int) -> None:
    """Add rows to the audit log, made by the server itself."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_logs (user_id, action, ip_address, hostname, details, created_at)"
            " SELECT 1 + n %% 5, 'login', '10.0.' || n %% 256 || '.1', 'host-' || n %% 50 || '.example.org',"
            " jsonb_build_object('serial', md5(n::text), 'agent', 'Mozilla/5.0 (X11; Linux x86_64)', 'n', n,"
            " 'session', encode(sha256(n::text::bytea), 'base64')), now() FROM generate_series(1, %s) n",
            (rows,),
        )
