"""What the API says of pins, and of what retention would do."""

from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, Field

from ....config.retention.settings import AT_LEAST, DAILY, DAYS, MONTHLY, WEEKLY, YEARLY
from ....pipeline.retention.pins import LONGEST_REASON
from ....pipeline.retention.pins import Pin as Found
from ....pipeline.retention.plan import Plan
from ....pipeline.retention.rules import Reason
from ...control.backup_settings import BackupSettings
from ..models import Line, Taken

_KEY = "backups/backup-full-20260117-020000.enc"


class Pinning(Taken):
    """Why an archive is kept."""

    reason: Annotated[Line, Field(max_length=LONGEST_REASON)] = Field("", examples=["Evidence in case 7"])


class Pin(BaseModel):
    """An archive that retention and deletions leave alone."""

    key: str = Field(examples=[_KEY])
    reason: str = Field(examples=["Evidence in case 7"])
    by: str = Field(description="Who pinned it; empty where its pin does not say.", examples=["Ada"])
    at: datetime | None
    held: bool = Field(description="Whether the pin has put it on legal hold in the store.")

    @classmethod
    def of(cls, pin: Found) -> Self:
        """What the store has."""
        return cls(key=pin.archive, reason=pin.reason, by=pin.by, at=pin.at, held=pin.held)


class Pins(BaseModel):
    """The pins in the store, by the names of their archives."""

    pins: list[Pin]


class WantedRules(BaseModel):
    """Rules to try, by the names of the settings; what is left out is as it is set."""

    retention_days: int | None = Field(None, ge=DAYS.least, le=DAYS.most, description=DAYS.doc)
    keep_at_least: int | None = Field(None, ge=AT_LEAST.least, le=AT_LEAST.most, description=AT_LEAST.doc)
    keep_daily: int | None = Field(None, ge=DAILY.least, le=DAILY.most, description=DAILY.doc)
    keep_weekly: int | None = Field(None, ge=WEEKLY.least, le=WEEKLY.most, description=WEEKLY.doc)
    keep_monthly: int | None = Field(None, ge=MONTHLY.least, le=MONTHLY.most, description=MONTHLY.doc)
    keep_yearly: int | None = Field(None, ge=YEARLY.least, le=YEARLY.most, description=YEARLY.doc)
    timezone: Line | None = Field(None, description="Time zone in which days begin.", examples=["Europe/Vienna"])


class KeptBackup(BaseModel):
    """What would become of an archive: it stays for each of `reasons`, or goes for lack of any."""

    key: str = Field(examples=[_KEY])
    type: Literal["full", "database", "vault"]
    created: datetime
    goes: bool
    reasons: list[Literal[get_args(Reason)]]  # type: ignore[valid-type]  # a list of texts


class RetentionPreview(BaseModel):
    """What retention would do now, by these rules. Nothing is deleted.

    `left_alone` has the name of an archive and is none, or not shown to be ours. While nothing is older than
    `retention_days`, archives are not looked into, and it is empty.
    """

    retention_days: int
    keep_at_least: int
    keep_daily: int
    keep_weekly: int
    keep_monthly: int
    keep_yearly: int
    timezone: str
    backups: list[KeptBackup]
    left_alone: list[str]
    warnings: list[str]

    @classmethod
    def of(cls, plan: Plan, settings: BackupSettings) -> Self:
        """A plan by the rules of these settings."""
        rules = {name: getattr(settings, name) for name in WantedRules.model_fields}
        backups = [
            {
                "key": each.archive.name,
                "type": each.archive.backup_type,
                "created": each.archive.created_at,
                "goes": each.goes,
                "reasons": list(each.reasons),
            }
            for each in plan.decisions
        ]
        left = [*plan.others, *(name for name, _ in plan.unread)]
        return cls.model_validate({**rules, "backups": backups, "left_alone": left, "warnings": plan.warnings})
