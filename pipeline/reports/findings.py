"""What a dry run's facts mean for a restore, in sentences: what would make it fail, and what is worth a thought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from ...stages.vault.kv.rights import ASKING
from ...stages.words import count

if TYPE_CHECKING:
    from ...stages.errors import UnfinishedRestore
    from ...stages.pg.inventory.inventory import Inventory, LockHolder
    from ...stages.pg.server.preflight import DatabaseFacts
    from ..parts.names import PartName
    from .plan import VaultPlan

#: Names in one sentence.
_MOST = 20


@dataclass
class Findings:
    """Sentences, gathered."""

    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def parts(self, left_alone: Sequence[PartName]) -> None:
        """What has no target."""
        self.warnings += [
            f"The archive's {part} part would be left alone: no [{part}] is configured." for part in left_alone
        ]

    def unfinished(self, error: UnfinishedRestore | None) -> None:
        """A restore that ended in the middle before this one."""
        if error:
            self.blockers.append(f"{error.message} {error.hint}")

    def database(self, found: Inventory, facts: DatabaseFacts, *, truncated: bool) -> None:
        """What the server said. ``truncated``: the archive has more names than were remembered."""
        block, warn = self.blockers.append, self.warnings.append
        if facts.standby:
            block("The server is a standby, which takes no writes. Connect to its primary.")
        if found.busy:
            block(f"Another job works on the database: {_some(found.busy)}. Wait until it ended.")
        self._server(found)
        if found.rights_missing:
            block(f'The role "{found.role}" lacks: {_some(found.rights_missing)}. Grant it, or use another role.')
        self._in_the_way(found)
        if falling := [table.name for table in found.tables if table.action == "drop"]:
            warn(f"Tables unknown to the archive would be lost with those they are partitions of: {_some(falling)}.")
        if found.locks:
            waits = _some([_holder(each) for each in found.locks], "; ")
            warn(f"A restore would wait for sessions that hold locks on its tables: {waits}.")
        if found.locks_needed > found.locks_available:
            warn(
                f"A restore takes about {found.locks_needed:,} locks at once, the server has room for "
                f"{found.locks_available:,}: raise max_locks_per_transaction."
            )
        if not facts.replica:
            warn("session_replication_role cannot be set: the restore works without it, in pg_dump's own order.")
        if truncated:
            warn("The archive has so many objects that not all of them were compared.")

    def _in_the_way(self, found: Inventory) -> None:
        """What the archive does not know and depends on what it replaces."""
        if found.obstacles:
            self.blockers.append(
                "What the archive does not know depends on what it replaces: "
                f"{_some(found.obstacles, '; ')}. Drop it, or restore elsewhere."
            )
        if found.taken:
            self.blockers.append(
                "The archive has something else in the place of preserved tables, whose rows could not be put back: "
                f"{_some(found.taken, '; ')}. Rename them, or restore elsewhere."
            )
        if found.dropped:
            self.warnings.append(
                "What the archive does not know and depends on what it replaces would be dropped: "
                f"{_some(found.dropped, '; ')}."
            )
        if found.loosened:
            self.warnings.append(
                "Constraints of domains that the archive does not know would be made again as NOT VALID, since the "
                f"server checks no values inside of arrays, composite types and ranges: {_some(found.loosened, '; ')}."
            )
        if found.replaced:
            self.warnings.append(
                "The archive has something else in the place of these, which would be dropped: "
                f"{_some(found.replaced, '; ')}."
            )
        if found.renamed:
            self.warnings.append(
                "The archive needs the names of these, which belong to tables that stay and would be renamed: "
                f"{_some(found.renamed, '; ')}."
            )
        if found.subscribed:
            self.blockers.append(
                f"Subscriptions have a slot at their publisher, and no transaction can drop them: "
                f"{_some(found.subscribed)}. ALTER SUBSCRIPTION … DISABLE, then ALTER SUBSCRIPTION … SET (slot_name = "
                "NONE), then restore, and drop the slot there."
            )

    def _server(self, found: Inventory) -> None:
        """What the archive needs, and the server or the database does not have."""
        block, warn = self.blockers.append, self.warnings.append
        if found.major < found.dumped_by:
            warn(f"The server is PostgreSQL {found.server}, the dump is of version {found.dumped_by}: it may fail.")
        if found.roles_missing:
            block(f"The server lacks roles that the archive names: {_some(found.roles_missing)}. Create them.")
        if found.tablespaces_missing:
            block(
                f"The server lacks tablespaces that the archive names: {_some(found.tablespaces_missing)}. Create them."
            )
        if found.extensions_missing:
            block(f"The server lacks extensions: {_some(found.extensions_missing)}. Install them there.")
        if found.schemas_missing:
            block(
                f"The database lacks schemas that the archive uses and does not make: {_some(found.schemas_missing)}. "
                "Create them."
            )
        if found.characters_missing:
            block(
                f"The database has the encoding {found.encoding}, which lacks characters of the archive: "
                f"{_some(found.characters_missing)}. Restore into a database of the encoding UTF8."
            )
        if found.path_missing:
            block(f"The search path names schemas that are nowhere: {_some(found.path_missing)}. Correct it.")
        if found.extensions_updated:
            warn(f"Extensions would have the server's version afterwards: {_some(found.extensions_updated)}.")
        if found.event_triggers:
            warn(
                f"Event triggers run during the restore, and may refuse it: {_some(found.event_triggers)}. The role "
                f'"{found.role}" cannot keep them from it: disable them, or restore as a superuser.'
            )

    def vault(self, found: VaultPlan, *, prune: bool) -> None:
        """What the vault said."""
        block, warn = self.blockers.append, self.warnings.append
        total = found.new + found.changed + found.unchanged + found.unreadable
        if found.unreadable:
            text = f"{found.unreadable:,} of {count(total, 'secret')} could not be written"
            fails = found.unreadable * 2 >= total
            (block if fails else warn)(f"{text}: {_some(found.unreadable_paths)} ({found.unreadable_why}).")
        if found.rights_missing:
            # A token that may not ask for its rights may have them all the same.
            unknown = set(found.rights_missing) == {ASKING}
            (warn if unknown else block)(f"The vault's token lacks {_some(found.rights_missing)}. Grant it.")
        if found.undo_rights_missing and (found.new or found.changed):
            lacking = _some(found.undo_rights_missing)
            warn(f"A restore that fails could not put back all that it wrote to the vault: the token lacks {lacking}.")
        if found.extra is None:
            (block if prune else warn)(f"Which secrets the archive does not have cannot be known: {found.extra_why}")
        elif found.extra_why:
            warn(f"There may be more secrets that the archive does not have: {found.extra_why}")
        if prune and found.unknown_roots:
            roots = _some(found.unknown_roots)
            block(f"The archive has no secret of {roots}: to prune would remove every secret there, and is refused.")
        if found.final and (found.changed or (prune and found.extra)):
            warn(f"What is overwritten or removed below {_some(found.final)} is gone: KV version 1 keeps no versions.")


def _some(names: Sequence[object], separator: str = ", ") -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return separator.join(map(str, names[:_MOST])) + more


def _holder(holder: LockHolder) -> str:
    who = f"pid {holder.pid}" if holder.pid else "a prepared transaction"
    known = [holder.application, f"user {holder.user}" if holder.user else "", holder.state]
    if holder.since:
        known.append(f"since {holder.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    about = ", ".join(each for each in known if each)
    return f"{who}{f' ({about})' if about else ''} on {_some(holder.tables)}"
