"""Which stores the configuration knows: where the service's settings may point, and what a restore may come from.

An administrator's token can change the settings. Without a list it can have archives brought from a store of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from ..stages.errors import ConfigurationError
from ..stages.stores.s3.settings import Bucket, S3Settings
from ..stages.urls import is_server_url

#: The key, as messages name it.
WHERE = "allowed_endpoints in [service]"


class Place(NamedTuple):
    """A server (scheme, host and port; empty for AWS, whatever the way that is written) and what is named behind it."""

    server: str
    path: str


def server_of(endpoint: str) -> str:
    """The server behind an endpoint. Raises ``ConfigurationError`` for what is no URL of one."""
    url = S3Settings(bucket="unnamed", endpoint=endpoint).endpoint_url
    if url is None:
        return ""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"


def place_of(bucket: Bucket) -> Place:
    """Where a bucket is; prefixes in it are one place."""
    return Place(server_of(bucket.endpoint), f"{urlsplit(bucket.endpoint).path.strip('/')}/{bucket.bucket}".strip("/"))


@dataclass(frozen=True, slots=True)
class KnownStores:
    """What [store] and ``allowed_endpoints`` name. Without the latter settings may use any server.

    An empty list is a list: then settings may use none but that of [store].
    """

    named: tuple[Place, ...] = ()
    configured: Place | None = None
    listed: bool = False

    @classmethod
    def of(cls, entries: Iterable[str] | None, store: object) -> KnownStores:
        """From the configuration. Raises ``ConfigurationError`` for an entry that is no URL of a server."""
        configured = place_of(store) if isinstance(store, S3Settings) else None
        return cls(tuple(_place(each) for each in entries or ()), configured, entries is not None)

    def check(self, bucket: Bucket) -> None:
        """Refuse a store that is not allowed. Raises ``ConfigurationError``."""
        place = place_of(bucket)
        if not self.listed or place == self.configured:
            return
        if not any(place.server == each.server and each.path in {"", place.path} for each in self.named):
            raise ConfigurationError(
                "The store that endpoint and bucket name is not one that the configuration allows.",
                hint=f"Who operates the service names it in {WHERE}, and starts it again.",
            )

    def knows_server(self, bucket: Bucket) -> bool:
        """Whether the operator has named that server: what it answers, or whether at all, may be told."""
        server = server_of(bucket.endpoint)
        return any(server == each.server for each in (*self.named, *([self.configured] if self.configured else [])))

    def vouches_for(self, bucket: Bucket) -> bool:
        """Whether the operator has named that very bucket."""
        place = place_of(bucket)
        return place == self.configured or any(each.path and place == each for each in self.named)


def _place(entry: str) -> Place:
    if not is_server_url(entry):
        raise ConfigurationError(
            f"An entry of {WHERE} is no URL of a server, or of a bucket behind one.",
            hint="It looks like https://s3.example.com or https://s3.example.com/kleidia-backups.",
        )
    return Place(server_of(entry), urlsplit(entry).path.strip("/"))
