"""What a vault's statuses and a broken connection mean: worth another attempt, an answer, or the end of the job."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import msgspec

from ....formats.json.broken import BROKEN
from ...errors import ConfigurationError, VaultError, VaultForbidden, VaultSealed, VaultUnreachable
from ...retry_after import retry_after
from ...words import span
from .backoff import Trouble

#: Server errors that no repetition cures: they are about this one secret.
_LASTING = (b"value being too large", b"could not find version data", b"key too large", b"cannot unmarshal")
#: A new mount prepares its storage; a standby says so in other words.
_UPGRADING = (b"Upgrading from non-versioned", b"Waiting for the primary to upgrade from non-versioned")
#: There is no such mount; it is versioned and was addressed as if it were not; another version came in between.
NO_MOUNT, IS_VERSIONED = b"no handler for route", b"Invalid path for a versioned K/V"
MOVED_ON = b"did not match the current version"


class _Errors(msgspec.Struct):
    errors: list[str] | None = None


_ERRORS = msgspec.json.Decoder(_Errors)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body. ``oversize`` says that the body was longer than asked for, and was not kept."""

    status: int
    body: bytes
    oversize: bool = False

    def says(self, sentence: bytes) -> bool:
        """Whether it holds a sentence of OpenBao's, or of Vault's."""
        # text of OpenBao: it has a status that many things have, and no code.
        return sentence in self.body

    @property
    def is_whole(self) -> bool:
        """Whether it is a JSON object from its beginning to its end, as far as it was kept."""
        body = self.body.strip()
        return self.oversize or (body[:1], body[-1:]) == (b"{", b"}")

    def errors(self) -> str:
        """The server's own words on one line, shortened; empty when it has none."""
        try:
            return " ".join(", ".join(_ERRORS.decode(self.body).errors or ()).split())[:300]
        except BROKEN:
            return ""


def classify(address: str, answer: Answer, headers: Mapping[str, str]) -> Answer | Trouble:
    """Distinguish an answer from trouble that may pass.

    Raises ``ConfigurationError`` for an address that belongs to something else, ``VaultSealed`` for a server that was
    never initialised, ``VaultForbidden`` for a namespace that an administrator has locked.
    """
    status = answer.status
    if status == 429:
        told = "Retry-After" in headers
        return Trouble("busy", "answers 429, too many requests", _wait(headers), limited=True, told=told)
    if status == 503:
        return _unavailable(address, answer, headers)
    if status in {412, 500, 502, 504} and not any(map(answer.says, _LASTING)):
        return Trouble("error", f"answers {status}: {answer.errors() or 'no reason given'}", _wait(headers))
    if status == 501:
        raise VaultSealed(f"The vault at {address} is not initialised.", hint="Initialise and unseal it first.")
    if status in {307, 473}:  # from a standby that cannot reach the active server, which may be back soon
        to = _server(headers["Location"]) if headers.get("Location") else "the active server"
        return Trouble("standby", f"is a standby and redirects to {to}")
    if status == 472:
        raise ConfigurationError(
            f"The vault at {address} is kept for disaster recovery and answers nothing.",
            hint="Configure the address of the cluster that is in use.",
        )
    if status in {301, 302, 303, 308}:
        raise ConfigurationError(
            f"The vault address {address} redirects to {_server(headers.get('Location', ''))}.",
            hint="Configure the address that it redirects to; the token is not sent there unasked.",
        )
    return _json(address, answer) if status in {200, 400, 403, 404} else answer


def _unavailable(address: str, answer: Answer, headers: Mapping[str, str]) -> Trouble:
    if answer.says(b"locked by an administrator"):
        raise VaultForbidden(
            f"The vault at {address} has this namespace locked.", hint="Unlock it, or wait until that was done."
        )
    if answer.says(b"sealed"):
        return Trouble("sealed", "is sealed", _wait(headers))
    return Trouble("busy", f"answers 503: {answer.errors() or 'no reason given'}", _wait(headers))


