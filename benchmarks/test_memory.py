"""Peak memory of a backup and of a restore, as the operating system counts it (peak RSS of our own process).

python -m pytest benchmarks/test_memory.py -s                            50,000 secrets, 1 GB of SQL
KLEIDIA_BENCH_KEYS=1000 KLEIDIA_BENCH_SQL_MB=100 python -m pytest benchmarks/test_memory.py -s
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kleidia_backup.service.demo.run import Demo

KEYS = int(os.environ.get("KLEIDIA_BENCH_KEYS", "50000"))
SQL_MB = int(os.environ.get("KLEIDIA_BENCH_SQL_MB", "1000"))
LIMIT_MIB = 200

#: Runs the command in this very process, then says how much it needed at most.
_RUN = """
import resource, sys
from kleidia_backup.cli import main
status = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(status)
"""


def peak(configuration: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    """Run a command; MiB at its peak, and its JSON result."""
    result = subprocess.run(
        [sys.executable, "-c", _RUN, "--config", str(configuration), "--json", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return int(result.stderr.split()[-1]), json.loads(result.stdout.splitlines()[-1])


def test_peak_memory(demo_system: Callable[[int, int], tuple[Demo, Path]], tmp_path: Path) -> None:
    """Backup, verification and restore of a large system stay under 200 MiB."""
    _, directory = demo_system(KEYS, SQL_MB * 1_000_000)
    text = (directory / "kleidia-backup.toml").read_text()
    head, _, tail = text.partition("[store]")
    _, _, tail = tail.partition("[password]")
    (tmp_path / "store").mkdir()
    configuration = tmp_path / "kleidia-backup.toml"
    configuration.write_text(f'{head}[store]\ntype = "directory"\npath = "{tmp_path}/store"\n\n[password]{tail}')
    configuration.chmod(0o600)

    made_mib, made = peak(configuration, "backup")
    name = str(made["name"])
    verified_mib, _ = peak(configuration, "verify", name)
    restored_mib, restored = peak(configuration, "restore", "--yes", name)
    sizes = f"{made['sql_bytes']:,} bytes of SQL, {made['secrets']:,} secrets, archive {made['size']:,} bytes"
    print(f"\n{sizes}\npeak RSS in MiB: backup {made_mib}, verify {verified_mib}, restore {restored_mib}")
    print(f"seconds: backup {made['seconds']}, restore {restored['seconds']}")
    assert int(str(made["secrets"])) >= KEYS
    assert int(str(made["sql_bytes"])) >= SQL_MB * 1_000_000
    assert max(made_mib, verified_mib, restored_mib) < LIMIT_MIB
