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

#: What helps against each of OpenSSL's reasons for refusing a certificate (X509_V_ERR_…); a CA file against the others.
_RENEW, _CLOCK, _NAME = (
    "Renew the store's certificate; if it is good, set this machine's clock.",
    "Set this machine's clock; if it is right, the store has a certificate for later.",
    "Set endpoint to a name that the certificate is for, or give the store one for this name.",
)
_CERTIFICATES = {9: _CLOCK, 10: _RENEW, 62: _NAME, 63: _NAME, 64: _NAME}
_CA_FILE = "Set ca_file to the authority that signed it (insecure_tls = true skips the check: only for testing)."


def unreachable(exc: BaseException, where: str) -> StoreUnreachable:
    """The error for a request without an answer; ``where`` names the store."""
    causes = list(_causes(exc))
    if refused := [cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)]:
        # aiohttp's own error is one too, and does not say why; OpenSSL's, from which it was made, does.
        return _distrusted(next((each for each in refused if hasattr(each, "verify_message")), refused[0]), where)
    for kinds, text, hint in _REASONS:
        for cause in causes:
            if isinstance(cause, kinds):
                return StoreUnreachable(text.format(where=where), hint=hint)
    return StoreUnreachable(f"The connection to {where} broke.", hint="Check the network, and the store's own log.")


def _distrusted(cause: ssl.SSLCertVerificationError, where: str) -> StoreUnreachable:
    why = str(getattr(cause, "verify_message", "")).rstrip(".") or "no reason is given"
    hint = _CERTIFICATES.get(getattr(cause, "verify_code", 0), _CA_FILE)
    return StoreUnreachable(f"The TLS certificate of {where} is not trusted: {why}.", hint=hint)


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
