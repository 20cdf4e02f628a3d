"""Every error of botocore, aiohttp and the store, mapped once to our errors.

A message names the store, the bucket and the object, never a key, and quotes the store's own words only shortened
and with our secrets cut out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from botocore import exceptions as boto  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from ...errors import (
    ConfigurationError,
    KleidiaError,
    ObjectChanged,
    ObjectRetained,
    Right,
    StoreError,
    StoreUnreachable,
)
from .network import unreachable
from .rules import ACTIONS, ALIASES, CHECKSUM, RULES, STATUSES, NotSupported, RightMissing, Unknown

if TYPE_CHECKING:
    from ..locks import Lock
    from .settings import S3Settings

#: What botocore and aiohttp raise while a request is made or a body is read; ``ValueError`` for a number or a time in
#: an answer that is none, or that has more digits than Python reads.
FOREIGN = (boto.ClientError, boto.BotoCoreError, aiohttp.ClientError, ResponseParserError, OSError, ValueError)

_TRANSIENT_CODES = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "OperationAborted",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "BadDigest",
}
#: What a store's own codes and regions look like; anything else that stands in their place is not repeated.
_CODE, _REGION = re.compile(r"[A-Za-z0-9]{1,60}"), re.compile(r"[a-z0-9-]{1,40}")
#: A status that stands in the code's place.
_STATUS = re.compile(r"[0-9]{3}")
_PERMANENT_STATUSES = {501, 507}
_NO_CHECKSUM = 'A bucket that locks every object wants a checksum with each: set checksum = "crc32" or "md5".'
_WITH_BODY = {"PutObject", "UploadPart", "CreateMultipartUpload"}
_MAKES = {"PutObject", "CreateMultipartUpload"}
_DEMANDED = (
    " Or set what the bucket's policy may demand of every object: server_side_encryption, kms_key_id, storage_class,"
    " tags."
)
_OF_UPLOADS = {"UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"}


def is_transient(exc: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(exc, boto.ClientError):
        code, status = code_of(exc)
        return code in _TRANSIENT_CODES or status == 429 or (status >= 500 and status not in _PERMANENT_STATUSES)
    if isinstance(exc, boto.SSLError):
        return False
    return isinstance(
        exc, (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, aiohttp.ClientError, OSError)
    )


def wants_patience(exc: BaseException) -> bool:
    """Whether the store is there and asks to be asked less, or later."""
    return isinstance(exc, boto.ClientError) and code_of(exc)[1] in {429, 503}


def code_of(exc: boto.ClientError) -> tuple[str, int]:
    """The store's error code as it came (a number where the answer had no body), and the HTTP status."""
    response = exc.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(response.get("Error", {}).get("Code", ""))
    return code, int(code) if not status and _STATUS.fullmatch(code) else int(status)


def translated(exc: BaseException, settings: S3Settings, operation: str = "", name: str = "") -> KleidiaError:
    """Our error for a third-party one; raise it ``from`` that one.

    ``operation`` is S3's name of the request, ``name`` the object it was about.
    """
    if isinstance(exc, boto.ClientError):
        # The answer to a HEAD has no body, and a GET is asked about the same (``Bucket.explain``).
        code, heads = code_of(exc)[0], operation == "HeadObject"
        if not settings.tells_why and not heads and ALIASES.get(code, code) not in RULES:
            return no_s3(settings)
        return _refused(exc, settings, operation, name)
    if isinstance(exc, (boto.NoCredentialsError, boto.CredentialRetrievalError, boto.PartialCredentialsError)):
        return ConfigurationError(
            f"No usable key for {settings.where}: {_short(exc, settings)}",
            hint="Set access_key_id and secret_access_key, or give AWS's default credential chain something to find.",
        )
    if isinstance(exc, ResponseParserError) or (operation and _is_misread(exc)):
        return no_s3(settings)
    if is_transient(exc) or isinstance(exc, boto.SSLError):
        return unreachable(exc, settings.where) if settings.tells_why else no_s3(settings)
    why, hint = _short(exc, settings), "Check endpoint, region and bucket, and AWS's own configuration if you use it."
    if isinstance(exc, UnicodeError):  # its text quotes what it is about
        why = "one of them, or a name, has characters that cannot be sent."
    elif isinstance(exc, boto.ProfileNotFound):
        hint = (
            "Correct AWS_PROFILE (or AWS_DEFAULT_PROFILE) or AWS's own files; or unset it, where [store] has the key."
        )
    return ConfigurationError(f"The S3 settings cannot work: {why}", hint=hint)


