"""Runs the command in this very process, then says on stderr how much memory that took at its peak, in KiB.

The peak is VmHWM, that of this address space. ``ru_maxrss`` would be that of whoever started us, if larger.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from kleidia_backup.cli import main


def peak() -> int:
    """KiB at the peak so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found.group(1))


if __name__ == "__main__":
    status = main(sys.argv[1:])
    print(f"peak {peak()}", file=sys.stderr)
    sys.exit(status)
