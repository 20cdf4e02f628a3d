"""One backup that takes from an earlier archive: what of it may be used, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .outcome import FullRead, Incremental
from .roots import other_roots, other_vault, unreadable

if TYPE_CHECKING:
    from ....formats.v2.recorded import Vault
    from ..kv.client import VaultClient
    from ..kv.roots import Root
    from ..metadata.gather import Gather
    from ..reports import ReadReport
    from .earlier import Earlier
    from .outcome import Why


@dataclass(frozen=True, slots=True)
class Found:
    """The archive that was found: its name, what is taken from it and the vault that it is of; or why nothing is."""

    archive: str = ""
    earlier: Earlier | None = None
    vault: Vault | None = None
    full: FullRead | None = None


@dataclass(slots=True)
class Taking:
    """``roots`` are those that are taken from, ``full`` by their prefixes why others are not."""

    found: Found
    roots: Sequence[Root] = ()
    full: dict[str, FullRead] = field(default_factory=dict)

    @classmethod
    async def begin(cls, client: VaultClient, roots: Sequence[Root], now: Vault, found: Found) -> Taking:
        """Compare the archive with the vault that is read now. Raises what the client's requests raise."""
        if found.earlier is None or found.vault is None:
            return cls(found, full={"": found.full or FullRead("unrecorded")})
        if why := other_vault(now, found.vault):
            return cls(found, full={"": FullRead(why)})
        full = dict(other_roots(now, found.vault))
        left = [root for root in roots if root.prefix not in full]
        if left:
            full |= {root.prefix: FullRead("rights", str(root)) for root in await unreadable(client, left)}
        return cls(found, [root for root in left if root.prefix not in full], full)

    @classmethod
    def nothing(cls, why: Why) -> Taking:
        """Everything is read, whatever archives there are."""
        return cls(Found(), full={"": FullRead(why)})

    def outcome(self, report: ReadReport, gather: Gather | None) -> Incremental:
        """What came of it, when the source has ended."""
        why = list(self.full.values())
        if self.found.earlier is not None and (failed := self.found.earlier.failed):
            why.append(failed)
        why += [FullRead("no_listing", str(root)) for root in self.roots if gather and not gather.lists(root)]
        return Incremental(archive=self.found.archive, taken=report.taken, read=report.read, full=tuple(why))
