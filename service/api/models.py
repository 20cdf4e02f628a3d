"""What the API takes and gives. Sizes are bytes, durations seconds, times RFC 3339 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from ...pipeline.archives.copied import CopyState
from ...pipeline.archives.listing import ArchiveInfo
from ...pipeline.parts.names import LATEST
from ...pipeline.parts.passwords import SHORTEST
from ...pipeline.reports.jobs import Amounts
from ...pipeline.retention.pins import Pin
from ..control.audit import AuditEntry
from ..control.jobs import Job
from ..control.proofs.records import Recorded
from .copying.models import FROM_COPY, Copy
from .immutability import AS_OF, Allowed, Moment

Format = Literal["v1", "v2"]
BackupType = Literal["full", "database", "vault"]
Kind = Literal["backup", "restore", "verify", "drill"]
Status = Literal["pending", "running", "completed", "failed"]

#: One line of text that PostgreSQL and a store can hold.
Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
#: An archive's name as a listing gives it, with or without the store's prefix.
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: A password: taken, never given.
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
#: One that archives are made with. What is shorter is refused where settings are changed, in words.
NewPassword = Annotated[SecretStr, Field(min_length=1, max_length=1024, json_schema_extra={"minLength": SHORTEST})]

_KEY = "backups/backup-full-20260117-020000.enc"
ITS_PASSWORD = "The archive's encryption password."  # noqa: S105 - a description
WHICH = "The archive's name, as `GET /api/backup/list` gives it; `latest` is the newest."


class Taken(BaseModel):
    """A request's body: what is not known in it is refused, so that no misspelt field is passed over.

    So is what is of another type: no ``true`` is 1, and no ``"3"`` is 3.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


# Archives ---------------------------------------------------------------------------------------------------------


class Pinned(BaseModel):
    """Why an archive is kept, by whom and since when; empty or null where its pin does not say."""

    reason: str = Field(examples=["Evidence in case 7"])
    by: str = Field(examples=["Ada"])
    at: datetime | None


class Backup(BaseModel):
    """One archive in the store, and what is recorded of it here; null is unknown.

    ``type`` is empty where neither its name nor its head says it. What was said of an archive of the same name that was
    replaced since counts no more.
    """

    key: str = Field(examples=[_KEY])
    size: int
    modified: datetime
    type: Literal["full", "database", "vault", ""]
    created: datetime | None = Field(description="When it was made, as its name or its head says.")
    job: int | None = Field(description="The backup that made it.", examples=[1])
    duration: float | None = Field(description="How long that took.")
    verified: datetime | None = Field(
        description="When it was last read to its last byte and found whole, by a verification or a drill."
    )
    proven: datetime | None = Field(description="When a drill last brought it back.")
    verdict: Literal["verified", "proven", "failed"] | None = Field(
        description="What the last verification or drill said that said anything.", examples=["verified"]
    )
    locked_until: datetime | None = Field(description="Until then the store lets nobody delete it.")
    held: bool = Field(description="The store lets nobody delete it until a legal hold is taken off.")
    pinned: Pinned | None = Field(description="That it is kept, whatever retention's rules say.", examples=[None])
    digest: str | None = Field(
        None, description="Its checksum, as the job that made it recorded it: see `checksum` of a job.", examples=[None]
    )
    copies: list[Copy] = Field(default_factory=list, description="In other stores, as far as they are recorded.")

    @classmethod
    def of(
        cls, info: ArchiveInfo, recorded: Recorded, copies: Sequence[CopyState] = (), pin: Pin | None = None
    ) -> Self:
        """What a listing, the control tables and a pin say."""
        listed = {"key": info.name, "size": info.size, "modified": info.modified, "type": info.backup_type}
        kept = None if pin is None else Pinned(reason=pin.reason, by=pin.by, at=pin.at)
        locked = {"locked_until": info.locked_until, "held": info.held}
        names = ("job", "duration", "verified", "proven", "verdict", "digest")
        said = {name: getattr(recorded, name) for name in names} | {"pinned": kept}
        said["copies"] = [Copy.of(each) for each in copies]
        return cls.model_validate({**listed, **locked, "created": info.created_at, **said})


