"""The HTTP server: uvicorn on a socket of ours, beside the service, both stopped by the same signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from ..stages.errors import ConfigurationError
from .api.app import create_app
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .service_settings import ServiceSettings

#: Seconds for requests that are being answered when the server stops.
_REQUESTS = 5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(settings: ServiceSettings, ready: Callable[[str], None]) -> None:
    """Serve until a signal comes; ``ready`` is told the URL once it answers.

    The first signal stops the server, then the service, which lets a running job end within its grace; a second one
    ends the job at once. Raises the tree in ``kleidia_backup.stages.errors`` when it cannot start.
    """
    with _listen(settings.host, settings.port) as listening:
        asyncio.run(_serve(settings, listening, ready))


async def _serve(settings: ServiceSettings, listening: socket.socket, ready: Callable[[str], None]) -> None:
    service = Service(settings)
    server = _Server(_config(service, settings))
    with _signals(server, service):
        async with service:
            if not server.should_exit:
                ready(_url(listening))
                await server.serve(sockets=[listening])


def _config(service: Service, settings: ServiceSettings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(service),
        proxy_headers=bool(settings.forwarded_allow_ips),  # uvicorn would believe whoever runs on this machine
        forwarded_allow_ips=[*settings.forwarded_allow_ips],
        lifespan="off",  # the service is entered here: what it raises is told as every command's errors are
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_REQUESTS,
    )


class _Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn raises them again when it has ended, which would kill the service's end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextmanager
def _signals(server: _Server, service: Service) -> Iterator[None]:
    """Let a signal stop the server, and another one the running job."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if server.should_exit:
            service.runner.stop("The service was stopped.")
        server.should_exit = True

    taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.getsignal(number) for number in taken}
    for number in taken:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as exc:
        known = isinstance(exc, OSError) and not isinstance(exc, socket.gaierror) and exc.errno
        reason = os.strerror(known) if known else getattr(exc, "strerror", None) or str(exc)  # Python's adds to it
        raise ConfigurationError(
            f"The service cannot listen at {host}:{port}: {reason}.",
            hint="Choose another host or port in [service], or by --host and --port.",
        ) from exc


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
