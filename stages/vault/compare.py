"""The sink of a dry run: compares an archive's secrets with the live ones, and writes none."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from ...formats.secret import MAX_SECRET, Secret
from .answers import Absent, Deleted, Found, Oversize, Refused
from .fan_out import AHEAD, fan_out
from .live import LiveValues, same
from .path_set import PathSet
from .reports import NAMED
from .roots import check_roots, locate
from .source import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...pipeline.engine import Inlet
    from .client import VaultClient
    from .roots import Root


@dataclass
class Named:
    """So many secrets; ``paths`` names ``NAMED`` of them at most, by their archive path."""

    count: int = 0
    paths: list[str] = field(default_factory=list)

    def note(self, path: str) -> None:
        """Count one, and name it while there is room."""
        self.count += 1
        if len(self.paths) < NAMED:
            self.paths.append(path)


@dataclass
class CompareReport:
    """What a restore would do: ``new`` secrets are not there now or deleted, ``changed`` ones have another value.

    ``unreadable`` ones exist and cannot be compared: a restore would fail at them. ``seconds`` passed from the first
    secret to the last.
    """

    new: Named = field(default_factory=Named)
    changed: Named = field(default_factory=Named)
    unchanged: int = 0
    unreadable: Named = field(default_factory=Named)
    reason: str = ""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many secrets the archive has."""
        return self.new.count + self.changed.count + self.unchanged + self.unreadable.count


class Compare:
    """Reads the live value of every secret of an archive. The three results are complete after the run.

    Raises ``ConfigurationError`` for an archive path that no root takes, and what the client's requests raise.
    """

    name = "vault"

    def __init__(self, client: VaultClient, roots: Sequence[Root], *, workers: int = 20) -> None:
        check_roots(roots)
        self.report = CompareReport()
        #: The paths of the archive.
        self.known = PathSet()
        #: The prefixes of the roots of which the archive has some secret.
        self.seen: set[str] = set()
        #: Bytes: a secret, its live value, and the answer it came in, per worker; those that wait.
        self.working_set = 3 * (workers * SMALL + MAX_SECRET) + AHEAD * SMALL
        self.client = client
        self._roots = tuple(roots)
        self._workers = workers
        self._started = 0.0
        self._live = LiveValues(client)

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Compare every secret."""
        for root in self._roots:  # a missing mount shows at once
            await self.client.kv_version(root.mount)
        await fan_out(secrets.batch, self._workers, self._compare, lambda secret: secret.nbytes > SMALL)
        if self._started:
            self.report.seconds = monotonic() - self._started

    async def _compare(self, secret: Secret) -> None:
        self._started = self._started or monotonic()
        self.known.add(secret.path)
        root, path = locate(self._roots, secret.path)
        self.seen.add(root.prefix)
        live = await self._live.read(root.mount, path)
        report = self.report
        match live:
            case Absent() | Deleted():
                report.new.note(secret.path)
            case Found() if await same(live.value, secret.value):
                report.unchanged += 1
            case Found():
                report.changed.note(secret.path)
            case Refused():
                self._unreadable(secret.path, live.reason)
            case Oversize():
                self._unreadable(secret.path, f"it is larger than {MAX_SECRET >> 20} MiB")

    def _unreadable(self, path: str, why: str) -> None:
        self.report.unreadable.note(path)
        self.report.reason = self.report.reason or why
