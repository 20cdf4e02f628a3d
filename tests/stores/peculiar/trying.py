"""What a store does where stores differ: found out by small requests of a plain client, none of which stays."""

from __future__ import annotations

import base64
import contextlib
import datetime
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import botocore.auth  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from kleidia_backup.demo.servers.s3 import Bucket

_PART = 5 * 1024 * 1024
_CRC = base64.b64encode(b"\0\0\0\1").decode()  # of nothing that is sent here
_MD5 = base64.b64encode(bytes(16)).decode()


def peculiarities(bucket: Bucket, *, locks: str) -> dict[str, str]:
    """Each question of the table, and this store's answer. ``locks`` is what is known of Object Lock."""
    with contextlib.closing(bucket.server.client()) as client:
        tried = _Tries(client, bucket)
        answers = {question: ask(tried) for question, ask in _QUESTIONS.items()}
    return {**answers, "Object Lock": locks}


class _Tries:
    """A client, a bucket, and requests of which the outcome counts."""

    def __init__(self, client: Any, bucket: Bucket) -> None:
        self.client = client
        self.bucket = bucket
        self.at = {"Bucket": bucket.name, "Key": f"{bucket.under}tried"}

    def outcome(self, operation: str, **fields: Any) -> str:
        """Empty for success, else status and code of the refusal."""
        try:
            answer = getattr(self.client, operation)(**{**self.at, **fields})
        except ClientError as exc:
            code, status = exc.response["Error"].get("Code", ""), exc.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{status} {code}".removesuffix(f" {status}")
        if "Body" in answer:
            answer["Body"].read()
        return ""

    def refuses(self, operation: str, **fields: Any) -> str:
        """As a cell of the table: how it is refused, or that it is not."""
        return self.outcome(operation, **fields) or "ignored"

    @contextlib.contextmanager
    def upload(self, *parts: tuple[int, bytes]) -> Iterator[dict[str, Any]]:
        """An upload with these parts, in this order: the fields that complete it. It is aborted if it is not."""
        upload = self.client.create_multipart_upload(**self.at)["UploadId"]
        try:
            sent = [
                {
                    "PartNumber": number,
                    "ETag": self.client.upload_part(**self.at, UploadId=upload, PartNumber=number, Body=data)["ETag"],
                }
                for number, data in parts
            ]
            sent.sort(key=lambda part: int(part["PartNumber"]))
            yield {"UploadId": upload, "MultipartUpload": {"Parts": sent}}
        finally:
            with contextlib.suppress(ClientError):
                self.client.abort_multipart_upload(**self.at, UploadId=upload)

    def put(self, data: bytes = b"0123456789") -> dict[str, Any]:
        """An object, anew, and what HEAD says of it."""
        self.client.put_object(**self.at, Body=data, Metadata={"some-word": "kept"})
        found: dict[str, Any] = self.client.head_object(**self.at)
        return found

    def gone(self) -> None:
        self.client.delete_object(**self.at)


def _key(tried: _Tries) -> str:
    server = replace(tried.bucket.server, secret_key="of-nobody")
    with contextlib.closing(server.client()) as client:
        return _listed(client, tried)


def _listed(client: Any, tried: _Tries) -> str:
    try:
        client.list_objects_v2(Bucket=tried.bucket.name, MaxKeys=1)
    except ClientError as exc:
        return f"{exc.response['ResponseMetadata']['HTTPStatusCode']} {exc.response['Error'].get('Code', '')}"
    return "taken"


def _clock(tried: _Tries) -> str:
    real = botocore.auth.get_current_datetime

    def late(*arguments: Any, **options: Any) -> datetime.datetime:
        found: datetime.datetime = real(*arguments, **options) - datetime.timedelta(minutes=20)
        return found

    with mock.patch.object(botocore.auth, "get_current_datetime", late):
        return _listed(tried.client, tried)


def _head(tried: _Tries) -> str:
    tried.gone()
    return tried.outcome("head_object")


def _none_match(tried: _Tries) -> str:
    tried.put()
    return tried.refuses("put_object", Body=b"other", IfNoneMatch="*")


def _none_match_complete(tried: _Tries) -> str:
    tried.put()
    with tried.upload((1, b"other")) as fields:
        return tried.refuses("complete_multipart_upload", **fields, IfNoneMatch="*")


def _match_complete(tried: _Tries) -> str:
    tried.put()
    with tried.upload((1, b"other")) as fields:
        return tried.refuses("complete_multipart_upload", **fields, IfMatch='"another"')


