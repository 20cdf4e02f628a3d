"""Run the service for long, and see that nothing grows: ``python -m benchmarks.soak [--minutes N] [--hours N]``.

``--minutes`` are of a service in real time, whose database, vault and store go away and come back, answer slowly and
are full; ``--hours`` of schedules in faked time. RSS, descriptors, connections, threads and rows of the control tables
are sampled. Exit status 1 says that one of them grew: the line of least squares through what comes after the first
third rises over the rest by more than benchmarks/soak/samples.py allows; a run of less than ten minutes shows what
grows fast alone, and may rise by four times as much. ``--page`` keeps the drawings in docs/.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import structlog

from kleidia_backup.demo.servers.together import start_servers
from tests.memory import has_room

from ..chaos.commands import ROOT
from . import faked, real
from .plot import plot
from .samples import PER_JOB, Sample, verdicts

#: Seconds below which a run in real time is a short one, and by how much more its curves may rise.
SHORT, SHORTENED = 600.0, 4


def judged(samples: list[Sample], title: str, hours: float, page: Path | None) -> bool:
    """Print how each curve rises, keep the drawing, and say whether all are flat."""
    if page is not None:
        page.write_text(plot(samples, title, hours), encoding="utf-8")
    print(f"{title}: {len(samples)} samples, {samples[-1]['jobs']:.0f} jobs, {samples[-1][PER_JOB]:.1f} {PER_JOB}")
    flat, short = True, samples[-1]["at"] - samples[0]["at"] < SHORT and title.endswith("real time")
    for name, (rise, allowed) in verdicts(samples).items():
        limit = allowed * (SHORTENED if short else 1)
        good = rise <= limit
        flat &= good
        print(f"  {name:12} rises by {rise:8.2f}, may by {limit:8.2f}{'' if good else '  GROWS'}", flush=True)
    return flat


def main() -> int:
    """Run what is asked for; 1 when something grew, or no job ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="in real time (default: 60; 0: none)")
    parser.add_argument("--hours", type=float, default=8.0, help="in faked time (default: 8; 0: none)")
    parser.add_argument("--log", type=Path, help="keep the service's log here")
    parser.add_argument("--page", action="store_true", help="keep the drawings in docs/")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    flat = True
    with tempfile.TemporaryDirectory(prefix="kleidia-soak-", dir="/dev/shm" if has_room() else None) as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL runs as another account, and must pass through
        if given.hours:
            with start_servers(directory / "faked", openbao=False, s3=False, fsync=False) as servers:
                samples = asyncio.run(faked.soak(servers.postgres, given.hours))
            page = ROOT / "docs" / "soak-faked.svg" if given.page else None
            flat &= judged(samples, f"{given.hours:g} hours in faked time", given.hours, page)
            flat &= samples[-1]["jobs"] > 0
        if given.minutes:
            log = given.log or directory / "service.log"
            samples, done = asyncio.run(real.soak(directory / "real", 60 * given.minutes, log))
            page = ROOT / "docs" / "soak-real.svg" if given.page else None
            flat &= judged(samples, f"{given.minutes:g} minutes in real time", given.minutes / 60, page)
            print("  " + ", ".join(f"{what} {count} times" for what, count in sorted(Counter(done).items())))
            flat &= samples[-1]["jobs"] > 0
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
