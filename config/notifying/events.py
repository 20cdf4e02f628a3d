"""What can be told, and what is told unless the configuration says otherwise."""

from __future__ import annotations

#: Every event and what it means; those of a job have its kind before the dot.
EVENTS: dict[str, str] = {
    "backup.started": "A backup began",
    "backup.completed": "A backup was made",
    "backup.warning": "A backup was made, with warnings that the one before did not have",
    "backup.failed": "A backup failed",
    "backup.recovered": "A backup was made, after one that had failed",
    "backup.missed": "A scheduled backup was not made: nothing ran at its time, nor until the next one was due",
    "verify.missed": "A scheduled verification was not made: nothing ran at its time, nor until the next one was due",
    "drill.missed": "A scheduled drill was not made: nothing ran at its time, nor until the next one was due",
    "restore.started": "A restore began",
    "restore.completed": "A restore is done",
    "restore.warning": "A restore is done, with warnings",
    "restore.failed": "A restore failed",
    "verify.completed": "An archive was verified",
    "verify.failed": "A verification failed",
    "verify.recovered": "An archive was verified, after a verification that had failed",
    "drill.completed": "A drill proved an archive",
    "drill.failed": "A drill did not prove an archive",
    "drill.recovered": "A drill proved an archive, after one that had not",
    "copies.lagging": "An archive lacks its copy for longer than it may",
    "copies.recovered": "Every archive has its copy again, or soon enough",
    "settings.changed": "The settings were changed",
}
#: Failures, what was missed, that it is over, every restore, and changes of the settings.
DEFAULT = (
    "backup.failed",
    "backup.missed",
    "verify.missed",
    "drill.missed",
    "backup.recovered",
    "restore.started",
    "restore.completed",
    "restore.warning",
    "restore.failed",
    "verify.failed",
    "verify.recovered",
    "drill.failed",
    "drill.recovered",
    "copies.lagging",
    "copies.recovered",
    "settings.changed",
)
#: What a test sends, whatever is chosen.
TEST = "test"
