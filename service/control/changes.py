"""A version counter for the jobs' rows: caches compare it."""

from __future__ import annotations


class Changes:
    """``number`` grows after each write of this replica that was committed."""

    def __init__(self) -> None:
        self.number = 0

    def add(self) -> None:
        """Count a write that was committed."""
        self.number += 1
