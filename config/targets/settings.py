"""Settings of a replica that serves several targets."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ...stages.setting import Setting

#: Labels that a replica has at most: it listens to a queue for every set of them.
MOST_LABELS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """What a replica does for all of its targets together. Only the top level says it."""

    targets_dir: Annotated[
        Path | None,
        Setting(
            "Directory with a file NAME.toml for each system, besides [targets.NAME] here; see docs/many-systems.md.",
            "/etc/kleidia-backup/targets.d",
        ),
    ] = None
    default_target: Annotated[
        str,
        Setting("The system that /api/backup/… means. Without it: the first one of this file.", "kleidia"),
    ] = ""
    max_jobs: Annotated[
        int, Setting("Jobs of several systems that this replica runs at the same time, at most.", least=1, most=1000)
    ] = 4
    jobs_per_store: Annotated[
        int,
        Setting(
            "Jobs that use one store (server and bucket, or directory) at the same time on all replicas, at most.\n"
            "0: as many as there are.",
            least=0,
            most=10_000,
        ),
    ] = 0
    labels: Annotated[
        tuple[str, ...],
        Setting(
            "Where this replica is: it takes jobs of systems that have no labels or only some of these. Five at most.",
            ("vienna",),
        ),
    ] = ()
