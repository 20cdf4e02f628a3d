"""The settings that are changed while the service runs (specification, Backup Configuration), and what each may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from ...config.allowed import server_of
from ...config.retention.settings import AT_LEAST, DAILY, DAYS, MONTHLY, WEEKLY, YEARLY
from ...config.service import AUDIT_LOGS, FORMAT
from ...pipeline.parts.passwords import SHORTEST, check_new_password
from ...pipeline.parts.request import Format  # noqa: TC001 - read when the settings are declared
from ...pipeline.retention.rules import Rules
from ...stages.errors import ConfigurationError
from ...stages.setting import Setting, declared
from ...stages.stores.names import PREFIX, folder
from ...stages.stores.s3.settings import SECRET_KEY, Bucket, S3Settings
from .cron import Cron

if TYPE_CHECKING:
    from .jobs import Kind

_cron = partial(Setting, pattern=r"[ -~]{1,200}", must="five fields of cron, such as 0 2 * * *")
#: The kinds of jobs that have schedules, by the names of their settings; whether one is on, NAME_enabled says. Of those
#: that are due at once the first goes first.
SCHEDULES: dict[Kind, str] = {"backup": "schedule", "drill": "drill_schedule", "verify": "verify_schedule"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings(Bucket):
    """The settings, with the specification's defaults. Without a bucket archives go where [store] says."""

    prefix: Annotated[str, PREFIX] = "backups/"
    schedule: Annotated[str, _cron("Five fields of cron.")] = "0 2 * * *"
    schedule_enabled: Annotated[bool, Setting("Without it only who asks for a backup gets one.")] = True
    verify_schedule: Annotated[str, _cron("When an archive is read to its last byte, as cron writes it.")] = "0 4 * * *"
    verify_schedule_enabled: Annotated[
        bool, Setting("Whether archives are verified by the schedule: each in turn, new ones first.")
    ] = False
    drill_schedule: Annotated[str, _cron("When the newest archive is drilled, as cron writes it.")] = "0 5 * * 0"
    drill_schedule_enabled: Annotated[bool, Setting("Whether there are drills by the schedule.")] = False
    timezone: Annotated[
        str,
        Setting(
            "Time zone of the schedules, and in which retention's days begin.",
            "Europe/Vienna",
            pattern=r"[!-~]{1,100}",
            must="a time zone such as Europe/Berlin",
        ),
    ] = "UTC"
    retention_days: Annotated[
        int,
        DAYS,
    ] = 30
    keep_at_least: Annotated[int, AT_LEAST] = 3
    keep_daily: Annotated[int, DAILY] = 0
    keep_weekly: Annotated[int, WEEKLY] = 0
    keep_monthly: Annotated[int, MONTHLY] = 0
    keep_yearly: Annotated[int, YEARLY] = 0
    include_audit_logs: Annotated[bool, AUDIT_LOGS] = True
    format: Annotated[Format, FORMAT] = "v1"
    has_secret_access_key: Annotated[bool, Setting("Whether there is one that works.", configured=False)] = False
    has_encryption_password: Annotated[bool, Setting("Whether there is one that works.", configured=False)] = False

    def cron(self, kind: Kind) -> Cron:
        """The schedule of jobs of this kind, whether it is on or not. Raises ``ConfigurationError``."""
        name = SCHEDULES[kind]
        return Cron(getattr(self, name), self.timezone, name)

    def scheduled(self, kind: Kind) -> bool:
        """Whether jobs of this kind are made by their schedule."""
        enabled: bool = getattr(self, f"{SCHEDULES[kind]}_enabled")
        return enabled

    @property
    def rules(self) -> Rules:
        """Retention's."""
        return Rules(
            days=self.retention_days,
            at_least=self.keep_at_least,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            timezone=self.timezone,
        )

    @property
    def key_belongs_to(self) -> tuple[str, str, bool]:
        """What the secret key was given for: a server (scheme, host, port), a key id, whether TLS is verified."""
        return server_of(self.endpoint), self.access_key_id, not self.insecure_tls

    def document(self) -> dict[str, Any]:
        """What is stored of them."""
        return {name: getattr(self, name) for name in STORED}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BackupSettings:
        """Stored settings; what a newer version added is not known here, what it lacks has its default."""
        return cls(**{name: value for name, value in document.items() if name in STORED})

    def s3(self, secret: str, base: S3Settings | None = None) -> S3Settings:
        """The bucket with its secret key; what is no setting (timeouts, checksum, …) is that of ``base``.

        Raises ``ConfigurationError``.
        """
        return replace(
            base or S3Settings(bucket="unnamed"),
            **{name: getattr(self, name) for name in BUCKET},
            secret_access_key=secret,
            session_token=base.session_token if base and secret and base.secret_access_key == secret else "",
        )


@dataclass(frozen=True, slots=True)
class Secrets:
    """Those among the settings that are secrets: they go into the vault and never come back."""

    secret_access_key: Annotated[str, SECRET_KEY]
    encryption_password: Annotated[
        str,
        Setting(
            "The password of archives that are made from now on; older ones need the older one.",
            secret=True,
            pattern=rf"[^\0\r\n]{{{SHORTEST},1000}}",
            must=f"a text of at least {SHORTEST} characters, without line breaks",
        ),
    ]


#: The fields that [store] has too, those that are stored, and the secrets.
BUCKET = tuple(each.name for each in fields(Bucket))
STORED = {each.field: each for each in declared(BackupSettings) if each.setting.configured}
SECRETS = {each.field: each for each in declared(Secrets)}


def changed(settings: BackupSettings, changes: Mapping[str, object]) -> BackupSettings:
    """The settings with ``changes`` (those of ``SECRETS`` are only looked at).

    Raises ``ConfigurationError`` that names the field and what it must be, and never its value.
    """
    for name, value in changes.items():
        _check(name, value)
    if isinstance(password := changes.get("encryption_password"), str):
        check_new_password(password)
    values: dict[str, Any] = {name: value for name, value in changes.items() if name in STORED}
    if isinstance(prefix := values.get("prefix"), str):
        values["prefix"] = folder(prefix)
    result = replace(settings, **values)
    for kind in SCHEDULES:
        result.cron(kind)
    if result.bucket:
        secret = "x" if result.access_key_id else ""
        result.s3(secret)  # what is wrong with the whole
    return result


def _check(name: str, value: object) -> None:
    each = (STORED | SECRETS).get(name)
    if each is None:  # its name may be anything, so it is not repeated
        raise ConfigurationError("There is no such setting.", hint=f"There are {', '.join((*STORED, *SECRETS))}.")
    if each.kind == "integer":
        must, usable = f"a whole number {each.limits}", type(value) is int and each.allows(value)
    elif each.kind == "boolean":
        must, usable = "true or false", type(value) is bool
    else:
        must = each.setting.must
        usable = isinstance(value, str) and re.fullmatch(each.setting.pattern, value) is not None
    if not usable:
        raise ConfigurationError(f"{name} cannot be used.", hint=f"It must be {must}.")
