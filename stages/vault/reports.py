"""What a backup or a restore did with a vault, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ...formats.json import text as jsontext
from ..words import count, one_or_more

T = TypeVar("T")

#: Paths that a report names; it counts the others.
NAMED = 1000
#: Strings in one request that a server takes by default; more of them can be read, but not written back.
SERVER_STRINGS = 1000
_STANDBY = "The vault's server is a standby, which may answer with an older state than the active server has:"


@dataclass
class Named(Generic[T]):
    """A count of secrets or paths, and the first ``NAMED`` of them."""

    count: int = 0
    names: list[T] = field(default_factory=list)

    def add(self, name: T) -> None:
        """Count one, and name it while there is room."""
        self.count += 1
        if len(self.names) < NAMED:
            self.names.append(name)


@dataclass
class ReadReport:
    """What a ``VaultSource`` did.

    ``taken`` ones were not read, but taken from an earlier archive. ``deleted`` secrets have a deleted or destroyed
    newest version, or metadata alone where the archive takes that.
    ``vanished`` ones were listed and had no value when they were read: deleted in between, or metadata alone.
    ``unreadable`` are pairs of archive path (a folder ends with a slash) and reason. ``too_many_strings`` names secrets
    with more strings than a server takes in one request by default. ``empty_roots`` held nothing at all.
    ``own_secrets`` are the product's own, which were passed over (a folder ends with a slash). ``carries_metadata``:
    the archive takes metadata as well; None: it could, and the settings leave it out. ``behind``: a standby
    answered, and its reads may be older than what the active server holds.
    """

    read: int = 0
    taken: int = 0
    deleted: int = 0
    vanished: int = 0
    unreadable: Named[tuple[str, str]] = field(default_factory=Named)
    custom_metadata: int = 0
    too_many_strings: Named[str] = field(default_factory=Named)
    empty_roots: list[str] = field(default_factory=list)
    own_secrets: Named[str] = field(default_factory=Named)
    carries_metadata: bool | None = False
    behind: bool = False

    @property
    def seen(self) -> int:
        """How many paths were met, with a value or without."""
        return self.read + self.taken + self.deleted + self.vanished + self.unreadable.count

    def look_at(self, name: str, value: bytes) -> None:
        """Remember a secret that has too many strings."""
        # A string has two quotes: counting those first is quick, and enough for nearly all.
        if value.count(b'"') > 2 * SERVER_STRINGS - 16 and jsontext.strings(value) > SERVER_STRINGS - 8:
            self.too_many_strings.add(name)

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = []
        if self.unreadable.count:
            paths = count(self.unreadable.count, "vault path")
            found.append(f"{paths} could not be read: {some(self.unreadable.names)}.")
        if self.deleted and not self.carries_metadata:
            are = one_or_more(self.deleted, "is not in the archive because its", "are not in the archive because their")
            found.append(f"{count(self.deleted, 'secret')} {are} newest version is deleted.")
        if self.custom_metadata and self.carries_metadata is False:
            have = one_or_more(self.custom_metadata, "has", "have")
            found.append(
                f"{count(self.custom_metadata, 'secret')} {have} custom metadata, "
                "which an archive of format V1 cannot hold."
            )
        if many := self.too_many_strings.count:
            hold = one_or_more(many, "holds", "hold")
            example = one_or_more(many, "", "for example ") + self.too_many_strings.names[0]
            found.append(
                f"{count(many, 'secret')} {hold} more than {SERVER_STRINGS:,} strings, "
                f"{example}: a restore needs a listener with a higher max_request_json_strings."
            )
        found += [f"The vault root {root} holds no secret." for root in self.empty_roots]
        if self.behind:
            found.append(
                f"{_STANDBY} the archive can lack what was written shortly before. "
                "Configure the active server's address."
            )
        return found


@dataclass
class WriteReport:
    """What a ``VaultSink`` did. ``written`` counts created and overwritten ones; ``unchanged`` were equal already.

    ``failed`` are pairs of archive path and reason. ``own_secrets`` are the product's own that an older archive holds:
    they were left as they are and are not in the total. ``kept`` have a value, and had none when the archive was made.
    ``behind``: a standby answered, and its reads may be older than what the active server holds.
    """

    total: int = 0
    written: int = 0
    unchanged: int = 0
    failed: Named[tuple[str, str]] = field(default_factory=Named)
    own_secrets: Named[str] = field(default_factory=Named)
    kept: Named[str] = field(default_factory=Named)
    behind: bool = False

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = []
        if self.failed.count:
            of = f"{self.failed.count:,} of {count(self.total, 'secret')}"
            found.append(f"{of} could not be written: {some(self.failed.names)}.")
        if self.behind:
            found.append(
                f"{_STANDBY} a secret that was changed shortly before can have been taken for unchanged. Restore once "
                "more by way of the active server's address; what is equal is not written again."
            )
        if number := self.kept.count:
            have = one_or_more(number, "has a value now and had", "have a value now and had")
            example = one_or_more(number, "", "for example ") + self.kept.names[0]
            found.append(
                f"{count(number, 'secret')} {have} none when the archive was made: what is there stays ({example})."
            )
        return found


def some(failures: Sequence[tuple[str, str]], most: int = 20) -> str:
    """The first paths of a list of failures, and the reason of the first."""
    more = ", …" if len(failures) > most else ""
    return f"{', '.join(path for path, _ in failures[:most])}{more} ({failures[0][1]})"
