"""What a bucket's policy may demand of every object: encryption by the store, a storage class, tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, cast
from urllib.parse import urlencode

if TYPE_CHECKING:
    from types_aiobotocore_s3.literals import StorageClassType

    from ..settings import S3Settings


class Demanded(TypedDict, total=False):
    """Fields of PutObject and CreateMultipartUpload."""

    ServerSideEncryption: Literal["AES256", "aws:kms", "aws:kms:dsse"]
    SSEKMSKeyId: str
    StorageClass: StorageClassType
    Tagging: str


def demanded(settings: S3Settings) -> Demanded:
    """The fields that the settings ask for; none is sent that nobody asked for, for some stores refuse each."""
    fields: Demanded = {}
    if settings.server_side_encryption != "none":
        fields["ServerSideEncryption"] = settings.server_side_encryption
    elif settings.kms_key_id:
        fields["ServerSideEncryption"] = "aws:kms"
    if settings.kms_key_id:
        fields["SSEKMSKeyId"] = settings.kms_key_id
    if settings.storage_class:
        fields["StorageClass"] = cast("StorageClassType", settings.storage_class)
    if settings.tags:
        fields["Tagging"] = urlencode([tuple(tag.split("=", 1)) for tag in settings.tags])
    return fields
