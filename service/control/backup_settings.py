"""The settings that are changed while the service runs (specification, Backup Configuration), and what each may be."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...pipeline.job import check_password
from ...stages.errors import ConfigurationError
from ...stages.stores.s3_settings import S3Settings
from ..new_password import SHORTEST
from ..work.cron import Cron

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Those among the settings that are secrets: they go into the vault and never come back.
SECRETS = ("secret_access_key", "encryption_password")

#: What each text must look like, and how that is said.
_TEXTS: dict[str, tuple[re.Pattern[str], str]] = {
    "endpoint": (
        re.compile(r"(?i:https?)://[A-Za-z0-9._:\[\]-]{1,255}(/[A-Za-z0-9._~/-]{0,200})?|"),
        "the URL of a server, such as https://s3.example.com",
    ),
    "region": (re.compile(r"[A-Za-z0-9-]{0,64}"), "letters, digits and hyphens, such as eu-west-1"),
    "bucket": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|"), "letters, digits, dots, hyphens and underscores"),
    "prefix": (re.compile(r"[A-Za-z0-9!_.*'()/=@+,:;& -]{0,200}"), "a folder, such as backups/"),
    "access_key_id": (re.compile(r"[!-~]{0,200}"), "letters, digits and signs, without blanks"),
    "secret_access_key": (re.compile(r"[!-~]{1,500}"), "letters, digits and signs, without blanks"),
    "encryption_password": (
        re.compile(rf"[^\0\r\n]{{{SHORTEST},1000}}"),
        f"a text of at least {SHORTEST} characters, without line breaks",
    ),
    "schedule": (re.compile(r"[ -~]{1,200}"), "five fields of cron, such as 0 2 * * *"),
    "timezone": (re.compile(r"[!-~]{1,100}"), "a time zone such as Europe/Berlin"),
}
_NUMBERS = {"retention_days": (0, 36_500), "keep_at_least": (1, 1000)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """The settings, with the specification's defaults.

    endpoint, region, bucket, prefix, access_key_id, path_style, insecure_tls: as in ``S3Settings``. Without a bucket
        archives go where the configuration file's [store] says, under this prefix.
    schedule, timezone: five fields of cron. ``schedule_enabled`` False: only who asks for a backup gets one.
    retention_days: how old an archive becomes before a successful backup deletes it; 0 keeps all for ever.
    keep_at_least: how many archives of each type are never deleted for their age, the newest.
    include_audit_logs: whether the rows of the audit tables are backed up.
    has_secret_access_key, has_encryption_password: whether there is a usable one; never which.
    """

    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = "backups/"
    access_key_id: str = ""
    path_style: bool = False
    insecure_tls: bool = False
    schedule: str = "0 2 * * *"
    schedule_enabled: bool = True
    timezone: str = "UTC"
    retention_days: int = 30
    keep_at_least: int = 3
    include_audit_logs: bool = True
    has_secret_access_key: bool = False
    has_encryption_password: bool = False

    @property
    def cron(self) -> Cron:
        """The schedule. Raises ``ConfigurationError``."""
        return Cron(self.schedule, self.timezone)

    @property
    def key_belongs_to(self) -> tuple[str, str, bool]:
        """What the secret key was given for: a server (scheme, host, port), a key id, whether TLS is verified."""
        return _origin(self.endpoint), self.access_key_id, not self.insecure_tls

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
            endpoint=self.endpoint,
            region=self.region,
            bucket=self.bucket,
            prefix=self.prefix,
            access_key_id=self.access_key_id,
            secret_access_key=secret,
            path_style=self.path_style,
            insecure_tls=self.insecure_tls,
            session_token=base.session_token if base and secret and base.secret_access_key == secret else "",
        )


#: The fields that are stored.
STORED = tuple(each.name for each in fields(BackupSettings) if not each.name.startswith("has_"))
_BOOLEANS = tuple(name for name in STORED if isinstance(getattr(BackupSettings(), name), bool))


def changed(settings: BackupSettings, changes: Mapping[str, object]) -> BackupSettings:
    """The settings with ``changes`` (those of ``SECRETS`` are only looked at).

    Raises ``ConfigurationError`` that names the field and what it must be, and never its value.
    """
    for name, value in changes.items():
        _check(name, value)
    if isinstance(password := changes.get("encryption_password"), str):
        check_password(password)
    values: dict[str, Any] = {name: value for name, value in changes.items() if name in STORED}
    result = replace(settings, **values)
    _ = result.cron
    if result.bucket:
        secret = "x" if result.access_key_id else ""
        result.s3(secret)  # what is wrong with the whole
    return result


def _check(name: str, value: object) -> None:
    if name in _NUMBERS:
        low, high = _NUMBERS[name]
        if type(value) is not int or not low <= value <= high:
            raise _unusable(name, f"a whole number from {low} to {high}")
    elif name in _BOOLEANS:
        if type(value) is not bool:
            raise _unusable(name, "true or false")
    elif name in _TEXTS:
        pattern, what = _TEXTS[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _unusable(name, what)
        if name == "prefix" and {"", ".", ".."} & set(value.removesuffix("/").split("/")) and value:
            raise _unusable(name, f"{what}, without a slash at its beginning, and without //, /./ or /../")
    else:
        raise ConfigurationError(
            "There is no such setting.", hint=f"There are {', '.join((*STORED, *SECRETS))}."
        )  # its name may be anything, so it is not repeated


def _unusable(name: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{name} cannot be used.", hint=f"It must be {what}.")


def _origin(endpoint: str) -> str:
    """The server behind an endpoint; empty for AWS, whatever the way that is written."""
    url = S3Settings(bucket="unnamed", endpoint=endpoint).endpoint_url
    if url is None:
        return ""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"
