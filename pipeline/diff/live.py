"""The side of what there is now: the configured database and vault, read and not written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.secret import MAX_ITEM
from ...stages.pg.now import look_now
from ...stages.vault.kv.client import VaultClient
from ...stages.vault.kv.roots import owner, owns
from ...stages.vault.metadata.gather import Gather
from ...stages.vault.source import VaultSource
from ...stages.words import DATABASE, count
from ..engine import Pipeline
from .sides import SecretHashes, Side, TableRows

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.vault.kv.settings import VaultSettings
    from ...stages.vault.lacking import Lacking
    from ...stages.vault.reports import ReadReport
    from ..job import Job


async def add_database(job: Job, side: Side, settings: PostgresSettings, *, include_audit: bool, limit: float) -> None:
    """Count rows and dump the schema. Raises as ``look_now``."""
    with job.asking(DATABASE):
        now = await look_now(settings, include_audit=include_audit, limit=limit)
    side.outline = now.outline
    side.tables = {table: TableRows(rows) for table, rows in now.rows.items()}


async def add_vault(job: Job, side: Side, settings: VaultSettings, key: bytes, old: Side) -> None:
    """Read all secrets below the roots; of ``old`` those are left out that this cannot say anything of.

    Where ``old`` may have metadata, that is read too, and as many versions as the settings say.

    Raises the ``VaultError`` tree.
    """
    async with VaultClient(settings) as client:
        gather = Gather(client, settings.versions) if old.with_gone and settings.metadata else None
        source = VaultSource(
            client, settings.roots, workers=settings.workers, allow_unreadable=True, own=settings.own, gather=gather
        )
        hashes = SecretHashes(key)
        pipeline = Pipeline()
        secrets = pipeline.source(source, name="vault", max_item=MAX_ITEM)
        pipeline.sink(hashes, secrets)
        await job.run(pipeline, lambda: {"secrets": secrets.items})
    side.secrets, side.with_gone = hashes.found, gather is not None
    old.secrets = {path: kept for path, kept in old.secrets.items() if not _is_own(settings, path)}
    _leave_out_unreadable(side, old, source.report)
    outside = [path for path in old.secrets if owner(settings.roots, path) is None]
    for path in outside:
        del old.secrets[path]
    if outside:
        lie = count(len(outside), "secret")
        side.warnings.append(f"{lie} of the archive lie below no configured root and are not compared: {outside[0]}.")
    if gather is not None:
        side.warnings += [*gather.report.warnings(), *_not_compared(gather.report.lacking())]


def _not_compared(lacking: list[Lacking]) -> list[str]:
    return [f"Not compared, as the token may not read it: {each.what}. Grant {each.rights[0]}." for each in lacking]


def _is_own(settings: VaultSettings, path: str) -> bool:
    root = owner(settings.roots, path)
    return root is not None and owns(settings.own, root.mount, root.folder + path[len(root.prefix) :])


def _leave_out_unreadable(side: Side, old: Side, report: ReadReport) -> None:
    unreadable = report.unreadable
    if not unreadable.count:
        return
    names = [path for path, _ in unreadable.names]
    folders = tuple(name for name in names if name.endswith("/"))
    known = set(names)
    old.secrets = {
        path: kept for path, kept in old.secrets.items() if path not in known and not path.startswith(folders)
    }
    more = "" if unreadable.count == len(names) else " Of those that are not named, some may be listed as gone."
    paths = count(unreadable.count, "vault path")
    side.warnings.append(f"{paths} could not be read and are not compared: {', '.join(names[:20])}.{more}")
