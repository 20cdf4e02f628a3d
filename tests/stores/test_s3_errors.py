"""Every error of S3 and of the network, and what it becomes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import aiohttp
import pytest
from botocore import exceptions as boto  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.stages.errors import (
    BucketMissing,
    ConfigurationError,
    KleidiaError,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)
from kleidia_backup.stages.stores.s3.errors import code_of, is_transient, translated
from kleidia_backup.stages.stores.s3.rules import ALIASES, RULES, STATUSES
from kleidia_backup.stages.stores.s3.store import S3Settings, S3Store

from .conftest import PREFIX, Broken, settings_for
from .faults import answer

SECRET = "canary-secret-access-key"
SETTINGS = S3Settings(
    "vault-of-bytes",
    endpoint="https://s3.example.com",
    access_key_id="AKID",
    secret_access_key=SECRET,
    session_token="canary-token",
)
NAME = "backups/backup-full-1.enc"


def refusal(status: int, code: str, operation: str, message: str = "As told.", **more: str) -> Exception:
    response = {"Error": {"Code": code, "Message": message, **more}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, operation)  # type: ignore[no-any-return]


#: status, code, operation -> class, words of the message, words of the hint
REFUSALS: list[tuple[int, str, str, type[KleidiaError], str, str]] = [
    (403, "InvalidAccessKeyId", "PutObject", StoreForbidden, "does not know this access key id", "access_key_id"),
    (403, "SignatureDoesNotMatch", "PutObject", StoreForbidden, "secret access key does not fit", "secret_access_key"),
    (400, "ExpiredToken", "PutObject", StoreForbidden, "expired", "new credentials"),
    (403, "RequestTimeTooSkewed", "PutObject", StoreForbidden, "clocks", "clock"),
    (403, "AccessDenied", "PutObject", StoreForbidden, "may not do s3:PutObject", "Grant it s3:PutObject"),
    (403, "AccessDenied", "UploadPart", StoreForbidden, "may not do s3:PutObject", "Grant"),
    (403, "AccessDenied", "AbortMultipartUpload", StoreForbidden, "s3:AbortMultipartUpload", "Grant"),
    (403, "AccessDenied", "ListObjectsV2", StoreForbidden, "s3:ListBucket ", "Grant"),
    (403, "AccessDenied", "DeleteObject", StoreForbidden, "s3:DeleteObject", "As told."),
    (403, "403", "HeadObject", StoreForbidden, "s3:GetObject", "s3:ListBucket"),
    (404, "NoSuchBucket", "PutObject", BucketMissing, "no bucket vault-of-bytes at https://s3.example.com", "create"),
    (404, "NoSuchKey", "GetObject", ObjectMissing, NAME, "list"),
    (404, "404", "HeadObject", ObjectMissing, NAME, "list"),
    (404, "NoSuchUpload", "UploadPart", StoreError, "no longer knows the upload", "lifecycle"),
    (404, "404", "CompleteMultipartUpload", StoreError, "no longer knows the upload", "lifecycle"),
    (412, "PreconditionFailed", "PutObject", ObjectExists, "already there", "another name"),
    (412, "PreconditionFailed", "CompleteMultipartUpload", ObjectExists, "already there", "another name"),
    (412, "PreconditionFailed", "GetObject", ObjectChanged, "replaced", "again"),
    (409, "ConditionalRequestConflict", "CompleteMultipartUpload", ObjectExists, "same time", "again"),
    (416, "InvalidRange", "GetObject", StoreError, "ends before", ""),
    (403, "InvalidObjectState", "GetObject", StoreError, "archive storage class", "RestoreObject"),
    (400, "EntityTooSmall", "CompleteMultipartUpload", StoreError, "this small", "5 MiB"),
    (400, "EntityTooLarge", "UploadPart", StoreError, "this large", "part size"),
    (400, "InvalidPart", "CompleteMultipartUpload", StoreError, "lost or changed a part", "again"),
    (400, "InvalidPartOrder", "CompleteMultipartUpload", StoreError, "order", "another store"),
    (400, "BadDigest", "UploadPart", StoreError, "damaged", 'checksum = "md5"'),
    (411, "MissingContentLength", "UploadPart", StoreError, "refuses", "checksum"),
    (501, "NotImplemented", "UploadPart", StoreError, "does not implement UploadPart", "checksum"),
    (301, "PermanentRedirect", "PutObject", ConfigurationError, "not in this region", "region"),
    (507, "XMinioStorageFull", "UploadPart", StoreFull, "no space left", "room"),
    (403, "QuotaExceeded", "UploadPart", StoreFull, "no space left", "room"),
    (507, "507", "UploadPart", StoreFull, "no space left", "room"),
    (503, "SlowDown", "UploadPart", StoreUnreachable, "503 SlowDown", "later"),
    (500, "InternalError", "CompleteMultipartUpload", StoreUnreachable, "500 InternalError", "later"),
    (502, "502", "PutObject", StoreUnreachable, "502", "later"),
    (429, "TooManyRequests", "PutObject", StoreUnreachable, "429", "later"),
    (400, "SomethingNew", "PutObject", StoreError, "refused PutObject with 400 SomethingNew.", "checksum"),
]


@pytest.mark.parametrize(("status", "code", "operation", "error", "words", "hint"), REFUSALS)
def test_refusals(status: int, code: str, operation: str, error: type[KleidiaError], words: str, hint: str) -> None:
    """Each of the store's codes becomes one class, a message that names the cause, and a next step."""
    ours = translated(refusal(status, code, operation), SETTINGS, operation, NAME)
    assert isinstance(ours, error)
    assert words in ours.message
    assert hint in ours.advice
    assert "As told." not in ours.message + ours.hint  # the store's own text is for operators alone


