"""HTTP with a vault: one session, one exchange at a time per worker, repeated while that helps."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from ...errors import ConfigurationError
from ...load.meter import meter
from .backoff import GaveUp, SharedBackoff, Trouble
from .consistency import FORWARD, INCONSISTENT, INDEX, beyond
from .troubles import Answer, classify, disconnected, final

if TYPE_CHECKING:
    from .settings import VaultSettings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Seconds to wait for a connection.
CONNECT_TIMEOUT = 10.0
#: The query that makes a GET of a folder what the verb LIST is, and that every proxy lets pass.
LIST = "list=true"
#: The same, of all names: where a policy sets ``pagination_limit``, OpenBao answers ``LIST`` with so many, and does not
#: say that there are more, but refuses this. Where there are no pages it says nothing.
WHOLE = f"{LIST}&limit=-1"
#: Largest answer to anything but a read of a secret: a folder of about a million names.
LIST_LIMIT = 64 * 1024 * 1024
_PIECE = 256 * 1024
_TOKEN = "X-Vault-Token"  # noqa: S105 - a header's name
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request: ``path`` is plain text, from behind ``/v1/``; ``limit`` the most bytes of an answer that are kept."""

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    query: str = ""
    limit: int = LIST_LIMIT


class Transport:
    """An HTTP session with a vault, and the back-off that everything sent to this vault shares.

    An async context manager: leaving it closes the connections.
    """

    def __init__(self, settings: VaultSettings) -> None:
        self.requests = 0
        self._meter = meter()
        #: Whether no answer can be older than what the active server holds.
        self.consistent = False
        self.backoff = SharedBackoff(
            settings.workers,
            budget=settings.start_budget,
            patience=settings.retry_budget,
            base=settings.retry_base,
            cap=settings.retry_cap,
            adaptive=settings.adaptive,
            max_rate=settings.max_rate,
        )
        self._address = settings.address
        self._base = URL(settings.address, encoded=True)
        self._base_path = self._base.raw_path.rstrip("/")
        self._root = str(self._base).rstrip("/")
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        headers = {"X-Vault-Request": "true"}
        if settings.namespace:
            headers["X-Vault-Namespace"] = settings.namespace
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.workers + 1, ssl=tls(settings)),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout, sock_connect=CONNECT_TIMEOUT),
            headers=headers,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(self, call: Call, token: str) -> Answer:
        """Send a request until there is an answer.

        Raises ``GaveUp`` when this request fails while others do not, and otherwise what ``persist`` raises.
        """
        return await self.persist(self.once, call, token)

    async def once(self, call: Call, token: str) -> Answer | Trouble:
        """Send a request once. Raises what ``classify`` and ``disconnected`` raise."""
        self.requests += 1
        self._meter.begin()
        began, under_way, refused = monotonic(), self.backoff.under_way, False
        try:
            result = await self._exchange(call, token)
            if isinstance(result, Trouble):
                refused = result.kind == "busy"
            elif call.method == "GET":
                self.backoff.answered(
                    "list" if call.query.startswith(LIST) else "read", began=began, under_way=under_way
                )
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as exc:
            return disconnected(self._address, exc)
        else:
            return result
        finally:
            self._meter.end(monotonic() - began, refused=refused)

    async def persist(self, exchange: Callable[[*Ts], Awaitable[T | Trouble]], *args: *Ts) -> T:
        """Repeat an exchange while it gives ``Trouble``, under the shared back-off.

        Raises ``VaultSealed``, ``VaultUnreachable`` or ``VaultError`` when nothing succeeded for the whole budget,
        and ``GaveUp`` when only this exchange failed.
        """
        try:
            return await self.backoff.persist(exchange, *args)
        except GaveUp as exc:
            if exc.alone:
                raise
            raise final(self._address, exc.trouble, exc.after) from None

    async def insist(self, exchange: Callable[[], Awaitable[T | Trouble]]) -> T:
        """As ``persist``, for an exchange that everything else needs: any failure is an error."""
        try:
            return await self.persist(exchange)
        except GaveUp as exc:
            raise final(self._address, exc.trouble, self.backoff.budget) from None

    async def _exchange(self, call: Call, token: str) -> Answer | Trouble:
        assert self._session is not None, "the client is used outside its context"
        # As little as can be for each request; aiohttp takes a copy of the session's headers as it begins with one.
        path = f"/v1/{quoted(call.path)}"
        if call.query:
            url = URL(f"{self._root}{path}?{call.query}", encoded=True)
        else:
            url = self._base.with_path(self._base_path + path, encoded=True)
        if self._session.headers.get(_TOKEN) != token:
            self._session.headers[_TOKEN] = token
        data: bytes | BytesIO | None = call.body
        if call.body is not None and len(call.body) > _PIECE:
            data = BytesIO(call.body)  # in pieces, so that other requests go on; a new stream for each attempt
        async with self._session.request(
            call.method, url, data=data, headers=None if data is None else _JSON, allow_redirects=False
        ) as response:
            if not self.consistent and (index := beyond(response.headers.get(INDEX, ""))):
                self._session.headers.update({INDEX: index, INCONSISTENT: FORWARD})
                self.consistent = True
            body = await _body(response, call.limit)
            if body is None:
                return Answer(response.status, b"", oversize=True)
            return classify(self._address, Answer(response.status, body), response.headers)


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """An answer's body; None, and the connection is closed, when it has more bytes than that."""
    if response.content.is_eof() and response.content.total_bytes <= limit:  # most came whole, together with its head
        return response.content.read_nowait()
    body = BytesIO()  # hands over what it gathered without a copy
    while piece := await response.content.readany():
        if body.write(piece) and body.tell() > limit:
            response.close()
            return None
    return body.getvalue()


def quoted(path: str) -> str:
    """A path with every name in it quoted: a vault takes any character in one, ``?``, ``#`` and ``%`` included."""
    return quote(path, safe="/")


def tls(settings: VaultSettings) -> ssl.SSLContext | bool:
    """How to check the server's certificate. Raises ``ConfigurationError`` for an unreadable CA file."""
    if settings.insecure_tls:
        return False
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"The CA file {settings.ca_file} cannot be read.", hint="It holds PEM certificates; check path and rights."
        ) from None
