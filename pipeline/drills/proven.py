"""What reports of drills say of archives, for a listing. Light: a listing needs nothing else of drills."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

#: The names of reports, which sort by time.
PATTERN = "drill-*.json"


def read_report(path: Path) -> dict[str, Any] | None:
    """A report; None for what is none. Raises ``OSError``."""
    try:
        report = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None


@dataclass(frozen=True, slots=True)
class Proof:
    """When a drill last brought an archive back, and the size in bytes that the archive had."""

    at: datetime
    size: int

    def holds(self, size: int, modified: datetime) -> bool:
        """Whether an archive of this size, that the store took at this time, is the one that was drilled."""
        return size == self.size and modified <= self.at


def proven(directory: Path) -> dict[str, Proof]:
    """The last proof of each archive, by its full name, as far as reports have one; for a listing."""
    found: dict[str, Proof] = {}
    with contextlib.suppress(OSError):
        for path in sorted(directory.glob(PATTERN)):
            report = read_report(path) or {}
            if report.get("verdict") == "proven":
                with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
                    archive = report["archive"]
                    found[archive["key"]] = Proof(datetime.fromisoformat(report["ended"]), int(archive["size"]))
    return found