def test_the_table_is_whole() -> None:
    """Every alias and every status leads to a rule, and the rules can all be said."""
    assert set(ALIASES.values()) | set(STATUSES.values()) <= set(RULES)
    for code in (*RULES, *ALIASES):
        assert translated(refusal(400, code, "PutObject"), SETTINGS, "PutObject", NAME).message


def test_a_wrong_region_is_named() -> None:
    """Where the store says which region it would be, so do we."""
    ours = translated(
        refusal(400, "AuthorizationHeaderMalformed", "PutObject", Region="eu-west-1"), SETTINGS, "PutObject"
    )
    assert isinstance(ours, ConfigurationError)
    assert "eu-west-1" in ours.message


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


#: what was raised -> class, words, whether to try again
FAILURES: list[tuple[Exception, type[KleidiaError], str, bool]] = [
    (
        boto.EndpointConnectionError(endpoint_url="u", error=ConnectionRefusedError()),
        StoreUnreachable,
        "Nobody listens",
        True,
    ),
    (
        boto.EndpointConnectionError(endpoint_url="u", error=socket.gaierror()),
        StoreUnreachable,
        "does not resolve",
        True,
    ),
    (boto.SSLError(endpoint_url="u", error=certificate_error()), StoreUnreachable, "not trusted: self-signed", False),
    (boto.SSLError(endpoint_url="u", error=ssl.SSLError()), StoreUnreachable, "No TLS connection", False),
    (boto.ConnectTimeoutError(endpoint_url="u"), StoreUnreachable, "in time", True),
    (boto.ReadTimeoutError(endpoint_url="u"), StoreUnreachable, "in time", True),
    (boto.ConnectionClosedError(endpoint_url="u"), StoreUnreachable, "broke", True),
    (boto.ResponseStreamingError(error="x"), StoreUnreachable, "broke", True),
    (boto.HTTPClientError(error="x"), StoreUnreachable, "broke", True),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreUnreachable, "broke", True),
    (boto.ProxyConnectionError(proxy_url="http://p"), StoreUnreachable, "proxy", True),
    (aiohttp.ClientPayloadError(), StoreUnreachable, "broke", True),
    (ConnectionResetError(), StoreUnreachable, "broke", True),
    (boto.NoCredentialsError(), ConfigurationError, "No usable key", False),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), ConfigurationError, "No usable key", False),
    (boto.ProfileNotFound(profile="x"), ConfigurationError, "settings cannot work", False),
    (boto.ParamValidationError(report="Invalid bucket name"), ConfigurationError, "Invalid bucket name", False),
    (ResponseParserError("syntax error"), StoreError, "does not speak S3", False),
]


@pytest.mark.parametrize(("raised", "error", "words", "again"), FAILURES, ids=lambda each: type(each).__name__)
def test_failures(raised: Exception, error: type[KleidiaError], words: str, again: bool) -> None:
    """Whatever botocore and aiohttp raise becomes one of ours, with a hint; what may pass is tried again."""
    ours = translated(raised, SETTINGS)
    assert type(ours) is error
    assert words in ours.message
    assert ours.hint
    assert is_transient(raised) is again


