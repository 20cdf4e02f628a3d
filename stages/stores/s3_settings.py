"""How to reach a bucket."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from ..errors import ConfigurationError

Checksum = Literal["crc32", "md5", "none"]

#: The spec's example endpoint stands for AWS as a whole; its real hosts depend on the region.
_AWS = "s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How to reach a bucket (spec, "S3 Storage Configuration"). Times are in seconds.

    endpoint: URL of the store; empty for AWS.
    access_key_id, secret_access_key, session_token: empty for AWS's default credential chain.
    path_style: the bucket in the URL's path, not in its host name (MinIO and most others).
    insecure_tls: do not verify the certificate; only for testing. Better: ``ca_file``, a PEM file.
    checksum: what to send with every part; for stores that refuse the header.
    sign_payload: sign the bodies as well; by default over http only, TLS protects them otherwise.
    operation_timeout: for one operation with all its retries (spec: 30 minutes); a download may take longer, but no
        single wait in it longer than ``read_timeout``.
    attempts: for each request of an upload under way; other requests get at most four.
    backoff: before the second attempt, then doubled up to 20 s, each with jitter.
    connections: open at once, at most: parts in flight and a few.

    Raises:
        ConfigurationError: a combination that cannot work.
    """

    bucket: str
    endpoint: str = ""
    region: str = ""
    prefix: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = False
    insecure_tls: bool = False
    ca_file: str = ""
    checksum: Checksum = "crc32"
    sign_payload: bool | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    operation_timeout: float = 1800.0
    attempts: int = 8
    backoff: float = 0.5
    connections: int = 24

    def __post_init__(self) -> None:
        if not self.bucket:
            raise ConfigurationError("No bucket is named.", hint="Set bucket.")
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ConfigurationError(
                "Only one of access_key_id and secret_access_key is set.",
                hint="Set both, or neither to use AWS's default credential chain.",
            )
        if self.checksum not in {"crc32", "md5", "none"}:
            raise ConfigurationError(f"checksum cannot be {self.checksum!r}.", hint="It is crc32, md5 or none.")
        if self.insecure_tls and self.ca_file:
            raise ConfigurationError("ca_file and insecure_tls exclude each other.", hint="Keep ca_file.")
        self._check_endpoint()

    def _check_endpoint(self) -> None:
        if not self.endpoint:
            return
        try:
            parts = urlsplit(self.endpoint)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, usable = None, False
        if not usable or parts is None:
            raise ConfigurationError(
                "The S3 endpoint is no URL of a server.",
                hint="It looks like https://s3.example.com or http://minio:9000.",
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(
                "The S3 endpoint holds more than a server's address.",
                hint="Keys belong into access_key_id and secret_access_key.",
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
        """The store as error messages name it."""
        return self.endpoint_url or "AWS S3"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
