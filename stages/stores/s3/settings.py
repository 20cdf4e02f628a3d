"""How to reach a bucket."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, get_args
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from ...setting import Setting, check_limits
from ...urls import is_server_url
from ..locks import LockMode
from ..names import PREFIX, folder

if TYPE_CHECKING:
    from ..base import ObjectStore

Checksum = Literal["crc32", "md5", "none"]

#: Bytes of a part that S3 takes at least, but for the last.
SMALLEST_PART = 5 * 1024 * 1024
#: Attempts of a request that a user waits for and that loses nothing.
QUICK = 4
#: The spec's example endpoint stands for AWS as a whole; its real hosts depend on the region.
_AWS = "s3.amazonaws.com"

SECRET_KEY = Setting(
    "The key's secret.",
    secret=True,
    shown=True,
    pattern=r"[!-~]{1,500}",
    must="letters, digits and signs, without blanks",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where a bucket is and who asks: what the service's settings change while it runs. ``S3Settings`` is the whole."""

    endpoint: Annotated[
        str,
        Setting(
            "URL of the store; without one: AWS.",
            "https://minio.example.org",
            shown=True,
            standard=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
            pattern=r"(?i:https?)://[A-Za-z0-9._:\[\]-]{1,255}(/[A-Za-z0-9._~/-]{0,200})?|",
            must="the URL of a server, such as https://s3.example.com",
        ),
    ] = ""
    region: Annotated[
        str,
        Setting(
            "Region; without it: us-east-1, or at AWS what its own configuration says.",
            "us-east-1",
            standard=("AWS_REGION", "AWS_DEFAULT_REGION"),
            pattern=r"[A-Za-z0-9-]{0,64}",
            must="letters, digits and hyphens, such as eu-west-1",
        ),
    ] = ""
    bucket: Annotated[
        str,
        Setting(
            "Bucket; it must exist.",
            "kleidia-backups",
            shown=True,
            pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|",
            must="letters, digits, dots, hyphens and underscores",
        ),
    ] = field(default="", kw_only=False)
    prefix: Annotated[str, PREFIX] = ""
    access_key_id: Annotated[
        str,
        Setting(
            "Key; without one: AWS's default chain (environment, profile, role).",
            "AKIAIOSFODNN7EXAMPLE",
            shown=True,
            file=True,
            pattern=r"[!-~]{0,200}",
            must="letters, digits and signs, without blanks",
        ),
    ] = ""
    path_style: Annotated[
        bool, Setting("The bucket in the path of the URL: MinIO, most non-AWS.", True, shown=True)
    ] = False
    insecure_tls: Annotated[bool, Setting("Do not verify the server's certificate: only for testing.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings(Bucket):
    """How to reach a bucket (spec, "S3 Storage Configuration"). Times are in seconds.

    Raises:
        ConfigurationError: a combination that cannot work.
    """

    secret_access_key: Annotated[str, SECRET_KEY] = field(default="", repr=False)
    session_token: Annotated[str, Setting("The session token of a temporary key.", secret=True)] = field(
        default="", repr=False
    )
    ca_file: Annotated[
        str,
        Setting(
            "PEM file of the store's CA, where it is none of the public ones.",
            "/etc/kleidia-backup/s3-ca.pem",
            kind="path",
        ),
    ] = ""
    checksum: Annotated[
        Checksum, Setting("Checksum sent with every part: crc32, md5, or none for stores that refuse both.")
    ] = "crc32"
    sign_payload: Annotated[
        bool | None, Setting("Sign bodies as well as headers; without it: only over http.", True)
    ] = None
    connect_timeout: Annotated[float, Setting("Time to connect.")] = 10.0
    read_timeout: Annotated[float, Setting("Time without a byte before a request is tried again.")] = 300.0
    operation_timeout: Annotated[
        float, Setting("Time for one operation with all its retries; a download may take longer.")
    ] = 1800.0
    attempts: Annotated[
        int,
        Setting(
            "Attempts for each request of an upload, and for each that the store answers with 503 or 429;"
            f" other requests get {QUICK} at most.",
            least=1,
        ),
    ] = 8
    backoff: Annotated[
        float, Setting("Pause before the second attempt, then doubled up to 20 s, with jitter.", configured=False)
    ] = 0.5
    lock_mode: Annotated[
        LockMode,
        Setting(
            "Lock archives by S3 Object Lock: governance, compliance, or none. The bucket must have been made with it."
        ),
    ] = "none"
    lock_days: Annotated[
        int, Setting("With lock_mode: days from its upload for which an archive is locked.", least=1, most=36_500)
    ] = 30
    server_side_encryption: Annotated[
        Literal["none", "AES256", "aws:kms", "aws:kms:dsse"],
        Setting("Encryption by the store, where a bucket's policy demands it: AES256, aws:kms, aws:kms:dsse, or none."),
    ] = "none"
    kms_key_id: Annotated[
        str, Setting("The key for aws:kms, which it implies; without it the store's own.", "alias/backups")
    ] = ""
    storage_class: Annotated[
        str,
        Setting(
            "Storage class of archives; without it the store's usual one. What is in GLACIER cannot be read at once.",
            "STANDARD_IA",
        ),
    ] = ""
    tags: Annotated[
        tuple[str, ...], Setting("Tags of archives, each NAME=VALUE; at most ten.", ("purpose=backup",))
    ] = ()
    connections: Annotated[int, Setting("Connections at the same time, at most.", least=1)] = 24
    #: Whether errors say how a server fails to answer, and so which ports are open; programs alone set it.
    tells_why: bool = True
    #: The store as it was at a time, only to be read; programs alone set it.
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        if not self.bucket:
            raise ConfigurationError("No bucket is named.", hint="Set bucket.")
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ConfigurationError(
                "Only one of access_key_id and secret_access_key is set.",
                hint="Set both, or neither to use AWS's default credential chain.",
            )
        check_limits(self)
        if self.checksum not in get_args(Checksum):
            raise ConfigurationError(f"checksum cannot be {self.checksum!r}.", hint="It is crc32, md5 or none.")
        self._check_lock()
        self._check_demanded()
        if self.insecure_tls and self.ca_file:
            raise ConfigurationError("ca_file and insecure_tls exclude each other.", hint="Keep ca_file.")
        object.__setattr__(self, "prefix", folder(self.prefix))
        self._check_endpoint()

    def _check_lock(self) -> None:
        if self.lock_mode not in get_args(LockMode):
            raise ConfigurationError(
                f"lock_mode cannot be {self.lock_mode!r}.", hint="It is governance, compliance or none."
            )
        if self.lock_mode != "none" and self.checksum == "none":
            raise ConfigurationError(
                "A store that locks objects wants a checksum with each.", hint='Set checksum = "crc32" or "md5".'
            )

    def _check_demanded(self) -> None:
        ways = ("none", "AES256", "aws:kms", "aws:kms:dsse")
        if self.server_side_encryption not in ways:
            raise ConfigurationError("server_side_encryption cannot be that.", hint=f"It is one of {', '.join(ways)}.")
        if self.kms_key_id and self.server_side_encryption == "AES256":
            raise ConfigurationError(
                "A kms_key_id is not used with AES256.", hint="Set server_side_encryption to aws:kms."
            )
        names = [tag.partition("=")[0] for tag in self.tags]
        if len(set(names)) != len(names) or len(names) > 10 or any("=" not in tag[1:] for tag in self.tags):
            raise ConfigurationError(
                "The tags of archives cannot be used.", hint="They are NAME=VALUE, at most ten, each name once."
            )

    def _check_endpoint(self) -> None:
        if not self.endpoint:
            return
        if any(sign in self.endpoint for sign in "@?#"):
            raise ConfigurationError(
                "The S3 endpoint holds more than a server's address.",
                hint="Keys belong into access_key_id and secret_access_key.",
            )
        if not is_server_url(self.endpoint):
            raise ConfigurationError(
                "The S3 endpoint is no URL of a server.",
                hint="It looks like https://s3.example.com or http://minio:9000.",
            )

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint, or None for AWS's own."""
        return None if urlsplit(self.endpoint).hostname in {None, _AWS} else self.endpoint

    @property
    def region_name(self) -> str | None:
        """The region; other stores than AWS mostly take any, but a request cannot be signed without one."""
        return self.region or ("us-east-1" if self.endpoint_url else None)

    @property
    def addressing(self) -> str:
        """``path`` or ``virtual``; a bucket cannot stand in front of an IP address or of ``localhost``."""
        host = urlsplit(self.endpoint_url or "").hostname or ""
        return "path" if self.path_style or host == "localhost" or _is_address(host) else "virtual"

    @property
    def signs_payload(self) -> bool:
        """Whether bodies are signed: what was asked for, else over http only."""
        if self.sign_payload is not None:
            return self.sign_payload
        return self.endpoint.lower().startswith("http:")

    @property
    def where(self) -> str:
        """As in ``base.StoreSettings``."""
        return self.endpoint_url or "AWS S3"

    @property
    def place(self) -> str:
        """As in ``base.StoreSettings``."""
        return f"s3\0{self.endpoint_url or ''}\0{self.bucket}"

    @property
    def smallest_part(self) -> int:
        """As in ``base.StoreSettings``."""
        return SMALLEST_PART

    def open(self) -> ObjectStore:
        """As in ``base.StoreSettings``."""
        # With each of them comes the client, which takes a second to load.
        if self.as_of is not None:
            from .immutable.past import PastStore

            return PastStore(self, self.as_of)
        from .store import S3Store

        return S3Store(self)

    def at(self, moment: datetime) -> S3Settings:
        """As in ``past.Remembering``."""
        return replace(self, as_of=moment)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
