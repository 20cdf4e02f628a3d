"""The HTTP server: uvicorn on our own socket, and the service, both stopped by the same signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio
import uvicorn

from ..stages.errors import ConfigurationError
from .api.app import create_app
from .connections import ConnectionLimits
from .service import Service
from .targets.held import OneTarget

if TYPE_CHECKING:
    from ..config.service import ServiceSettings
    from ..pipeline.drills.asked import ScratchMaker
    from .targets.held import Targets

#: Seconds for requests that are being answered when the server stops.
_REQUESTS = 5
#: Connections that are taken in one go: fewer than ``max_connections``, so that one of a flood's is not ended before it
#: could say anything.
_BACKLOG = 128
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


#: What runs beside a service, until it ends or the service does.
Beside: TypeAlias = Callable[[Service], Coroutine[object, object, None]]


def run(
    settings: ServiceSettings,
    ready: Callable[[str], None],
    scratch: ScratchMaker | None = None,
    beside: Beside | None = None,
) -> None:
    """Serve until a signal comes; ``ready`` is called with the URL once it answers; ``scratch`` as in ``Service``.

    ``beside`` runs from then on.

    The first signal stops the server, then the service, which lets a running job end within its grace; a second one
    ends the job at once. Raises the tree in ``kleidia_backup.stages.errors`` when it cannot start.
    """
    serve(settings, lambda: OneTarget(Service(settings, scratch=scratch)), ready, beside)


def serve(
    settings: ServiceSettings, make: Callable[[], Targets], ready: Callable[[str], None], beside: Beside | None = None
) -> None:
    """As ``run``, for the targets that ``make`` gives; ``settings`` say where to listen.

    SIGHUP reads their configuration again, where that is possible; else it stops the server too.
    """
    with _listen(settings.host, settings.port) as listening:
        asyncio.run(_serve(settings, listening, make, ready, beside))


async def _serve(
    settings: ServiceSettings,
    listening: socket.socket,
    make: Callable[[], Targets],
    ready: Callable[[str], None],
    beside: Beside | None,
) -> None:
    targets = make()
    server = _Server(_config(targets, settings))
    with _signals(server, targets):
        async with targets:
            if not server.should_exit:
                ready(_url(listening))
                async with _beside(None if beside is None else beside(targets.find(None))):
                    await server.serve(sockets=[listening])


@asynccontextmanager
async def _beside(work: Coroutine[object, object, None] | None) -> AsyncIterator[None]:
    """Run something meanwhile. What it raises is a bug, and ends the server."""
    async with anyio.create_task_group() as tasks:
        if work is not None:
            tasks.start_soon(lambda: work)
        yield
        tasks.cancel_scope.cancel()


def _config(targets: Targets, settings: ServiceSettings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(targets),
        http=ConnectionLimits(settings.max_connections).protocol,
        ws="none",
        backlog=_BACKLOG,
        proxy_headers=bool(settings.forwarded_allow_ips),  # uvicorn would trust every process of this machine
        forwarded_allow_ips=[*settings.forwarded_allow_ips],
        lifespan="off",  # the service is entered here: its errors are reported as every command's
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
def _signals(server: _Server, targets: Targets) -> Iterator[None]:
    """Let a signal stop the server, and another one the running jobs."""
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[None]] = set()

    def stop() -> None:
        if server.should_exit:
            targets.stop("The service was stopped.")
        server.should_exit = True

    def reload() -> None:
        reloading.add(task := asyncio.create_task(targets.reload(), name="reload"))
        task.add_done_callback(reloading.discard)

    taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.getsignal(number) for number in taken}
    for number in taken:
        loop.add_signal_handler(number, reload if number == signal.SIGHUP and targets.reloads else stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as exc:
        known = isinstance(exc, OSError) and not isinstance(exc, socket.gaierror) and exc.errno
        reason = os.strerror(known) if known else getattr(exc, "strerror", None) or str(exc)  # Python's adds to it
        raise ConfigurationError(
            f"The service cannot listen at {host}:{port}: {reason}.",
            hint="Choose another host or port in [service], or by --host and --port.",
        ) from exc
    # Connections inherit it. asyncio sets it for sockets alone that name their protocol, which this one does not.
    # Without it the body of an answer waits until its head was acknowledged, for which a client takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