def _json(address: str, answer: Answer) -> Answer | Trouble:
    if answer.is_whole:
        if answer.status == 400 and any(map(answer.says, _UPGRADING)):
            return Trouble("error", "is still making a mount versioned")
        if answer.status == 404 and answer.says(b"namespace not found"):
            raise ConfigurationError(
                f"The vault at {address} has no such namespace.", hint="Correct the configured namespace."
            )
        return answer
    if answer.status == 400 and answer.says(b"HTTP request to an HTTPS server"):
        raise ConfigurationError(
            f"The vault at {address} speaks HTTPS only.", hint="Begin its address with https:// instead."
        )
    if answer.status == 400:  # a path with characters that cannot be printed gets an empty body
        return answer
    what = "something that is not JSON" if answer.body else "an empty body"
    return Trouble("error", f"answers {answer.status} with {what}")


def _wait(headers: Mapping[str, str]) -> float:
    return retry_after(headers.get("Retry-After", ""))


def _server(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else "another path"


def disconnected(address: str, exc: Exception) -> Trouble:
    """What a failed connection means.

    Raises ``VaultUnreachable`` when TLS cannot work with this server.
    """
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Trouble("unreachable", "its host name is not known")
    if isinstance(exc, TimeoutError):
        return Trouble("unreachable", "no answer in time")
    cause: BaseException | None = exc
    while cause is not None:
        check_tls(address, str(cause), verification=isinstance(cause, ssl.SSLCertVerificationError))
        cause = cause.__cause__
    if isinstance(exc, aiohttp.ClientResponseError):
        return Trouble("error", "does not speak HTTP")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return Trouble("unreachable", f"{exc.strerror or 'no connection'}".lower())
    return Trouble("unreachable", "the connection was closed in the middle")


# text of OpenSSL: requests hands on its words, not its class and not its code.
def check_tls(address: str, text: str, *, verification: bool = False) -> None:
    """Raise ``VaultUnreachable`` when an error's text means that TLS cannot work with this server."""
    if verification or "CERTIFICATE_VERIFY_FAILED" in text or "CertificateError" in text:
        raise VaultUnreachable(
            f"The certificate of the vault at {address} is not trusted.",
            hint="Configure the file of the CA that issued it (ca_file), and use the host name it was issued for.",
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        raise VaultUnreachable(
            f"The vault at {address} does not speak TLS.", hint="Begin its address with http:// instead."
        )


def final(address: str, trouble: Trouble, seconds: float) -> VaultError:
    """The error that a job ends with when trouble did not pass."""
    match trouble.kind:
        case "sealed":
            return VaultSealed(f"The vault at {address} is sealed.", hint="Unseal it and run this again.")
        case "unreachable":
            return VaultUnreachable(
                f"No vault answers at {address}: {trouble.text}.",
                hint="Check that it runs, and that its address and the network are right.",
            )
        case "standby":
            return VaultError(
                f"The vault at {address} {trouble.text}; nothing else for {seconds:g} s.",
                hint="Configure the address of the active server, or let standbys forward requests; a cluster without "
                "an active server waits for an election.",
            )
        case "busy" if trouble.retry_after > seconds:
            return VaultUnreachable(
                f"The vault at {address} {trouble.text}, and asks to be left alone for {span(trouble.retry_after)}: "
                f"longer than a job waits ({seconds:g} s).",
                hint="Raise its rate limit (quota), or retry_budget in [vault].",
            )
        case "busy":
            return VaultUnreachable(
                f"The vault at {address} {trouble.text}; nothing else for {seconds:g} s.",
                hint="Raise its rate limit, use fewer workers, or try when it is less busy.",
            )
    return VaultError(
        f"The vault at {address} {trouble.text}; nothing else for {seconds:g} s.",
        hint="Look into its log, and for a proxy in between that answers in its place.",
    )
