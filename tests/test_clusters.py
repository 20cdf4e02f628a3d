"""Servers of other versions and standbys: they follow, and nothing of them stays whatever happens to the tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from kleidia_backup.demo.servers.processes import recorded

from .clusters import StandbyPair

_HOLDER = """
import pathlib, sys
from tests.clusters import running_pair
home = pathlib.Path(sys.argv[1])
def make(name):
    (home / name).mkdir()
    return home / name
with running_pair(make) as pair:
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_standby_shows_what_its_primary_committed(standby_pair: StandbyPair) -> None:
    """It is in recovery, refuses to write, and has each row that was committed before it caught up."""
    with psycopg.connect(standby_pair.primary.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE followed AS SELECT 1 AS x")
        standby_pair.catch_up()
        with psycopg.connect(standby_pair.standby.conninfo(), autocommit=True) as standby:
            assert standby.execute("SELECT x, pg_is_in_recovery() FROM followed").fetchall() == [(1, True)]
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                standby.execute("DELETE FROM followed")
        connection.execute("DROP TABLE followed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_servers_end_with_whoever_started_them(tmp_path: Path, number: signal.Signals) -> None:
    """After Ctrl-C and after a kill no server runs, and no data directory is left."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == "ready\n"
        records = [record for name in ("primary", "standby") for _, record in recorded(tmp_path / name)]
        homes = [Path(record.argv[record.argv.index("-D") + 1]).parent for record in records]
        assert len(homes) == 2
        assert all(home.is_dir() for home in homes)
        assert all(record.alive() for record in records)
        holder.send_signal(number)
        holder.wait(30)
    deadline = time.monotonic() + 30
    while any(record.alive() for record in records) or any(home.exists() for home in homes):
        assert time.monotonic() < deadline
        time.sleep(0.05)
