"""Why a store does not answer, from the chain of causes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import aiohttp
from botocore import exceptions as boto  # type: ignore[import-untyped]

from ...errors import StoreUnreachable

#: What went wrong, the most telling first: the causes that show it, the message, and what to do.
_REASONS: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    (
        (ssl.SSLCertVerificationError,),
        "The TLS certificate of {where} is not trusted: {why}.",
        "Set ca_file to the authority that signed it (insecure_tls = true skips the check: only for testing).",
    ),
    (
        (ssl.SSLError, aiohttp.ClientSSLError, boto.SSLError),
        "No TLS connection to {where} comes about.",
        "Check whether the endpoint speaks https (else write http://), ca_file, and insecure_tls.",
    ),
    (
        (boto.ProxyConnectionError,),
        "The proxy on the way to {where} does not let us through.",
        "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
    ),
    (
        (socket.gaierror,),
        "The host name of {where} does not resolve.",
        "Check endpoint; and set path_style = true unless the store takes bucket names as host names.",
    ),
    (
        (ConnectionRefusedError,),
        "Nobody listens at {where}.",
        "Check endpoint, its port, and whether the store runs.",
    ),
    (
        (TimeoutError, boto.ReadTimeoutError, boto.ConnectTimeoutError),
        "{where} did not answer in time.",
        "Check endpoint, the network and firewalls.",
    ),
)


def unreachable(exc: BaseException, where: str) -> StoreUnreachable:
    """The error for a request without an answer; ``where`` names the store."""
    causes = list(_causes(exc))
    for kinds, text, hint in _REASONS:
        for cause in causes:
            if isinstance(cause, kinds):
                why = next(filter(None, (getattr(each, "verify_message", "") for each in causes)), "no reason is given")
                return StoreUnreachable(text.format(where=where, why=why), hint=hint)
    return StoreUnreachable(f"The connection to {where} broke.", hint="Check the network, and the store's own log.")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """The error and everything it was made from; botocore and aiohttp each keep that in a place of their own."""
    pending, seen = [exc], set[int]()
    while pending:
        cause = pending.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = getattr(cause, "kwargs", None)
        pending += [
            inner.get("error") if isinstance(inner, dict) else None,
            getattr(cause, "os_error", None),
            getattr(cause, "certificate_error", None),
            cause.__cause__,
            cause.__context__,
        ]
