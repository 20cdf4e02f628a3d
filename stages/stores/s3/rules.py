"""What the store's error codes mean: one table, and the few errors that our own code distinguishes."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import (
    BucketMissing,
    ConfigurationError,
    KleidiaError,
    ObjectExists,
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)

#: The IAM action that each request needs.
ACTIONS = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjectVersion": "s3:DeleteObjectVersion",
    "BypassGovernanceRetention": "s3:BypassGovernanceRetention",
    "ListObjectVersions": "s3:ListBucketVersions",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "PutObjectLegalHold": "s3:PutObjectLegalHold",
    "PutObjectRetention": "s3:PutObjectRetention",
}


class RightMissing(StoreForbidden):
    """The key is right, but may not do this; the right's verb is its IAM name."""

    public = False


class UploadMissing(StoreError):
    """The store does not know the upload (any more): completed, aborted, or expired."""

    public = False


class OutOfRange(StoreError):
    """The wanted range begins at or past the object's end."""

    public = False


class NotSupported(StoreError):
    """The store does not implement something that was asked of it."""

    public = False


class Unknown(StoreError):
    """The store refused something in a way that we have no name for."""

    public = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What one of the store's error codes means to the operator."""

    error: type[KleidiaError]
    text: str
    hint: str = ""


#: What may help where a store does not understand what we send with a body.
CHECKSUM = 'If the store refuses checksums, set checksum = "md5" or "none".'
_PART_SIZE = "Choose another part size: 5 MiB to 5 GiB, at most 10,000 parts."
_CLOCK = "Set this machine's clock; S3 tolerates 15 minutes."

#: By the code that AWS uses.
RULES = {
    "InvalidAccessKeyId": Rule(StoreForbidden, "{where} does not know this access key id.", "Check access_key_id."),
    "SignatureDoesNotMatch": Rule(
        StoreForbidden,
        "{where} knows the access key id, but the secret access key does not fit it.",
        "Check secret_access_key (and region, which is part of the signature).",
    ),
    "ExpiredToken": Rule(StoreForbidden, "The session token for {where} has expired.", "Get new credentials."),
    "InvalidToken": Rule(StoreForbidden, "{where} does not accept the session token.", "Check session_token."),
    "RequestTimeTooSkewed": Rule(StoreForbidden, "The clocks of {where} and of this machine differ too much.", _CLOCK),
    "RequestExpired": Rule(StoreForbidden, "The clocks of {where} and of this machine differ too much.", _CLOCK),
    "AccessDenied": Rule(
        RightMissing, "The key may not do {action} on {object} in bucket {bucket} of {where}.", "Grant it {action}."
    ),
    "NoSuchBucket": Rule(
        BucketMissing, "There is no bucket {bucket} at {where}.", "Check bucket and endpoint, or create the bucket."
    ),
    "InvalidBucketName": Rule(ConfigurationError, "{bucket} cannot be the name of a bucket.", "Check bucket."),
    "NoSuchKey": Rule(ObjectMissing, "There is no {object} in bucket {bucket}.", "Look at the list of archives."),
    "NoSuchUpload": Rule(
        UploadMissing,
        "{where} no longer knows the upload of {object}.",
        "Perhaps a lifecycle rule of the bucket aborts unfinished uploads too early, or somebody did.",
    ),
    "PreconditionFailed": Rule(
        ObjectExists, "{object} is already there; it was not touched.", "Choose another name, or delete it first."
    ),
    "ConditionalRequestConflict": Rule(
        ObjectExists, "Somebody else wrote {object} at the same time.", "Start the backup again."
    ),
    "InvalidRange": Rule(OutOfRange, "{object} ends before the wanted range."),
    "InvalidObjectState": Rule(
        StoreError,
        "{object} lies in an archive storage class and cannot be read directly.",
        "Ask the store to restore it first (S3 RestoreObject), then try again.",
    ),
    "EntityTooSmall": Rule(StoreError, "{where} refuses parts this small.", _PART_SIZE),
    "EntityTooLarge": Rule(StoreError, "{where}, or a proxy before it, refuses bodies this large.", _PART_SIZE),
    "InvalidPart": Rule(StoreError, "{where} lost or changed a part of {object}.", "Start the backup again."),
    "InvalidPartOrder": Rule(StoreError, "{where} refuses the order of the parts.", "Use another store."),
    "BadDigest": Rule(
        StoreError, "{object} arrived damaged at {where}, or it computes the checksum differently.", CHECKSUM
    ),
    "MissingContentLength": Rule(NotSupported, "{where} refuses the request's form.", CHECKSUM),
    "NotImplemented": Rule(NotSupported, "{where} does not implement {operation} as it was asked.", CHECKSUM),
    "PermanentRedirect": Rule(
        ConfigurationError, "Bucket {bucket} is not in this region{region}.", "Set region and endpoint to the bucket's."
    ),
    "InvalidStorageClass": Rule(
        ConfigurationError, "{where} has no such storage class for {object}.", "Check storage_class."
    ),
    "InvalidTag": Rule(ConfigurationError, "{where} does not take the tags of {object}.", "Check tags."),
    "KMS.NotFoundException": Rule(
        ConfigurationError, "{where} has no such KMS key for {object}.", "Check kms_key_id and region."
    ),
    "StorageFull": Rule(StoreFull, "{where} has no space left for {object}.", "Make room, or shorten the retention."),
    "ServiceUnavailable": Rule(
        StoreUnreachable, "{where} keeps answering {answer} to {operation}.", "Try again later."
    ),
}

#: Other names of the same.
ALIASES = {
    "InvalidSecurity": "InvalidAccessKeyId",
    "InvalidClientTokenId": "InvalidAccessKeyId",
    "NotSignedUp": "AccessDenied",
    "TokenRefreshRequired": "ExpiredToken",
    "ExpiredTokenException": "ExpiredToken",
    "AllAccessDisabled": "AccessDenied",
    "AccountProblem": "AccessDenied",
    "Forbidden": "AccessDenied",
    "Unauthorized": "AccessDenied",
    "UnauthorizedAccess": "AccessDenied",
    "MethodNotAllowed": "NotImplemented",
    "NoSuchVersion": "NoSuchKey",
    "NotFound": "NoSuchKey",
    "OperationAborted": "ServiceUnavailable",
    "XAmzContentChecksumMismatch": "BadDigest",
    "XAmzContentSHA256Mismatch": "BadDigest",
    "InvalidDigest": "BadDigest",
    "AuthorizationHeaderMalformed": "PermanentRedirect",
    "IllegalLocationConstraintException": "PermanentRedirect",
    "TemporaryRedirect": "PermanentRedirect",
    "QuotaExceeded": "StorageFull",
    "ServiceQuotaExceeded": "StorageFull",
    "InsufficientStorage": "StorageFull",
    "InsufficientCapacity": "StorageFull",
    "XMinioStorageFull": "StorageFull",
    "XMinioAdminBucketQuotaExceeded": "StorageFull",
}

#: For stores (and HEAD, whose answers have no body) that give a status only.
STATUSES = {
    301: "PermanentRedirect",
    307: "PermanentRedirect",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "NotImplemented",
    409: "ConditionalRequestConflict",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    501: "NotImplemented",
    507: "StorageFull",
}