class Backups(BaseModel):
    """A page of the archives, newest first. ``total`` counts all objects that are called as archives are."""

    backups: list[Backup]
    total: int
    limit: int
    offset: int
    next: int | None = Field(description="The offset of the page that follows; null on the last one.", examples=[None])


class Download(BaseModel):
    """Where anybody can fetch the (encrypted) archive until ``expires_at``."""

    url: str = Field(examples=["https://s3.example.com/kleidia-backups/backups/…"])
    expires_at: datetime


class Connection(BaseModel):
    """What a test of one connection found; ``missing`` names each right that is not there.

    What a server says itself is not repeated: the service's log has it.
    """

    part: Literal["store", "database", "vault"]
    ok: bool
    code: str = Field(
        description="Why it is not ok: `rights-missing`, or an error such as `store-unreachable`, `store-forbidden` or "
        "`bucket-missing`; empty when it is ok.",
        examples=["store-unreachable"],
    )
    missing: list[str]
    detail: str
    next_step: str
    warnings: list[str]
    allowed: Allowed | None = Field(description="Of a store that tells.")


class Connections(BaseModel):
    """Whether everything that was tried works."""

    ok: bool
    checks: list[Connection]


# Jobs -------------------------------------------------------------------------------------------------------------


class Trigger(Taken):
    """Which backup to take."""

    type: BackupType = Field(default="full", examples=["full"])
    format: Format | None = Field(None, description="Format of the archive. Without it: as in the settings.")


class Restore(Taken):
    """What to restore. Without a password the one in the settings is used."""

    key: Key = Field(examples=[_KEY], description=WHICH)
    password: Password | None = Field(None, description=ITS_PASSWORD, examples=[None])
    as_of: Moment | None = Field(None, description=AS_OF, examples=[None])
    from_copy: Line | None = Field(None, min_length=1, description=FROM_COPY, examples=[None])
    only: Literal["database", "vault"] | None = Field(None, description="Only this part of the archive.")
    prune: bool = Field(default=False, description="Also remove secrets that the archive does not have.")
    into_database: Line | None = Field(
        None, min_length=1, max_length=63, description="Another database of the same server.", examples=[None]
    )
    create_database: bool = Field(
        default=False, description="Make that database where it is missing; it is dropped again if the restore fails."
    )
    into_mount: Line | None = Field(
        None,
        min_length=1,
        description="Another KV mount of the same vault, or a folder in it: `MOUNT/FOLDER`.",
        examples=[None],
    )
    reason: Line | None = Field(
        None, min_length=1, max_length=500, description="Why, for the audit log.", examples=["Ticket 4711"]
    )
    backup_first: bool = Field(
        default=True, description="Back up what is there first; if that fails, nothing is restored."
    )
    fresh: bool = Field(
        default=False,
        description="First make the KV mounts and roles that are missing, as an archive of format V2 recorded them.",
    )
    policies: bool = Field(
        default=False,
        description="With fresh: also write the vault's policies that are missing; one with another text stays.",
    )
    search_path: list[Annotated[Line, Field(min_length=1, max_length=63)]] = Field(
        default_factory=list, max_length=20, description="Schemas in which functions of the archive look for names."
    )
    from_other_system: bool = Field(default=False, description="Also an archive that says it is of another system.")
    secrets: list[Key] = Field(
        default_factory=list,
        max_length=100,
        description="Only these secrets, by their paths in the archive or patterns; the database is left alone.",
    )
    to: Key | None = Field(None, description="Another path for the one secret.", examples=[None])

    tables: list[Annotated[Line, Field(min_length=1)]] = Field(
        default_factory=list,
        max_length=100,
        description="Only these tables, such as `public.users`, with rows and definition; the vault is left alone.",
    )
    copy_as: Line | None = Field(
        None,
        alias="as",
        min_length=1,
        description="Make a copy of the one table under this name, and touch nothing that is there: then nothing is "
        "backed up first.",
        examples=[None],
    )


class Reading(Taken):
    """Which archive to verify or to drill. Without a password the one in the settings is used."""

    key: Key = Field(default=LATEST, examples=[_KEY], description=WHICH)
    password: Password | None = Field(None, description=ITS_PASSWORD, examples=[None])
    as_of: Moment | None = Field(None, description=AS_OF, examples=[None])
    from_copy: Line | None = Field(None, min_length=1, description=FROM_COPY, examples=[None])


