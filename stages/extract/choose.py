"""The stage that lets chosen secrets pass. It runs on asyncio and trio, and knows neither files nor servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import translate
from typing import TYPE_CHECKING, ClassVar

import msgspec

from ..errors import ConfigurationError
from ..words import count

if TYPE_CHECKING:
    from ...formats.secret import Secret
    from ...formats.v2.entries import Entry
    from ...pipeline.engine import Inlet, Outlet

#: Paths that are remembered to find the nearest names among, and how many of these are named.
_REMEMBERED = 50_000
_NEAREST = 3
#: Most bytes of chosen secrets that are kept.
KEPT = 16 * 1024 * 1024
_GLOB = re.compile(r"[*?\[]")


class NotInArchive(ConfigurationError):
    """The archive does not have what was asked for: ``missing`` are those names, ``nearest`` names that it has."""

    public: ClassVar[bool] = False

    def __init__(self, kind: str, missing: Sequence[str], known: Sequence[str]) -> None:
        nearest = [name for each in missing for name in get_close_matches(each, known, n=_NEAREST)]
        self.missing = tuple(missing)
        self.nearest = tuple(dict.fromkeys(nearest))
        super().__init__(
            f"The archive has no {kind} {', '.join(missing)}.",
            hint=f"Nearest are: {', '.join(self.nearest)}."
            if nearest
            else f"`kleidia-backup contents NAME{' --secrets' * (kind == 'secret')}` lists what it has.",
            effect="nothing",
        )


class Choose:
    """Lets secrets pass whose archive path is one of ``patterns``, or fits one.

    Patterns have ``*``, ``?`` and ``[…]``, which take a ``/`` too; one that is itself the path of a secret means that
    secret alone, once it was seen: restores and exports see all paths before they write. With ``to`` the one secret
    that was chosen goes on under that path. Given ``see`` of an index, ``chunks`` are the numbers of the chunks that
    may hold chosen ones. What passed is kept, up to ``KEPT`` bytes: after the reading that verified the archive it can
    be had ``again``, and need not be read once more.

    Raises ``ConfigurationError`` for patterns that choose nothing.
    """

    name = "choose"
    #: Bytes: what is kept.
    working_set = KEPT

    def __init__(self, patterns: Sequence[str], to: str = "") -> None:
        if not patterns or not all(patterns):
            raise ConfigurationError("A secret that is asked for has no name.", hint="Give its path, or a pattern.")
        self.chunks: list[int] = []
        self._to = to
        self._exact = frozenset(patterns)
        self._globs = {each: re.compile(translate(each)) for each in patterns if _GLOB.search(each)}
        self._missing = dict.fromkeys(patterns)
        self._known: dict[str, None] = {}
        self._whole = True  # whether the index lists all paths, if one was seen
        self._seen = False
        self._kept: list[Secret] | None = None

    @property
    def settled(self) -> bool:
        """Whether one reading is enough to know what is chosen: no pattern can turn out to be the path of a secret."""
        return not self._globs or (self._seen and self._whole)

    def again(self) -> list[Secret] | None:
        """What the last reading to the end has chosen; None before one, and when it was too large to be kept."""
        if self._kept is None:
            return None
        return self._moved([secret for secret in self._kept if self._takes(secret.path)])

    def see(self, number: int, entry: Entry) -> None:
        """Look at a chunk's line of an index."""
        self._seen = True
        if entry.k != "kv":
            return
        if entry.paths is msgspec.UNSET:
            self._whole = False
            self.chunks.append(number)
        elif sum(map(self._takes, entry.paths)):
            self.chunks.append(number)

    def check_index(self) -> None:
        """The index ended. Raises ``NotInArchive`` when it lists all paths, and something asked for is not there."""
        if self._whole:
            self._check_missing()

    async def __call__(self, secrets: Inlet[Secret], out: Outlet[Secret]) -> None:
        """Let them pass. Raises ``NotInArchive`` at the end, and ``ConfigurationError`` for ``to`` and several."""
        kept: list[Secret] = []
        size = passed = 0
        while batch := await secrets.batch():
            chosen = [secret for secret in batch if self._takes(secret.path)]
            passed += len(chosen)
            size += sum(secret.nbytes for secret in chosen)
            kept += chosen if size <= KEPT else ()
            await out.send_together(self._moved(chosen))
        self._check_missing()
        if self._to and passed != 1:
            raise ConfigurationError(
                f"{count(passed, 'secret')} cannot be restored to one path.",
                hint="Choose one secret, or leave the other path out.",
                effect="nothing",
            )
        self._kept = kept if size <= KEPT else None

    def _moved(self, chosen: list[Secret]) -> list[Secret]:
        return [replace(secret, path=self._to) for secret in chosen] if self._to else chosen

    def _check_missing(self) -> None:
        if self._missing:
            raise NotInArchive("secret", list(self._missing), list(self._known))

    def _takes(self, path: str) -> bool:
        fits = [each for each, glob in self._globs.items() if glob.match(path)]
        if path in self._exact:
            self._globs.pop(path, None)  # a name with brackets is no pattern where a secret has it
            fits.append(path)
        for each in fits:
            self._missing.pop(each, None)
        if self._missing and len(self._known) < _REMEMBERED:
            self._known[path] = None
        return bool(fits)
