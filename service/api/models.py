"""What the API takes and gives. Sizes are bytes, durations seconds, times RFC 3339 in UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from ...pipeline.archives import ArchiveInfo
from ..control.audit import AuditEntry
from ..control.jobs import Job
from ..control.settings import BackupSettings
from ..new_password import SHORTEST

BackupType = Literal["full", "database", "vault"]
Kind = Literal["backup", "restore"]
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


class Taken(BaseModel):
    """A request's body: what is not known in it is refused, so that no misspelt field is passed over."""

    model_config = ConfigDict(extra="forbid")


# Archives ---------------------------------------------------------------------------------------------------------


class Backup(BaseModel):
    """One archive in the store. ``type`` is empty for a name that somebody chose."""

    key: str = Field(examples=[_KEY])
    size: int
    modified: datetime
    type: Literal["full", "database", "vault", ""]

    @classmethod
    def of(cls, info: ArchiveInfo) -> Self:
        """What a listing says."""
        return cls.model_validate(
            {"key": info.name, "size": info.size, "modified": info.modified, "type": info.backup_type}
        )


class Backups(BaseModel):
    """A page of the archives, newest first. ``total`` counts those that can be listed: 1,000 at most."""

    backups: list[Backup]
    total: int
    limit: int
    offset: int


class Download(BaseModel):
    """Where anybody can fetch the (encrypted) archive until ``expires_at``."""

    url: str = Field(examples=["https://s3.example.com/kleidia-backups/backups/…"])
    expires_at: datetime


class Connection(BaseModel):
    """What a test of one connection found; ``missing`` names each right that is not there."""

    part: Literal["store", "database", "vault"]
    ok: bool
    missing: list[str]
    detail: str
    next_step: str


class Connections(BaseModel):
    """Whether everything that was tried works."""

    ok: bool
    checks: list[Connection]


# Jobs -------------------------------------------------------------------------------------------------------------


class Trigger(Taken):
    """Which backup to take."""

    type: BackupType = Field(default="full", examples=["full"])


class Restore(Taken):
    """What to restore. Without a password the one in the settings is used."""

    key: Key = Field(examples=[_KEY])
    password: Password | None = Field(None, description="The archive's encryption password.", examples=[None])
    only: Literal["database", "vault"] | None = Field(None, description="Only this part of the archive.")
    prune: bool = Field(default=False, description="Also remove secrets that the archive does not have.")


class Candidate(Taken):
    """A password, and the archive that it may open."""

    key: Key = Field(examples=[_KEY])
    password: Password = Field(description="The encryption password.")


class Validation(BaseModel):
    """Whether a password opens an archive. ``reason`` says why not; the archive's end is not looked at."""

    valid: bool
    reason: Literal["", "wrong_password", "damaged", "unsupported"]
    detail: str
    next_step: str


class Progress(BaseModel):
    """How far a job is. ``sql_total`` of a backup that runs is the database's size on disk, an upper estimate.

    Of a completed job it is what was done, and the totals are the same.
    """

    seconds: float = 0
    sql_bytes: int = 0
    sql_total: int | None = None
    secrets: int = 0
    secrets_total: int | None = None
    archive_bytes: int = 0
    archive_total: int | None = None


class JobView(BaseModel):
    """A backup or a restore, past or under way."""

    id: int
    kind: Kind
    type: BackupType
    target: str = Field(examples=["kleidia"])
    status: Status
    archive: str | None = Field(examples=[_KEY])
    size: int | None
    checksum: str | None = Field(description="SHA-256 of the ciphertext, hex.", examples=[None])
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


class RestoreStatus(BaseModel):
    """The restore that waits or runs, else the last one; null if there never was one."""

    running: bool
    job: JobView | None


# Settings ---------------------------------------------------------------------------------------------------------


class S3Candidate(Taken):
    """Settings to try before they are saved; what is left out is as it is configured."""

    endpoint: Line | None = Field(None, examples=["https://s3.amazonaws.com"])
    region: Line | None = Field(None, examples=["us-east-1"])
    bucket: Line | None = Field(None, examples=["kleidia-backups"])
    prefix: Line | None = Field(None, examples=["backups/"])
    access_key_id: Line | None = Field(None, examples=["AKIA…"])
    secret_access_key: Password | None = Field(None, description="Without it: the stored one.", examples=[None])
    path_style: bool | None = None
    insecure_tls: bool | None = None


class SettingsChange(S3Candidate):
    """Settings to change; what is left out stays as it is. The two secrets go to the vault and never come back."""

    secret_access_key: Password | None = Field(None, description="Stored in the vault.", examples=[None])
    encryption_password: NewPassword | None = Field(None, description="Stored in the vault.", examples=[None])
    schedule: Line | None = Field(None, description="Five fields of cron.", examples=["0 2 * * *"])
    schedule_enabled: bool | None = None
    timezone: Line | None = Field(None, examples=["Europe/Vienna"])
    retention_days: int | None = Field(None, ge=0, le=36500, examples=[30])
    keep_at_least: int | None = Field(None, ge=1, le=1000, examples=[3])
    include_audit_logs: bool | None = None
    version: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version that was read: refused with 409 if it has changed since."
    )


def plain(change: S3Candidate) -> dict[str, object]:
    """What a change says, secrets as themselves: for whoever stores or tries it."""
    given = ((name, getattr(change, name)) for name in sorted(change.model_fields_set - {"version"}))
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given
        if value is not None
    }


class SettingsView(BaseModel):
    """The settings. Of the secrets only whether they are there."""

    endpoint: str
    region: str
    bucket: str
    prefix: str
    access_key_id: str
    has_secret_access_key: bool
    has_encryption_password: bool
    path_style: bool
    insecure_tls: bool
    schedule: str
    schedule_enabled: bool
    timezone: str
    retention_days: int
    keep_at_least: int
    include_audit_logs: bool
    version: int

    @classmethod
    def of(cls, settings: BackupSettings, version: int) -> Self:
        """What is stored."""
        names = [name for name in cls.model_fields if name != "version"]
        return cls.model_validate({name: getattr(settings, name) for name in names} | {"version": version})


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
