"""The settings of drills."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from ...pipeline.drills.asked import DrillCheck
from ...stages.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSettings:
    """Where drills restore to, what they hold against what is wanted, and where their reports go."""

    target: Annotated[
        Literal["embedded", "configured"] | None,
        Setting(
            "Where drills restore to: embedded (a PostgreSQL and an OpenBao that are started for it) or configured\n"
            "(a new database and a new mount on the servers below). Without it: embedded, where the demo extra is.",
            "embedded",
        ),
    ] = None
    conninfo: Annotated[
        str,
        Setting(
            "For target configured: a connection string of a role that may make databases. Without it: [database].",
            "postgresql://drill@scratch-db.example.org/postgres?sslmode=verify-full",
            secret=True,
        ),
    ] = field(default="", repr=False)
    vault_address: Annotated[
        str,
        Setting(
            "For target configured: the vault in which a scratch mount is made. Without it: [vault].",
            "https://scratch-openbao.example.org:8200",
        ),
    ] = ""
    vault_token: Annotated[
        str,
        Setting(
            "Its token, which may make and remove mounts kleidia-drill-*. Without it: that of [vault].", secret=True
        ),
    ] = field(default="", repr=False)
    reports: Annotated[
        Path | None,
        Setting(
            "Directory for the reports, each chained to the one before. Without it: drills in state_dir of [backup].",
            "/var/lib/kleidia-backup/drills",
        ),
    ] = None
    restore_within: Annotated[
        float | None, Setting("Longest time that a restore should take; the report says whether it was met.", "1h")
    ] = None
    not_older_than: Annotated[
        float | None,
        Setting(
            "Longest time since an archive was made; of an older one the report says that backups may have stopped.",
            "26h",
        ),
    ] = None
    checks: Annotated[
        tuple[DrillCheck, ...],
        Setting(
            "Checks of your own on what was restored: sql that gives one value and what to expect, as text; or the "
            "path of a\nsecret, as it is in the archive, that must be there. In the environment as JSON",
            kind="checks",
        ),
    ] = ()
