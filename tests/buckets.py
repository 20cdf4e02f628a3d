"""Settings for a bucket of a test server."""

from __future__ import annotations

from typing import Any

from kleidia_backup import S3Settings
from kleidia_backup.demo.servers.together import Bucket


def s3_settings(bucket: Bucket, /, **changes: Any) -> S3Settings:
    """All that leads there, under the usual prefix, and what the caller has otherwise."""
    server = bucket.server
    usual: dict[str, Any] = {
        "bucket": bucket.name,
        "endpoint": server.endpoint,
        "region": server.region,
        "prefix": "backups/",
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
        "path_style": server.path_style,
        "ca_file": server.ca_file,
    }
    return S3Settings(**(usual | changes))