def _match_read(tried: _Tries) -> str:
    tried.put()
    return tried.refuses("get_object", IfMatch='"another"')


def _crc(tried: _Tries) -> str:
    return tried.refuses("put_object", Body=b"data", ChecksumCRC32=_CRC)


def _md5(tried: _Tries) -> str:
    return tried.refuses("put_object", Body=b"data", ContentMD5=_MD5)


def _etag(tried: _Tries) -> str:
    with tried.upload((1, bytes(_PART)), (2, b"rest")) as fields:
        tried.client.complete_multipart_upload(**tried.at, **fields)
        etag = str(tried.client.head_object(**tried.at)["ETag"])
    (found,) = [
        each
        for each in tried.client.list_objects_v2(Bucket=tried.bucket.name, Prefix=tried.at["Key"])["Contents"]
        if each["Key"] == tried.at["Key"]
    ]
    form = "MD5 of the parts, -2" if etag.strip('"').endswith("-2") else "another form"
    return form if found["ETag"] == etag else f"{form}; listed otherwise"


def _order(tried: _Tries) -> str:
    with tried.upload((2, b"rest"), (1, bytes(_PART))) as fields:
        return tried.outcome("complete_multipart_upload", **fields) or "taken"


def _small(tried: _Tries) -> str:
    with tried.upload((1, b"small"), (2, b"rest")) as fields:
        return tried.outcome("complete_multipart_upload", **fields) or "taken"


def _copies(tried: _Tries) -> str:
    tried.put()
    with tried.upload() as fields:
        source = {"Bucket": tried.bucket.name, "Key": tried.at["Key"]}
        more = {"UploadId": fields["UploadId"], "PartNumber": 1, "CopySource": source}
        return tried.outcome("upload_part_copy", **more) or "yes"


def _metadata(tried: _Tries) -> str:
    return "kept" if tried.put().get("Metadata") == {"some-word": "kept"} else "lost"


def _ranges(tried: _Tries) -> str:
    tried.put()
    answer = tried.client.get_object(**tried.at, Range="bytes=3-5")
    data = answer["Body"].read()
    if data != b"345":
        return "ignored"
    return f"{answer['ResponseMetadata']['HTTPStatusCode']} {answer.get('ContentRange', 'without its place')}"


def _listing(tried: _Tries) -> str:
    tried.gone()
    names = [f"{tried.bucket.under}order/{each}" for each in ("a", "a-c", "a/b", "B", "ä", "z")]
    for name in names:
        if refused := tried.outcome("put_object", Key=name, Body=b"x"):
            return f"no name beside a folder of that name ({refused})"
    found = tried.client.list_objects_v2(Bucket=tried.bucket.name, Prefix=f"{tried.bucket.under}order/")["Contents"]
    for name in names:
        tried.client.delete_object(Bucket=tried.bucket.name, Key=name)
    listed = [each["Key"] for each in found]
    if sorted(listed) != sorted(names):
        return "not all"
    return "bytes of the name" if listed == sorted(names, key=str.encode) else "another order"


def _uploads(tried: _Tries) -> str:
    try:
        tried.client.list_multipart_uploads(Bucket=tried.bucket.name, Prefix=f"{tried.bucket.under}none/")
    except ClientError as exc:
        return f"{exc.response['ResponseMetadata']['HTTPStatusCode']} {exc.response['Error'].get('Code', '')}"
    return "empty"


def _versions(tried: _Tries) -> str:
    try:
        status = tried.client.get_bucket_versioning(Bucket=tried.bucket.name).get("Status", "off")
    except ClientError as exc:
        return f"{exc.response['ResponseMetadata']['HTTPStatusCode']} {exc.response['Error'].get('Code', '')}"
    return str(status).lower()


_QUESTIONS: dict[str, Callable[[_Tries], str]] = {
    "wrong secret key": _key,
    "clock 20 minutes late": _clock,
    "HEAD of what is missing": _head,
    "put with If-None-Match: * on a name that is taken": _none_match,
    "Complete with If-None-Match: * on one": _none_match_complete,
    "Complete with another's If-Match": _match_complete,
    "GET with another's If-Match": _match_read,
    "put with a wrong CRC32": _crc,
    "put with a wrong Content-MD5": _md5,
    "metadata": _metadata,
    "bytes 3 to 5 of 10": _ranges,
    "part 2 before part 1": _order,
    "a first part of 5 bytes": _small,
    "ETag of two parts": _etag,
    "copies parts itself": _copies,
    "order of a listing": _listing,
    "list of uploads where none is": _uploads,
    "versions of a new bucket": _versions,
}
