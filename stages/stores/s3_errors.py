"""Every error of botocore, aiohttp and the store, mapped once to ours.

A message names the store, the bucket and the object, never a key, and quotes the store's own words only shortened
and with our secrets cut out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from botocore import exceptions as boto  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from ..errors import ConfigurationError, KleidiaError, ObjectChanged, StoreError
from .s3_network import unreachable
from .s3_rules import ACTIONS, ALIASES, CHECKSUM, RULES, STATUSES, RightMissing

if TYPE_CHECKING:
    from .s3_settings import S3Settings

#: What botocore and aiohttp raise while a request is made or a body is read.
FOREIGN = (boto.ClientError, boto.BotoCoreError, aiohttp.ClientError, ResponseParserError, OSError)

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
_PERMANENT_STATUSES = {501, 507}
_WITH_BODY = {"PutObject", "UploadPart", "CreateMultipartUpload"}
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


def code_of(exc: boto.ClientError) -> tuple[str, int]:
    """The store's error code as it came (a number where the answer had no body), and the HTTP status."""
    response = exc.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(response.get("Error", {}).get("Code", ""))
    return code, int(code) if not status and code.isdecimal() else int(status)


def translated(exc: BaseException, settings: S3Settings, operation: str = "", name: str = "") -> KleidiaError:
    """Our error for a foreign one; raise it ``from`` the foreign one.

    ``operation`` is S3's name of the request, ``name`` the object it was about.
    """
    if isinstance(exc, boto.ClientError):
        return _refused(exc, settings, operation, name)
    if isinstance(exc, (boto.NoCredentialsError, boto.CredentialRetrievalError, boto.PartialCredentialsError)):
        return ConfigurationError(
            f"No usable key for {settings.where}: {_short(exc, settings)}",
            hint="Set access_key_id and secret_access_key, or give AWS's default credential chain something to find.",
        )
    if isinstance(exc, ResponseParserError):
        return no_s3(settings)
    if is_transient(exc) or isinstance(exc, boto.SSLError):
        return unreachable(exc, settings.where)
    return ConfigurationError(
        f"The S3 settings cannot work: {_short(exc, settings)}",
        hint="Check endpoint, region and bucket, and AWS's own configuration if you use it.",
    )


def _refused(exc: boto.ClientError, settings: S3Settings, operation: str, name: str) -> KleidiaError:
    code, status = code_of(exc)
    known = ALIASES.get(code, code)
    if known not in RULES:
        known = "ServiceUnavailable" if is_transient(exc) else STATUSES.get(status, "")
    if known == "NoSuchKey" and operation in _OF_UPLOADS:
        known = "NoSuchUpload"
    said = _short(exc.response.get("Error", {}).get("Message", ""), settings)
    if known == "PreconditionFailed" and operation in {"GetObject", "HeadObject", "DeleteObject"}:
        return changed(name)
    rule = RULES.get(known)
    if rule is None:
        hint = CHECKSUM if operation in _WITH_BODY else ""
        why = f": {said}" if said else "."
        return StoreError(f"{settings.where} refused {operation} with {_answer(code, status)}{why}", hint=hint)
    action = ACTIONS.get(operation, operation)
    region = exc.response.get("Error", {}).get("Region", "")
    values = {
        "where": settings.where,
        "bucket": settings.bucket,
        "object": name or "anything",
        "operation": operation,
        "action": action,
        "answer": _answer(code, status),
        "said": said,
        "region": f"; it is in {region}" if region else "",
    }
    text, hint = rule.text.format(**values), rule.hint.format(**values)
    if _is_page(exc):
        hint = "It answered with a web page: check endpoint, and any proxy between here and the store."
    if rule.error is RightMissing:
        if action == "s3:GetObject":
            hint += " And s3:ListBucket: without it, S3 says this of every object that does not exist."
        return RightMissing(text, hint=f"{hint} The store said: {said}" if said else hint, action=action)
    return rule.error(text, hint=hint)


def _answer(code: str, status: int) -> str:
    """Status and code, once where they are one and the same."""
    return str(status) if code in {"", str(status)} else f"{status} {code}"


def _is_page(exc: boto.ClientError) -> bool:
    """Whether the answer was a web page; that to a HEAD has no body, whatever its header says."""
    about = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    is_html = str(about.get("content-type", "")).startswith("text/html")
    return is_html and code_of(exc)[0].isdecimal() and exc.operation_name != "HeadObject"


def no_s3(settings: S3Settings) -> StoreError:
    """Something answers, and its answers lack what every S3 says."""
    return StoreError(
        f"What answers at {settings.where} does not speak S3.", hint="Check endpoint: its host, port and path."
    )


def changed(name: str) -> ObjectChanged:
    """The object is not the one it was."""
    return ObjectChanged(
        f"{name} was replaced while it was being read.", hint="Start again with the archive as it is now."
    )


def _short(words: object, settings: S3Settings) -> str:
    text = " ".join(str(words).split())
    for secret in (settings.secret_access_key, settings.session_token):
        if secret:
            text = text.replace(secret, "…")
    return text if len(text) <= 200 else text[:200] + "…"