class Candidate(Taken):
    """A password, and the archive that it may open."""

    key: Key = Field(examples=[_KEY], description=WHICH)
    password: Password = Field(description="The encryption password.")


class Validation(BaseModel):
    """Whether a password opens an archive. ``reason`` says why not; the archive's end is not looked at."""

    valid: bool
    reason: Literal["", "wrong_password", "damaged", "unsupported"]
    detail: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Amounts):
    """How far a job is. ``sql_total`` of a backup that runs is the database's size on disk, an upper estimate.

    Of a completed job it is what was done, and the totals are the same.
    """


class JobView(BaseModel):
    """A backup, a restore, a verification or a drill, past or under way.

    A verification or a drill that found something wrong has failed; `report.verdict` is `verified`, `proven`, `failed`
    or `inconclusive`, the last of which says nothing of the archive.
    """

    id: int
    kind: Kind
    type: BackupType
    target: str = Field(examples=["kleidia"])
    status: Status
    archive: str | None = Field(examples=[_KEY])
    size: int | None
    checksum: str | None = Field(
        description="SHA-256, hex: of the ciphertext in format v1, of the whole file in v2, whose restores have none.",
        examples=[None],
    )
    duration: float | None
    error: str | None = Field(examples=[None])
    next_step: str | None = Field(examples=[None])
    warnings: list[str]
    requested_by: str | None = Field(description="The subject who asked; null: the schedule.", examples=["42"])
    requested_by_name: str | None = Field(examples=["Ada"])
    ip: str | None = Field(examples=["192.0.2.7"])
    workstation: str | None
    scheduled_for: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    phase: str | None = Field(
        description="What it is doing; of a failed job, where it failed; null once it is completed.",
        examples=["backup"],
    )
    progress: Progress
    cancelled_by: str | None
    report: dict[str, Any] | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """What the control tables say."""
        own = {"type": job.backup_type, "next_step": job.hint, "duration": job.duration}
        same = {name: getattr(job, name) for name in cls.model_fields if name not in own}
        return cls.model_validate(same | own)


class JobPage(BaseModel):
    """A page of jobs, newest first; ``next`` is the ``before`` of the page behind it, null at the end."""

    jobs: list[JobView]
    next: int | None


class Running(BaseModel):
    """The jobs that wait or run."""

    jobs: list[JobView]


class UnfinishedView(BaseModel):
    """A restore that ended in the middle. Its journal lies in the state directory of a replica, which can end it."""

    archive: str = Field(examples=["backups/backup-full-20260117-020000.enc"])
    job: int | None = Field(description="Null after a command.", examples=[7])
    detail: str = Field(description="What the journal says; empty where nobody has read it since the replica died.")
    replica: str = Field(description="Which had the journal last.", examples=["host:4711:0a1b2c3d"])
    journal: str = Field(examples=["/var/lib/kleidia-backup/restore.journal"])
    reachable: bool = Field(description="Whether a replica has it now. If not, it can only be dismissed.")


class RestoreStatus(BaseModel):
    """The restore that waits or runs, else the last one; null if there never was one. And what is unfinished."""

    running: bool
    job: JobView | None
    unfinished: list[UnfinishedView]


# Audit ------------------------------------------------------------------------------------------------------------


class AuditView(BaseModel):
    """One line of the audit log."""

    id: int
    at: datetime
    action: str = Field(examples=["backup.completed"])
    user_id: str | None = Field(description="Null: the schedule, or nobody that is known.", examples=["42"])
    user_name: str | None = Field(examples=["Ada"])
    ip: str | None = Field(description="`system` for scheduled runs.", examples=["192.0.2.7"])
    workstation: str | None
    job_id: int | None
    archive: str | None = Field(examples=[_KEY])
    backup_type: str | None = Field(examples=["full"])
    duration: float | None
    size: int | None
    details: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """What was written."""
        return cls.model_validate({name: getattr(entry, name) for name in cls.model_fields})


class AuditPage(BaseModel):
    """A page of the audit log, newest first; ``next`` is the ``before`` of the page behind it, null at the end."""

    entries: list[AuditView]
    next: int | None


# Health -----------------------------------------------------------------------------------------------------------


class Health(BaseModel):
    """It answers."""

    status: Literal["ok"] = "ok"
