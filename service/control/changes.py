"""What this replica has written about jobs, counted: who keeps an answer for a while sees that it is out of date."""

from __future__ import annotations


class Changes:
    """A number that is another one after each change that is committed."""

    def __init__(self) -> None:
        self.number = 0

    def note(self) -> None:
        """Something has changed, and everybody can read it."""
        self.number += 1