@pytest.mark.parametrize("code", ["9" * 5000, "²³", "40", "-1"])
def test_a_code_that_is_no_number(code: str) -> None:
    """A status stands in its place only where it looks like one."""
    odd = boto.ClientError({"Error": {"Code": code}}, "GetObject")
    assert code_of(odd) == (code, 0)
    assert len(str(translated(odd, SETTINGS, "GetObject", NAME))) < 400


def everything_said(exc: BaseException | None) -> Iterator[str]:
    while exc is not None:
        yield from (str(exc), repr(exc), getattr(exc, "hint", ""))
        exc = exc.__cause__ or exc.__context__


def test_no_secret_in_a_message() -> None:
    """A store that echoes our secrets does not get them into our messages; settings do not show them."""
    ours = translated(refusal(400, "Odd", "PutObject", f"got {SECRET} and canary-token"), SETTINGS, "PutObject", NAME)
    assert "canary" not in str(ours) + repr(SETTINGS)
    long = translated(refusal(400, "Odd", "PutObject", "word " * 1000), SETTINGS, "PutObject", NAME)
    assert len(str(long)) < 400


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"access_key_id": "UNKNOWN"}, "does not know this access key id"),
        ({"secret_access_key": SECRET}, "secret access key does not fit"),
    ],
    ids=["key id", "secret"],
)
async def test_wrong_keys(rclone_bucket: Bucket, wrong: dict[str, str], words: str) -> None:
    """A server that checks signatures: every operation says which of the two is wrong, and never the secret."""
    async with S3Store(settings_for(rclone_bucket, **wrong)) as store:
        attempts = (
            store.head(NAME),
            store.put(NAME, bytearray(b"x")),
            store.create(NAME, part_size=100),
            store.delete(NAME),
            anext(store.list(PREFIX)),
            store.check(),
        )
        for attempt in attempts:
            with pytest.raises(StoreForbidden, match=words) as caught:
                await attempt
            assert SECRET not in " ".join(everything_said(caught.value))
    assert rclone_bucket.keys() == []


@pytest.mark.anyio
async def test_no_such_bucket(rclone_bucket: Bucket) -> None:
    """Every operation says that the bucket is missing, even where S3's own answer to a HEAD has no words."""
    async with S3Store(settings_for(rclone_bucket, bucket="no-such-bucket")) as store:
        attempts = (
            store.head(NAME),
            store.put(NAME, bytearray(b"x")),
            store.create(NAME, part_size=100),
            anext(store.list(PREFIX)),
            store.check(),
        )
        for attempt in attempts:
            with pytest.raises(BucketMissing, match="no-such-bucket"):
                await attempt


@pytest.mark.anyio
async def test_nobody_there() -> None:
    """A refused connection and a name that does not resolve are told apart."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        keys = {"access_key_id": "a", "secret_access_key": "b", "attempts": 1, "path_style": True}
        for endpoint, words in (
            (f"http://127.0.0.1:{port}", "Nobody listens"),
            ("http://nowhere.invalid:9000", "does not resolve"),
        ):
            async with S3Store(S3Settings("bucket", endpoint=endpoint, **keys)) as store:  # type: ignore[arg-type]
                with pytest.raises(StoreUnreachable, match=words):
                    await store.head(NAME)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("denied", "missing"),
    [
        ("ListObjectsV2", ("s3:ListBucket",)),
        ("PutObject", ("s3:PutObject",)),
        ("GetObject", ("s3:GetObject",)),
        ("DeleteObject", ("s3:DeleteObject",)),
        ("AbortMultipartUpload", ("s3:AbortMultipartUpload",)),
        ("ListMultipartUploads", ("s3:ListBucketMultipartUploads",)),
        ("ListParts", ()),
    ],
)
async def test_check_names_the_missing_right(broken: Broken, denied: str, missing: tuple[str, ...]) -> None:
    """Each right that is denied is named as IAM names it; the others are still tried, and nothing else is left."""
    broken.proxy.fail(denied, answer(403, "AccessDenied"), times=9)
    async with S3Store(broken.settings()) as store:
        assert await store.check() == missing
    assert len(broken.bucket.keys()) == (1 if denied == "DeleteObject" else 0)
    assert len(broken.bucket.uploads()) == (1 if denied == "AbortMultipartUpload" else 0)
