"""The versions that a bucket keeps, and which of them was the current one at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ....errors import StoreError, StoreUnreachable
from ...base import ObjectInfo
from ..bucket import etag_of
from ..errors import no_s3

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import ListObjectVersionsRequestTypeDef

    from ..bucket import Bucket


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, by its id in ``info.version``, or the marker of its deletion.

    ``latest`` is that it is the current one now.
    """

    info: ObjectInfo
    deleted: bool
    latest: bool


async def keeps_versions(bucket: Bucket) -> bool | None:
    """Whether the bucket keeps versions: None where it did and no longer does, or where it does not say."""
    try:
        ask = bucket.client.get_bucket_versioning
        answer = await bucket.call("GetBucketVersioning", "", lambda: ask(Bucket=bucket.bucket))
    except StoreUnreachable:
        raise
    except StoreError:
        return None
    status = answer.get("Status")
    return None if status == "Suspended" else status == "Enabled"


async def versions(bucket: Bucket, prefix: str) -> AsyncGenerator[Version]:
    """Every version of every object under the prefix, those of an object from the newest on."""
    request: ListObjectVersionsRequestTypeDef = {"Bucket": bucket.bucket, "Prefix": prefix}
    client = bucket.client
    while True:
        answer = await bucket.call("ListObjectVersions", prefix, lambda: client.list_object_versions(**request))
        if "IsTruncated" not in answer:
            raise no_s3(bucket.settings)
        for found in answer.get("Versions", []):
            etag, modified = etag_of(found.get("ETag", "")), found["LastModified"].astimezone(UTC)
            info = ObjectInfo(found["Key"], found["Size"], modified, etag, found["VersionId"])
            yield Version(info, deleted=False, latest=found.get("IsLatest", False))
        for marker in answer.get("DeleteMarkers", []):
            modified = marker["LastModified"].astimezone(UTC)
            info = ObjectInfo(marker["Key"], 0, modified, version=marker["VersionId"])
            yield Version(info, deleted=True, latest=marker.get("IsLatest", False))
        if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
            return
        request["KeyMarker"] = answer["NextKeyMarker"]
        request["VersionIdMarker"] = answer.get("NextVersionIdMarker", "")


async def objects_at(bucket: Bucket, prefix: str, moment: datetime) -> dict[str, ObjectInfo]:
    """The objects under the prefix that were there at that time, by name, in name order; each names its version."""
    current: dict[str, Version] = {}
    async for each in versions(bucket, prefix):
        known = current.get(each.info.name)
        if each.info.modified <= moment and (known is None or _age(each) > _age(known)):
            current[each.info.name] = each
    return {name: current[name].info for name in sorted(current) if not current[name].deleted}


def _age(version: Version) -> tuple[datetime, bool, bool]:
    # Stores give whole seconds. Of two in one the current one is the later; else an object counts, so that it is found.
    return version.info.modified, version.latest, not version.deleted
