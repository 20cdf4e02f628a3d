"""The sink of a dry run: compares an archive's secrets with the live ones, and writes none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from ...formats.secret import MAX_SECRET, Secret
from ..words import VAULT
from .fan_out import AHEAD, fan_out
from .kv.answers import Absent, Deleted, Found, Oversize, Refused
from .kv.client import SMALL, VaultClient
from .kv.roots import Root, check_roots, locate, owns
from .kv.values import Values, equal
from .metadata.keys import Keys
from .path_set import PathSet
from .reports import Named

if TYPE_CHECKING:
    from ...pipeline.engine import Inlet


@dataclass
class CompareReport:
    """What a restore would do: ``new`` secrets are not there now or deleted, ``changed`` ones have another value.

    One without a value in the archive is new where there is no such key, and else unchanged: what is there stays.
    ``unreadable`` ones exist and cannot be compared: a restore would fail at them. ``own_secrets`` are the product's
    own and would be left as they are. ``seconds`` passed from the first secret to the last.
    """

    new: Named[str] = field(default_factory=Named)
    changed: Named[str] = field(default_factory=Named)
    unchanged: int = 0
    unreadable: Named[str] = field(default_factory=Named)
    reason: str = ""
    own_secrets: Named[str] = field(default_factory=Named)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many secrets of the archive a restore would bring back."""
        return self.new.count + self.changed.count + self.unchanged + self.unreadable.count


class Compare:
    """Reads the live value of every secret of an archive. The three results are complete after the run.

    Raises ``ConfigurationError`` for an archive path that no root takes, and what the client's requests raise.
    """

    name = "vault"
    server = VAULT

    def __init__(
        self, client: VaultClient, roots: Sequence[Root], *, workers: int = 20, own: Sequence[str] = ()
    ) -> None:
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
        self._own = tuple(own)
        self._started = 0.0
        self._values = Values(client)
        self._keys = Keys(client)

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Compare every secret."""
        for root in self._roots:  # a missing mount shows at once
            await self.client.kv_version(root.mount)
        await fan_out(secrets.batch, self._workers, self._compare, lambda secret: secret.nbytes > SMALL)
        if self._started:
            self.report.seconds = monotonic() - self._started

    async def _compare(self, secret: Secret) -> None:
        self._started = self._started or monotonic()
        if not secret.gone:  # a value that is there now is none of the archive's
            self.known.add(secret.path)
        root, path = locate(self._roots, secret.path)
        if owns(self._own, root.mount, path):
            self.report.own_secrets.add(secret.path)
            return
        self.seen.add(root.prefix)
        report = self.report
        async with self._values.read(root.mount, path) as live:
            match live:
                case Absent() if secret.gone:
                    await self._compare_gone(secret, root, path)
                case Found() | Deleted() | Oversize() if secret.gone:
                    report.unchanged += 1
                case Absent() | Deleted():
                    report.new.add(secret.path)
                case Found() if await equal(live.value, secret.value):
                    report.unchanged += 1
                case Found():
                    report.changed.add(secret.path)
                case Refused():
                    self._unreadable(secret.path, live.reason)
                case Oversize():
                    self._unreadable(secret.path, f"it is larger than {MAX_SECRET >> 20} MiB")

    async def _compare_gone(self, secret: Secret, root: Root, path: str) -> None:
        """One without a value, in the archive and here: whether there is a key at all."""
        absent = False
        if await self.client.kv_version(root.mount) == 2:
            absent = isinstance(await self._keys.read(root.mount, path), Absent)
        if absent:
            self.report.new.add(secret.path)
        else:
            self.report.unchanged += 1

    def _unreadable(self, path: str, why: str) -> None:
        self.report.unreadable.add(path)
        self.report.reason = self.report.reason or why