def _is_misread(exc: BaseException) -> bool:
    """Whether it is about a number or a time in the answer: of another kind than all that may pass, and no text."""
    return isinstance(exc, ValueError) and not isinstance(exc, UnicodeError) and not is_transient(exc)


def _refused(exc: boto.ClientError, settings: S3Settings, operation: str, name: str) -> KleidiaError:
    code, status = code_of(exc)
    known = ALIASES.get(code, code)
    if known not in RULES:
        known = "ServiceUnavailable" if is_transient(exc) else STATUSES.get(status, "")
    if known == "NoSuchKey" and operation in _OF_UPLOADS:
        known = "NoSuchUpload"
    said = _short(exc.response.get("Error", {}).get("Message") or "", settings)
    if known == "PreconditionFailed" and operation in {"GetObject", "HeadObject", "DeleteObject", "UploadPartCopy"}:
        return changed(name)
    rule = RULES.get(known)
    if rule is None:
        hint = "" if operation not in _WITH_BODY else CHECKSUM if settings.checksum != "none" else _NO_CHECKSUM
        if hint and settings.lock_mode != "none":
            hint = f"`kleidia-backup test-connection` says whether the bucket can lock objects. {hint}"
        return Unknown(f"{settings.where} refused {operation} with {_answer(code, status)}.", hint=hint, said=said)
    action = ACTIONS.get(operation, operation)
    region = exc.response.get("Error", {}).get("Region", "")
    values = {
        "where": settings.where,
        "bucket": settings.bucket,
        "object": name or "anything",
        "operation": operation,
        "action": action,
        "answer": _answer(code, status),
        "region": f"; it is in {region}" if _REGION.fullmatch(str(region)) else "",
    }
    text, hint = rule.text.format(**values), rule.hint.format(**values)
    if _is_page(exc):
        hint = "It answered with a web page: check endpoint, and any proxy between here and the store."
    if rule.error is NotSupported and operation not in _WITH_BODY:
        hint = "Use another store, or a newer version of it."
    if rule.error is RightMissing:
        if operation in _MAKES:
            hint += _DEMANDED
        if action == "s3:GetObject":
            hint += " And s3:ListBucket: without it, S3 says this of every object that does not exist."
        return RightMissing(text, hint=hint, rights=(Right(action, name),), said=said)
    return rule.error(text, hint=hint, said=said if rule.error is NotSupported else "")


def _answer(code: str, status: int) -> str:
    """Status and code, once where they are one and the same."""
    return f"{status} {code}" if _CODE.fullmatch(code) and code != str(status) else str(status)


def _is_page(exc: boto.ClientError) -> bool:
    """Whether the answer was a web page; that to a HEAD has no body, even if its header names one."""
    about = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    is_html = str(about.get("content-type", "")).startswith("text/html")
    return is_html and code_of(exc)[0].isdecimal() and exc.operation_name != "HeadObject"


def no_s3(settings: S3Settings) -> StoreError:
    """The endpoint answers, but not as any S3 does; or it is not told whether it answers at all."""
    if not settings.tells_why:
        return StoreUnreachable(
            f"Nobody at {settings.where} answers as S3 does.",
            hint="Check endpoint. Why it fails is told where allowed_endpoints in [service] names the server.",
        )
    return StoreError(
        f"What answers at {settings.where} does not speak S3.", hint="Check endpoint: its host, port and path."
    )


def changed(name: str) -> ObjectChanged:
    """The object is not the one it was."""
    return ObjectChanged(
        f"{name} was replaced while it was being read.", hint="Start again with the archive as it is now."
    )


def retained(name: str, lock: Lock) -> ObjectRetained:
    """A lock keeps the object."""
    hold = " A legal hold keeps it, until it is taken off." if lock.held else ""
    until = lock.until if lock.until is not None and lock.until > datetime.now(UTC) else None
    date = "" if until is None else f" It is locked ({lock.mode}) until {until:%Y-%m-%d %H:%M:%S} UTC."
    return ObjectRetained(
        f"{name} cannot be deleted.{date}{hold}", hint="It stays in the store meanwhile.", until=until, held=lock.held
    )


# text of botocore: it may quote what it was given, our secrets too.
def _short(words: object, settings: S3Settings) -> str:
    text = " ".join(str(words).split())
    for secret in (settings.secret_access_key, settings.session_token):
        if secret:
            text = text.replace(secret, "…")
    return text if len(text) <= 200 else text[:200] + "…"
