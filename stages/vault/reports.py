"""What a backup or a restore did with a vault, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..words import count, one_or_more

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Paths that a report names; it counts the others.
NAMED = 1000
#: Strings in one request that a server takes by default; more of them can be read, but not written back.
SERVER_STRINGS = 1000


@dataclass
class ReadReport:
    """What a ``VaultSource`` did. Lists name ``NAMED`` paths at most.

    ``deleted`` secrets have a deleted or destroyed newest version. ``vanished`` ones were listed and had no value
    when they were read: deleted in between, or metadata only. ``unreadable`` are pairs of archive path (a folder
    ends with a slash) and reason. ``heavy`` ones hold more strings than a server takes in one request by default.
    ``empty_roots`` held nothing at all. ``seconds`` is how long it took.
    """

    read: int = 0
    bytes: int = 0
    deleted: int = 0
    vanished: int = 0
    unreadable_count: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    custom_metadata: int = 0
    heavy_count: int = 0
    heavy: list[str] = field(default_factory=list)
    empty_roots: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """How many paths were met, with a value or without."""
        return self.read + self.deleted + self.vanished + self.unreadable_count

    def note_unreadable(self, path: str, why: str) -> None:
        """Count a path that could not be read, and name it while there is room."""
        self.unreadable_count += 1
        if len(self.unreadable) < NAMED:
            self.unreadable.append((path, why))

    def note_heavy(self, path: str) -> None:
        """Count a secret that a server with default settings would not take back, and name it while there is room."""
        self.heavy_count += 1
        if len(self.heavy) < NAMED:
            self.heavy.append(path)

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = []
        if self.unreadable_count:
            found.append(f"{count(self.unreadable_count, 'vault path')} could not be read: {some(self.unreadable)}.")
        if self.deleted:
            are = one_or_more(self.deleted, "is not in the archive because its", "are not in the archive because their")
            found.append(f"{count(self.deleted, 'secret')} {are} newest version is deleted.")
        if self.custom_metadata:
            have = one_or_more(self.custom_metadata, "has", "have")
            found.append(
                f"{count(self.custom_metadata, 'secret')} {have} custom metadata, which the archive cannot hold."
            )
        if self.heavy_count:
            hold = one_or_more(self.heavy_count, "holds", "hold")
            example = one_or_more(self.heavy_count, "", "for example ")
            found.append(
                f"{count(self.heavy_count, 'secret')} {hold} more than {SERVER_STRINGS:,} strings, "
                f"{example}{self.heavy[0]}: a restore needs a listener with a higher max_request_json_strings."
            )
        found += [f"The vault root {root} holds no secret." for root in self.empty_roots]
        return found


@dataclass
class WriteReport:
    """What a ``VaultSink`` did. ``written`` counts overwritten and ``created`` ones; ``unchanged`` were equal already.

    ``failed`` are pairs of archive path and reason, ``NAMED`` of them at most. ``seconds`` is how long it took.
    """

    total: int = 0
    written: int = 0
    created: int = 0
    unchanged: int = 0
    failed_count: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def note_failed(self, path: str, why: str) -> None:
        """Count a secret that could not be written, and name it while there is room."""
        self.failed_count += 1
        if len(self.failed) < NAMED:
            self.failed.append((path, why))

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        if not self.failed_count:
            return []
        return [f"{self.failed_count:,} of {count(self.total, 'secret')} could not be written: {some(self.failed)}."]


def some(failures: Sequence[tuple[str, str]], most: int = 20) -> str:
    """The first paths of a list of failures, and the reason of the first."""
    more = ", …" if len(failures) > most else ""
    return f"{', '.join(path for path, _ in failures[:most])}{more} ({failures[0][1]})"
