"""One configured S3 client: settings in, an aiobotocore client out."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]
from aiobotocore.session import AioSession, get_session  # type: ignore[import-untyped]
from aiohttp.payload import Payload
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from botocore.utils import parse_timestamp  # type: ignore[import-untyped]

from ....pipeline.engine import in_thread
from ...errors import ConfigurationError
from ...loop import need_asyncio
from .errors import translated

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import AbstractStreamWriter
    from types_aiobotocore_s3 import S3Client

    from .settings import S3Settings

#: Bytes handed to the transport at once: small enough to stay out of the event loop's way, TLS included.
_SLICE = 256 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}


class _Sliced(Payload):
    """A body sent in slices with flow control.

    aiohttp writes a bytearray in one piece: it blocks the loop while TLS encrypts all of it, and the transport keeps
    a second copy of what the socket does not take at once. The slices are copies, so the caller may resize the
    buffer the moment the answer is there.
    """

    _autoclose = True

    def __init__(self, data: bytearray, stall: float | None) -> None:
        super().__init__(data)
        self._size = len(data)
        self._stall = stall

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for at in range(0, len(self._value), _SLICE):
            # aiohttp has no timeout for writing; a store that stops reading would hold us until the operation's end.
            async with asyncio.timeout(self._stall):
                await writer.write(self._value[at : at + _SLICE])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        await self.write(writer)


class _Unredirected:
    """An aiohttp session that goes nowhere but where it was sent: a request carries credentials and an archive."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def request(self, method: str, **arguments: Any) -> Any:
        return self._session.request(method, allow_redirects=False, **arguments)


class _Session(AIOHTTPSession):  # type: ignore[misc]
    """aiobotocore's HTTP session, sending bytearrays in slices, and following no redirect."""

    async def _get_session(self, proxy_url: str | None) -> _Unredirected:
        return _Unredirected(await super()._get_session(proxy_url))

    async def send(self, request: Any) -> Any:
        body = request.body
        if isinstance(body, bytearray):
            request.body = _Sliced(body, self._timeout.sock_read)
        try:
            answer = await super().send(request)
        finally:
            request.body = body
        # AWS names a bucket's region by 301 without a Location, and botocore asks there.
        if answer.status_code in _REDIRECTS and "location" in answer.headers:
            raise ConfigurationError(
                f"The store at {_origin(request.url)} redirects to {_origin(answer.headers['location'])}.",
                hint="Set endpoint to the address that it redirects to, or region to the bucket's.",
            )
        return answer


def _origin(url: str) -> str:
    """Scheme and host of a URL; one without is on the same server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another path"


def _config(settings: S3Settings) -> AioConfig:
    return AioConfig(
        http_session_cls=_Session,
        warm_up_loader_caches=True,  # reads the API model in a thread
        signature_version="s3v4",
        # Checksums come with each request as a plain header, computed in a thread. Left to itself botocore computes
        # them on the event loop and sends them as a trailer, which many stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": settings.addressing, "payload_signing_enabled": settings.signs_payload},
        retries={"mode": "standard", "total_max_attempts": 1},  # calls.py retries
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        max_pool_connections=settings.connections,
        user_agent_appid="kleidia-backup",
    )


@functools.cache
def _models() -> Any:
    """Botocore's reader of API models, shared: reading S3's costs a tenth of a second and some MiB each time."""
    return get_session().get_component("data_loader")


def _session() -> AioSession:
    """A session of its own for each client, for credentials belong to one event loop."""
    session = get_session()
    session.register_component("data_loader", _models())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(text: Any) -> Any:
    """A time in an answer. Raises ``ValueError`` for what is none; botocore's own also ``RuntimeError``."""
    try:
        return parse_timestamp(text)
    except RuntimeError:
        raise ValueError("a time beyond all calendars") from None


def _load_ca(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(
            f"The CA file {path} cannot be used: {exc.strerror or exc}.",
            hint="ca_file is a PEM file with the certificate of the authority that signed the store's.",
        ) from exc


@asynccontextmanager
async def open_client(settings: S3Settings) -> AsyncIterator[S3Client]:
    """A client for these settings; it connects at the first request.

    Raises:
        ConfigurationError: the CA file, the endpoint or the AWS profile cannot be used.
    """
    need_asyncio("S3")
    if settings.ca_file:
        await in_thread(_load_ca, settings.ca_file)
    verify = False if settings.insecure_tls else settings.ca_file or None
    try:
        creating = _session().create_client(
            "s3",
            region_name=settings.region_name,
            endpoint_url=settings.endpoint_url,
            verify=verify,
            aws_access_key_id=settings.access_key_id or None,
            aws_secret_access_key=settings.secret_access_key or None,
            aws_session_token=settings.session_token or None,
            config=_config(settings),
        )
        client = await creating.__aenter__()
    except (BotoCoreError, ValueError) as exc:
        raise translated(exc, settings) from exc
    try:
        yield client
    finally:
        await creating.__aexit__(None, None, None)
