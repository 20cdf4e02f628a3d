"""After a restore: removes the secrets below the roots that the archive does not have.

It runs when everything else is committed. No later step can fail and want them back, and a restore whose prune broke
off is what a restore without it would have been. So what goes wrong here is a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ...stages.errors import ConfigurationError, KleidiaError, VaultForbidden
from ...stages.vault.extras import Extras, Prune
from ...stages.vault.kv.check import check_vault
from ...stages.vault.reports import some
from ...stages.words import count, one_or_more
from ..engine import Pipeline

if TYPE_CHECKING:
    from ...stages.vault.kv.client import VaultClient
    from ...stages.vault.kv.roots import Root
    from ...stages.vault.kv.settings import VaultSettings
    from ...stages.vault.path_set import PathSet
    from ..job import Job

#: Seconds that the job's limit leaves after a prune.
_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: how many, and at most 1000 by name. ``warnings`` say what was not, and why.

    ``left`` counts what should have been removed and was not, as far as that is known; 0 when all was.
    """

    count: int = 0
    paths: tuple[str, ...] = ()
    left: int = 0
    warnings: tuple[str, ...] = ()


async def check_rights(client: VaultClient, settings: VaultSettings) -> None:
    """Raise ``VaultForbidden`` when the token lacks a right that a prune needs; and what the client raises."""
    missing = await check_vault(client, settings.roots, restore=True, prune=True)
    if lacking := tuple(right for right in missing if right.verb in {"list", "delete"}):
        raise VaultForbidden(
            f"To remove secrets that the archive does not have, the token lacks {', '.join(map(str, lacking))}.",
            hint="Grant it, or restore without --prune.",
            rights=lacking,
        )


def unknown_roots(roots: Sequence[Root], seen: set[str]) -> list[str]:
    """The roots of which an archive has no secret, when it has some of those with the prefixes ``seen``."""
    return [str(root) for root in roots if root.prefix not in seen]


def check_archive(roots: Sequence[Root], seen: set[str]) -> None:
    """Raise ``ConfigurationError`` when the archive has no secret of some root: a prune would remove all there are.

    ``seen`` are the prefixes of the roots of which it has some.
    """
    if empty := unknown_roots(roots, seen):
        raise ConfigurationError(
            f"The archive has no secret of {', '.join(empty)}: to prune would remove every secret there.",
            hint="Restore without --prune, or leave that root out of the configuration.",
        )


async def prune(job: Job, client: VaultClient, settings: VaultSettings, known: PathSet, seconds: float) -> Pruned:
    """Remove every secret whose archive path is not ``known``; ends a little before the job's time limit strikes."""
    extras = Extras(client, settings.roots, known, workers=settings.workers, own=settings.own)
    sink = Prune(client, settings.roots, workers=settings.workers)
    pipeline = Pipeline()
    found = pipeline.source(extras)
    pipeline.sink(sink, found)
    job.begin("prune")
    broke = "The job's time limit was reached."
    try:
        with anyio.move_on_after(max(0.0, seconds - _MARGIN)):
            await job.run(pipeline, lambda: {"secrets": found.items})
            broke = ""
    except KleidiaError as exc:
        broke = exc.message
    warnings = [f"Not every secret that the archive does not have was removed: {broke}"] if broke else []
    removed, failed = sink.report.removed, sink.report.failed
    if failed.count:
        shown = some([(path, sink.report.reason) for path in failed.names])
        warnings.append(
            f"{count(failed.count, 'secret')} that the archive does not have could not be removed: {shown}."
        )
    if extras.report.unreadable.count:
        shown = some(extras.report.unreadable.names)
        stay = one_or_more(extras.report.unreadable.count, "stays", "stay")
        paths = count(extras.report.unreadable.count, "vault path")
        warnings.append(f"{paths} could not be looked at and {stay}: {shown}.")
    left = failed.count + extras.report.unreadable.count or len(warnings)
    return Pruned(removed.count, tuple(removed.names), left, tuple(warnings))
