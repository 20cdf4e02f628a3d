"""An earlier archive that secrets are taken from: found by their paths, a chunk at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....formats.errors import ArchiveError
from ....formats.secret import MAX_SECRET
from ...errors import StoreError
from .outcome import FullRead, Why
from .table import WORKING_SET as TABLE

if TYPE_CHECKING:
    from ....formats.secret import Secret
    from ....formats.v2.recorded import Vault
    from .table import ChunkTable

#: Chunks that are held. Workers that list folders side by side make the order of an archive, by some folders more or
#: less; so those that are asked for next are in a few of its chunks.
HELD = 8
#: Bytes of the largest chunk that is looked into, decompressed. Nearly all have half a megabyte; a larger one holds a
#: large secret alone, which is read.
LARGEST = 1024 * 1024
#: From so many chunks more than there are on, a chunk must have given so many secrets on average.
_TRIES, _WORTH = 64, 20


class Earlier:
    """``table`` says in which chunk a path is, ``load`` gives the secrets of one; there are so many ``chunks``.

    Everything that ``load`` gives is authenticated. When it raises, nothing more is taken, and ``failed`` says why;
    likewise when the archive does not say which versions it holds, and when chunks are asked for in so scattered an
    order that reading secrets from the vault is cheaper.
    """

    #: Bytes: the table, the chunks that are held (a small secret has some hundred bytes, and as much again around it),
    #: and the one that is opened.
    working_set = TABLE + (HELD + 3) * 3 * LARGEST

    def __init__(
        self,
        table: ChunkTable,
        load: Callable[[int], Awaitable[Iterable[Secret]]],
        chunks: int,
    ) -> None:
        self.failed: FullRead | None = None
        self._table = table
        self._load = load
        self._chunks = chunks
        self._held: OrderedDict[int, dict[str, Secret]] = OrderedDict()
        self._last: dict[str, Secret] = {}  # of the chunks that are held the one that was asked last
        self._loaded = self._found = 0

    def useless(self) -> bool:
        """Whether it failed: nothing more is taken."""
        return self.failed is not None

    def at_hand(self, path: str) -> Secret | None:
        """As ``find``, where that is in the chunk that was asked last; None where it is not, and ``find`` says more."""
        secret = self._last.get(path)
        return None if secret is None else self._given(secret)

    async def find(self, path: str) -> Secret | None:
        """What the archive has at a path; None where it has nothing, and after it failed. For one task at a time."""
        for number in self._table.find(path):
            chunk = self._held.get(number)
            if chunk is None:
                chunk = await self._open(number)
            else:
                self._held.move_to_end(number)
            if (secret := chunk.get(path)) is not None:
                self._last = chunk
                return self._given(secret)
        return None

    def _given(self, secret: Secret) -> Secret | None:
        if secret.origin is None and not secret.gone:  # made without metadata: of no secret it is known
            self._fail("unrecorded")
            return None
        self._found += 1
        return secret

    async def _open(self, number: int) -> dict[str, Secret]:
        if self.useless():
            return {}
        self._loaded += 1
        if self._loaded > self._chunks + _TRIES and self._found < _WORTH * self._loaded:
            return self._fail("scattered")
        try:
            secrets = await self._load(number)
        except ArchiveError:
            return self._fail("damaged")
        except StoreError:
            return self._fail("store")
        if self.useless():  # meanwhile, by what another task was given
            return {}
        while len(self._held) >= HELD:
            self._held.popitem(last=False)
        chunk = self._held[number] = {secret.path: secret for secret in secrets}
        return chunk

    def _fail(self, why: Why) -> dict[str, Secret]:
        self.failed = FullRead(why)
        self._held.clear()
        self._last = {}
        return {}


def small(raw: int) -> bool:
    """Whether a chunk of so many bytes decompressed is looked into."""
    return raw <= min(LARGEST, MAX_SECRET)


@dataclass(frozen=True, slots=True)
class Found:
    """The archive that was found: its name, what is taken from it and the vault that it is of; or why nothing is."""

    archive: str = ""
    earlier: Earlier | None = None
    vault: Vault | None = None
    full: FullRead | None = None
