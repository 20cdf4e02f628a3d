"""What a case of a backup and a restore is: a database, what became of it, and how a restore must end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

#: Who makes the objects, backs up and restores. ``owner`` owns the database, ``tables`` only what it made in schema
#: public of somebody else's database, ``reader`` has the rights that README gives to a role for backups (a superuser
#: makes the objects and restores).
Role: TypeAlias = Literal["superuser", "owner", "tables", "reader"]

#: ``same``: the database is as it was at the backup. ``refused``: the restore is, and nothing changed. ``no backup``:
#: the backup is refused. ``either``: the same or refused, whichever the dry run said.
Outcome: TypeAlias = Literal["same", "refused", "either", "no backup"]


@dataclass(frozen=True)
class Case:
    """A whole backup and restore. SQL is given to psql; ``@role@`` in it is the case's role.

    ``before`` makes the database that is backed up, ``then`` is what happens until the restore. ``self`` restores over
    the same database, ``empty`` into a new one, which ``there`` prepares and ``place`` makes (options of CREATE
    DATABASE; ``source`` likewise for the first). ``left`` removes what rightly stays, and fails when it does not.
    ``wanted`` makes what must come out, where that is not the database of the backup.

    Words: ``says`` must be in the error of a refusal, and in the dry run's blockers when that can know
    (``foreseen``); ``warns`` in the warnings of the dry run and of the restore; ``restored`` in those of the restore
    alone; ``backed_up`` in those of the backup. ``asks`` is a question that has the same answer at the backup and
    after the restore, for what pg_dump does not show. ``options`` are those of ``restore`` and ``plan_restore``,
    ``settings`` those of the database. ``thorough``: one of many of its kind, not run with every change.
    """

    name: str
    before: str
    then: str = ""
    target: Literal["self", "empty"] = "self"
    role: Role = "superuser"
    outcome: Outcome = "same"
    says: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    backed_up: tuple[str, ...] = ()
    foreseen: bool = True
    left: str = ""
    asks: str = ""
    wanted: str = ""
    there: str = ""
    place: str = ""
    source: str = ""
    audit: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    thorough: bool = False


def both(case: Case, **changes: Any) -> list[Case]:
    """The same over itself and into an empty database."""
    return [
        replace(case, name=f"{case.name}, itself", target="self", **changes),
        replace(case, name=f"{case.name}, empty", target="empty", **changes),
    ]
