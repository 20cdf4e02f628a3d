"""What is sampled of a service, and the rule by which a curve is flat."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import psycopg
from psycopg import sql

#: What may rise over the whole time after the warm-up: of RSS a part of its mean, of the others a number.
ALLOWED = {"RSS, MiB": 0.1, "descriptors": 8.0, "connections": 6.0, "threads": 4.0, "rows": 30.0}
#: The first part of the time, in which caches and pools fill.
WARM_UP = 1 / 3
#: Tables that keep history, a few rows for each job: they grow as they should, and are sampled apart.
HISTORY = {"jobs", "audit"}
PER_JOB = "history rows a job"

Sample = dict[str, float]


@dataclass
class Sampler:
    """Samples a process and the control tables that it uses. ``control`` is a connection string of its own."""

    process: psutil.Process
    control: str
    #: Whether something takes jobs from the queue. Where nobody does, what waits there grows, and is not counted.
    queued: bool = True

    def sample(self) -> Sample:
        """Now."""
        with psycopg.connect(self.control, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT schemaname, relname FROM pg_stat_user_tables"
                " WHERE schemaname = 'kleidia_backup' AND (%s OR relname NOT LIKE 'procrastinate%%')",
                (self.queued,),
            ).fetchall()
            counts: dict[str, int] = {}
            for schema, name in tables:
                counting = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
                (counts[name],) = connection.execute(counting).fetchone() or (0,)
        with self.process.oneshot():
            return {
                "RSS, MiB": self.process.memory_info().rss / 2**20,
                "descriptors": self.process.num_fds(),
                "connections": len(self.process.net_connections("tcp")),
                "threads": self.process.num_threads(),
                "rows": sum(count for name, count in counts.items() if name not in HISTORY),
                "jobs": counts.get("jobs", 0),
                PER_JOB: sum(counts.get(name, 0) for name in HISTORY) / max(1, counts.get("jobs", 1)),
                "at": time.monotonic(),
            }


def rises(samples: Sequence[Sample], name: str) -> float:
    """By how much the line of least squares rises after the warm-up, over all of that time."""
    some = samples[int(len(samples) * WARM_UP) :]
    if len(some) < 2:
        return 0.0
    places, values = range(len(some)), [each[name] for each in some]
    middle, mean = (len(some) - 1) / 2, sum(values) / len(values)
    spread = sum((place - middle) ** 2 for place in places)
    slope = sum((place - middle) * (value - mean) for place, value in zip(places, values, strict=True)) / spread
    return slope * (len(some) - 1)


def verdicts(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """By how much each curve rises, and by how much it may."""
    found = {}
    for name, allowed in ALLOWED.items():
        values = [each[name] for each in samples]
        limit = allowed * sum(values) / len(values) if name.startswith("RSS") else allowed
        found[name] = rises(samples, name), limit
    return found
